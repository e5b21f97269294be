"""A probe as a text table."""

from __future__ import annotations

from lnet.compiler.text_table import WIDE, TextTable, printed

from .naming import Accuracy
from .result import Choice, Naming, Probe, Row

COLUMNS = (
    "neurons",
    "best",
    "accuracy",
    "negated",
    "honest",
    "95 %",
    "balanced",
    "ROC area",
    "AP",
    "d'",
    "scrambled",
)


def probe_text(probe: Probe, width: int = WIDE) -> str:
    """Return the table, folded to `width` columns, and a key to its columns."""
    rows = tuple(cells(row) + ("",) * (len(COLUMNS) + 1 - len(cells(row))) for row in probe.rows)
    table = TextTable(("row",), COLUMNS, rows, left=("best",))
    return printed((*heading(probe), "", table, *LEGEND), width)


LEGEND = (
    "accuracy: neuron and threshold chosen on these images themselves, which flatters; negated: of the opposite decision",
    "from 'honest' on: neuron and threshold chosen on one half of the sources, figures from the other half; "
    "95 %: bootstrap over its sources",
    "scrambled: mean response of the best to positives with scrambled phases; 1 is that to positives, 0 that to others",
)


def accuracy_text(found: Accuracy) -> str:
    """Return the accuracies of a run, and of those beside it, a line each."""
    return "\n".join(
        (
            f"network {found.network} after step {found.step:,}, from {found.run}",
            f"{found.images}: {found.count:,} images of {found.labels:,} labels that it learned{_skipped(found.skipped)}",
            *(f"{of.name}: {_named(of)}" for of in found.named),
        )
    )


def heading(probe: Probe) -> tuple[str, ...]:
    """Return the heading: the run and the labelled set."""
    return (
        f"network {probe.network} after step {probe.step:,}, from {probe.run}",
        f"{probe.images}: {probe.positives:,} {probe.label} and {probe.negatives:,} {probe.against} "
        f"from {probe.sources:,} sources{_skipped(probe.skipped)}",
        *(f"{of.name}: {_named(of)}" for of in probe.named),
    )


def _skipped(images: int) -> str:
    return f"; {images:,} cannot be decoded" if images else ""


def _named(of: Naming) -> str:
    tops = f"top-1 {percent(of.top_1)}" + ("" if of.top_5 is None else f", top-5 {percent(of.top_5)}")
    return f"{of.objective} {tops} of {of.images:,} images of its {of.classes:,} classes"


def cells(row: Row) -> tuple[str, ...]:
    """Return a row's texts, in the order of COLUMNS behind its name."""
    if row.above is None:
        return (row.name, "", row.note)
    best, honest = row.above.flattering, row.above.honest
    negated = row.below.flattering.figures.accuracy if row.below is not None else None
    figures = honest.figures
    return (
        row.name,
        f"{row.neurons:,}",
        best.neuron or row.layer,
        percent(best.figures.accuracy),
        percent(negated),
        percent(figures.accuracy),
        _ends(honest),
        percent(figures.balanced),
        _figure(figures.roc_area),
        _figure(figures.average_precision),
        _figure(figures.d_prime),
        _figure(row.scrambled),
    )


def percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _ends(choice: Choice) -> str:
    if choice.low is None or choice.high is None:
        return ""
    return f"{percent(choice.low.accuracy)}..{percent(choice.high.accuracy)}"
