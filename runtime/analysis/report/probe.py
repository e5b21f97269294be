"""The sections on a run's probes: tables, and responses as pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from lnet.compiler.files import Unreadable
from lnet.dsl.diagnostics import LnetError
from lnet.runtime.analysis.plots import literal, to_svg
from lnet.runtime.analysis.probe import Histogram, Probe, Row
from lnet.runtime.analysis.probe.result import probe_files, read_probe
from lnet.runtime.analysis.probe.table import COLUMNS, LEGEND, cells, heading
from lnet.runtime.store.run import Run

from .curves import add_legend, finish, new_figure, style

POSITIVE, NEGATIVE, PLAIN = "#d9822b", "#4a90a4", "#8a8f98"
HALF = 5.0
"""Width in inches of a picture with another one beside it."""
MARGIN = 2.0
"""Margin of a picture of accuracies around its data, in percent."""


def probe_sections(run: Run) -> list[dict[str, Any]]:
    """Return the content for each labelled set, sorted by name; for a damaged result, its error."""
    return [_section(path) for path in probe_files(run)]


def _section(path: Path) -> dict[str, Any]:
    name = path.stem
    try:
        probe = read_probe(path)
    except Unreadable:
        raise
    except LnetError as error:
        (diagnostic,) = error.diagnostics
        return {"name": name, "damaged": "; ".join((diagnostic.message, *diagnostic.notes))}
    return {
        "name": name,
        "heading": heading(probe),
        "columns": COLUMNS,
        "rows": [cells(row) for row in probe.rows],
        "legend": LEGEND,
        "accuracies": Markup(accuracies_picture(probe, name)),
        "responses": [Markup(picture) for picture in responses_pictures(probe, name)],
        "sparseness": Markup(sparseness_picture(probe, name)),
    }


def accuracies_picture(probe: Probe, name: str) -> str:
    """Return a picture of the distribution of all neurons' accuracies by layer; untrained layers are dashed."""
    guess = max(probe.positives, probe.negatives) / (probe.positives + probe.negatives)
    shown = [row for row in probe.rows if row.layer and row.distribution and row.untrained != "best"]
    figure = new_figure(2.7, tuple(map(_label, shown)))
    axes = figure.subplots()
    for row, look in zip(shown, _styles(shown), strict=True):
        counts = np.array(row.distribution)
        edges = np.linspace(0, 100, len(counts) + 1)
        axes.stairs(100 * counts / counts.sum(), edges, label=_label(row), **look)
    axes.axvline(100 * guess, color=PLAIN, linewidth=1, linestyle=":")
    filled = edges_of([row.distribution or () for row in shown])
    axes.set_xlim(max(0, filled[0] - MARGIN), min(100, filled[1] + MARGIN))
    axes.set(xlabel="accuracy of a neuron in %; dotted: the more frequent class", ylabel="% of neurons")
    add_legend(figure)
    finish(axes)
    return to_svg(figure, f"accuracies {name}")


def edges_of(distributions: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Return the range in percent of nonempty bins, in distributions over equal bins from 0 to 100."""
    filled = np.flatnonzero(np.sum(distributions, 0))
    width = 100 / len(distributions[0])
    return float(filled[0] * width), float((filled[-1] + 1) * width)


def sparseness_picture(probe: Probe, name: str) -> str:
    """Return a picture of the distribution of the trained neurons' lifetime sparseness, by layer."""
    shown = [row for row in probe.rows if row.sparseness]
    figure = new_figure(2.3, tuple(map(_label, shown)))
    axes = figure.subplots()
    for row, look in zip(shown, _styles(shown), strict=True):
        counts = np.array(row.sparseness)
        edges = np.linspace(0, 1, len(counts) + 1)
        axes.stairs(100 * counts / max(1, counts.sum()), edges, label=_label(row), **look)
    axes.set(xlabel="lifetime sparseness", ylabel="% of neurons")
    add_legend(figure)
    finish(axes)
    return to_svg(figure, f"sparseness {name}")


def responses_pictures(probe: Probe, name: str) -> list[str]:
    """Return pictures of the responses to positives and negatives, of the best neuron of each trained layer."""
    shown = [row for row in probe.rows if row.layer and row.responses and row.untrained is None]
    return [_responses(probe, row, f"responses {name} {number}") for number, row in enumerate(shown)]


def _responses(probe: Probe, row: Row, salt: str) -> str:
    assert row.responses is not None
    figure = new_figure(2.1, (probe.against, probe.label), HALF)
    axes = figure.subplots()
    for counts, label, colour in _kinds(row.responses, probe):
        edges = np.linspace(row.responses.low, row.responses.high, len(counts) + 1)
        share = 100 * np.array(counts) / max(1, sum(counts))
        axes.stairs(share, edges, fill=True, alpha=0.6, color=colour, label=literal(label))
    axes.set(xlabel=f"response of {_best(row)}", ylabel="% of images", title=literal(row.name))
    finish(axes)
    add_legend(figure)
    return to_svg(figure, salt)


def _label(row: Row) -> str:
    return literal(f"{row.name}, {row.layer}")


def _styles(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    """Yield a colour for each layer; curves of random weights are dashed."""
    layers = list(dict.fromkeys(row.layer for row in rows))
    for row in rows:
        dash = "-" if row.untrained is None else "--"
        yield {"color": style(layers.index(row.layer))["color"], "linestyle": dash}


def _kinds(responses: Histogram, probe: Probe) -> tuple[tuple[tuple[int, ...], str, str], ...]:
    return (
        (responses.negatives, probe.against, NEGATIVE),
        (responses.positives, probe.label, POSITIVE),
    )


def _best(row: Row) -> str:
    return row.above.flattering.neuron if row.above is not None else row.layer
