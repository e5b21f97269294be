"""What a page says about labelled sets that the run was probed with: the table, and responses as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from lnet.compiler.files import Unreadable
from lnet.dsl.diagnostics import LnetError
from lnet.runtime.analysis.probe import Histogram, Probe, Row
from lnet.runtime.analysis.probe.result import probe_files, read_probe
from lnet.runtime.analysis.probe.table import COLUMNS, LEGEND, cells, heading
from lnet.runtime.run import Run

from .curves import literal, new_figure, to_svg

POSITIVE, NEGATIVE, PLAIN = "#d9822b", "#4a90a4", "#8a8f98"


def probe_sections(run: Run) -> list[dict[str, Any]]:
    """Return what is shown for each set, in the order of their names; of what is damaged, what is wrong with it."""
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
        "responses": Markup(responses_picture(probe, name)),
        "sparseness": Markup(sparseness_picture(probe, name)),
    }


def accuracies_picture(probe: Probe, name: str) -> str:
    """Return how the accuracies of all neurons are distributed, layer by layer: untrained ones are dashed."""
    figure = new_figure(2.7)
    axes = figure.subplots()
    guess = max(probe.positives, probe.negatives) / (probe.positives + probe.negatives)
    shown = [row for row in probe.rows if row.layer and row.distribution and "best of" not in row.name]
    for number, row in enumerate(shown):
        counts = np.array(row.distribution)
        edges = np.linspace(0, 100, len(counts) + 1)
        label = literal(f"{row.name}, {row.layer}")
        dashed = "--" if row.name.startswith("random") else "-"
        axes.stairs(100 * counts / counts.sum(), edges, label=label, linestyle=dashed, color=f"C{number}")
    axes.axvline(100 * guess, color=PLAIN, linewidth=1, linestyle=":")
    filled = np.flatnonzero(np.sum([row.distribution for row in shown], 0))
    axes.set_xlim(max(0, filled[0] - 2), min(100, filled[-1] + 3))
    axes.set(xlabel="accuracy of a neuron in %; dotted: the more frequent class", ylabel="% of neurons")
    axes.legend(frameon=False, fontsize="small")
    axes.spines[["top", "right"]].set_visible(False)
    return to_svg(figure, f"accuracies {name}")


def sparseness_picture(probe: Probe, name: str) -> str:
    """Return how the lifetime sparseness of all neurons of the trained network is distributed, layer by layer."""
    figure = new_figure(2.3)
    axes = figure.subplots()
    for row in probe.rows:
        if row.sparseness:
            edges = np.linspace(0, 1, len(row.sparseness) + 1)
            share = 100 * np.array(row.sparseness) / max(1, sum(row.sparseness))
            axes.stairs(share, edges, label=literal(f"{row.name}, {row.layer}"))
    axes.set(xlabel="lifetime sparseness", ylabel="% of neurons")
    axes.legend(frameon=False, fontsize="small")
    axes.spines[["top", "right"]].set_visible(False)
    return to_svg(figure, f"sparseness {name}")


def responses_picture(probe: Probe, name: str) -> str:
    """Return the responses of the best neuron of each layer of the trained network to positives and to negatives."""
    shown = [row for row in probe.rows if row.layer and row.responses and not row.name.startswith("random")]
    figure = new_figure(2.3 * len(shown))
    for axes, row in zip(figure.subplots(len(shown), 1, squeeze=False)[:, 0], shown, strict=True):
        assert row.responses is not None
        for counts, label, colour in _kinds(row.responses, probe):
            edges = np.linspace(row.responses.low, row.responses.high, len(counts) + 1)
            share = 100 * np.array(counts) / max(1, sum(counts))
            axes.stairs(share, edges, fill=True, alpha=0.6, color=colour, label=literal(label))
        axes.set(xlabel=f"response of {_best(row)}", ylabel="% of images")
        axes.legend(frameon=False, fontsize="small", title=literal(row.name))
        axes.spines[["top", "right"]].set_visible(False)
    return to_svg(figure, f"responses {name}")


def _kinds(responses: Histogram, probe: Probe) -> tuple[tuple[tuple[int, ...], str, str], ...]:
    return (
        (responses.negatives, probe.against, NEGATIVE),
        (responses.positives, probe.label, POSITIVE),
    )


def _best(row: Row) -> str:
    return row.above.flattering.neuron if row.above is not None else row.layer
