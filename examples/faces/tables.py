"""What the probes of an experiment say, as tables in Markdown: means over seeds, and their range."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import mean

from lnet.runtime.analysis.probe import Probe, Row

Arms = dict[str, list[dict[str, Probe]]]
"""By arm, for each seed: its probes by set."""


def markdown(arms: Arms) -> str:
    """Return a table of every set for the first arm, with all baselines, and one of all arms beside each other."""
    first, *_ = arms.values()
    parts = [text for name in first[0] for text in _of_set(name, [probes[name] for probes in first])]
    return "\n".join([*parts, *_of_arms(arms)]) + "\n"


def _of_set(name: str, probes: Sequence[Probe]) -> Iterator[str]:
    one = probes[0]
    yield f"### {name}: {one.positives:,} {one.label}, {one.negatives:,} {one.against}\n"
    yield "| row | layer | neurons | best | negated | honest | ROC area | d' |"
    yield "|---|---|--:|--:|--:|--:|--:|--:|"
    for row in one.rows:
        same = [found for probe in probes for found in probe.rows if _key(found) == _key(row)]
        yield "| " + " | ".join((row.name, row.layer, f"{row.neurons:,}", *_cells(same))) + " |"
    yield ""


def _key(row: Row) -> tuple[str, str]:
    return row.name, row.layer


def _cells(rows: Sequence[Row]) -> Iterator[str]:
    found = [row for row in rows if row.above is not None]
    honest = [row.above.honest.figures for row in found if row.above]
    yield _percent([row.above.flattering.figures.accuracy for row in found if row.above])
    yield _percent([row.below.flattering.figures.accuracy for row in found if row.below])
    yield _percent([figures.accuracy for figures in honest])
    yield _plain([figures.roc_area for figures in honest])
    yield _plain([figures.d_prime for figures in honest])


def _of_arms(arms: Arms) -> Iterator[str]:
    """The last layer's best neuron, as it stands and on the half that it was not chosen on."""
    (sets, *_), *_ = arms.values()
    yield "### Best neuron of the last stage\n"
    yield "| trained on | " + " | ".join(f"{name} | honest" for name in sets) + " |"
    yield "|---|" + "--:|--:|" * len(sets)
    for arm, several in arms.items():
        cells = []
        for name in sets:
            choices = [probes[name].layers[-1].above for probes in several]
            cells.append(_percent([found.flattering.figures.accuracy for found in choices if found]))
            cells.append(_percent([found.honest.figures.accuracy for found in choices if found]))
        yield f"| {arm} | " + " | ".join(cells) + " |"


def _percent(values: Sequence[float | None]) -> str:
    return _spread([100 * value for value in values if value is not None], 1)


def _plain(values: Sequence[float | None]) -> str:
    return _spread([value for value in values if value is not None], 2)


def _spread(values: Sequence[float], digits: int) -> str:
    """Return the mean, and from where to where where there are several."""
    if not values:
        return ""
    text = f"{mean(values):.{digits}f}"
    return text if len(values) == 1 else f"{text} ({min(values):.{digits}f}..{max(values):.{digits}f})"
