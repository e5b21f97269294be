"""One page about a run, whole in itself: network, losses, filters, reconstructions, probes, configuration."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from lnet.compiler.cost import layer_cost, totals
from lnet.compiler.files import Unreadable, readable, write_aside
from lnet.compiler.graph import Graph
from lnet.compiler.layer import Layer
from lnet.compiler.ops import Local
from lnet.dsl.diagnostics import LnetError, refused
from lnet.runtime.analysis.filters import flat, mosaic, oriented_fraction
from lnet.runtime.analysis.reconstruction import Reconstruction, reconstructions
from lnet.runtime.events import Event
from lnet.runtime.network import Network
from lnet.runtime.run import Run

from .cluster import cluster_section, running_times
from .curves import accuracy_curves, loss_curves, throughput_curve
from .diagram import diagram
from .drawn import drawn_sections
from .pictures import data_url, sheet_picture
from .probe import probe_sections

Data = str | os.PathLike[str] | None
SAMPLES = 128
"""Images that reconstruction errors are taken over."""
SHOWN = 8
MOSAICS = 8
RECENT = 50
"""Steps at the end that last losses are averaged over."""


def write_report(run: Run, path: Path | None = None, data: str | os.PathLike[str] | None = None) -> Path:
    """Write the page about a run and return where it is: `report.html` in the run's directory unless `path` says.

    `data` names images that are reconstructed, in place of those that the run was trained on. Raises `LnetError` if
    the page cannot be written.
    """
    target = run.directory / "report.html" if path is None else path
    page = readable(_template().render(_content(run, data)))
    try:
        write_aside(target, page)
    except OSError as error:
        raise refused("E744", f"'{target}' cannot be written", str(error)) from error
    return target


def _template() -> jinja2.Template:
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(files(__package__).joinpath("page.html").read_text(encoding="utf-8"))


def _content(run: Run, data: Data) -> dict[str, Any]:
    plan, graph = run.plan, run.plan.graph
    events = run.events()
    steps = [event for event in events if event["event"] == "step"]
    network, no_network = _network(run)
    accuracies = accuracy_curves(steps)
    visible = [layer_cost(graph, layer) for layer in graph.visible]
    return {
        "name": graph.name,
        "summary": _summary(run, steps),
        "tiles": _tiles(run, events, steps),
        "failures": [event["message"] for event in events if event["event"] == "failed"],
        "diagram": Markup(diagram(graph)),
        "layers": visible,
        "losses": Markup(loss_curves(steps)) if steps else None,
        "accuracies": Markup(accuracies) if accuracies else None,
        "objectives": _objectives(steps),
        "no_network": no_network,
        "filters": None if network is None else _filters(graph, network),
        "drawn": drawn_sections(run),
        **_reconstructions(run, network, data),
        "probes": probe_sections(run),
        "throughput": Markup(throughput_curve(steps, graph.training.batch)) if steps else None,
        "cluster": cluster_section(plan, events),
        "settings": _settings(run),
        "warnings": [event["message"] for event in events if event["event"] == "warning"],
        "source_name": plan.source_name,
        "source": plan.source_text,
    }


@dataclass(frozen=True)
class _Tile:
    figure: str
    what: str


def _summary(run: Run, steps: list[Event]) -> str:
    last = steps[-1]["step"] if steps else 0
    all_steps = run.plan.graph.training.steps * _replicas(run, steps)
    return f"{run.directory.name}: {last:,} of {all_steps:,} steps, from {run.plan.source_name}"


def _replicas(run: Run, steps: list[Event]) -> int:
    """Return how many replicas the steps are counted over: in one process there is one."""
    return len(run.plan.placement.tiles) if steps and "replica" in steps[-1] else 1


def _tiles(run: Run, events: list[Event], steps: list[Event]) -> list[_Tile]:
    graph = run.plan.graph
    sums = totals(graph, run.plan.partition)
    tiles = [
        _Tile(f"{sums.encoding_weights:,}", "encoding weights"),
        _Tile(f"{sums.parameters:,}", "parameters"),
    ]
    if steps:
        seconds = sum(event["seconds"] for event in steps)
        waited = sum(event["waited"] for event in steps)
        images = len(steps) * graph.training.batch
        elapsed = _elapsed(events) if "replica" in steps[-1] else seconds
        tiles += [
            _Tile(f"{steps[-1]['images']:,}", "images seen"),
            _Tile(f"{images / max(elapsed, 1e-9):,.0f}", "images per second"),
            _Tile(f"{waited / max(seconds, 1e-9):.1%}", f"of the time waited for {_awaited(steps)}"),
        ]
    return tiles


def _elapsed(events: list[Event]) -> float:
    """Return the seconds from the first step's beginning to the last one's end: replicas compute side by side."""
    steps = [(at, event) for at, event in running_times(events) if event["event"] == "step"]
    return steps[-1][0] - steps[0][0] + float(steps[0][1]["seconds"])


def _awaited(steps: list[Event]) -> str:
    return "images and other tiles" if "replica" in steps[-1] else "images"


def _objectives(steps: list[Event]) -> list[dict[str, str]]:
    names = dict.fromkeys(name for event in steps for name in event["objectives"])
    rows = []
    for name in names:
        values = [event["objectives"][name] for event in steps if name in event["objectives"]]
        rows.append(
            {"name": name, "first": _figure(values[0]), "last": _figure(float(np.mean(values[-RECENT:])))}
        )
    return rows


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _filters(graph: Graph, network: Network) -> dict[str, Any] | None:
    first = next((layer for layer in graph.layers if isinstance(layer.op, Local)), None)
    if first is None:
        return None
    weight = network.params[_weight(first)]
    share, threshold = oriented_fraction(flat(weight))
    caption = (
        f"{first.path}: {weight.shape[0]}x{weight.shape[1]} positions, each with filters of its own, drawn where they "
        f"stand and scaled by their largest weight. {share:.0%} keep to one orientation "
        f"(resultant over {threshold:.2f}, which 1% of random filters reach)."
    )
    shown = range(min(MOSAICS, weight.shape[-1]))
    return {"caption": caption, "urls": [data_url(mosaic(weight, map_), 2) for map_ in shown]}


def _weight(layer: Layer) -> str:
    return next(parameter.name for parameter in layer.parameters if parameter.role == "weight")


def _network(run: Run) -> tuple[Network | None, str]:
    """Return the trained network, or why there is none; raises `LnetError` for one that cannot be read."""
    try:
        return run.network(), ""
    except Unreadable:
        raise
    except LnetError as error:
        (diagnostic,) = error.diagnostics
        return None, "; ".join((diagnostic.message, *diagnostic.notes))


def _reconstructions(run: Run, network: Network | None, data: Data) -> dict[str, Any]:
    empty = {"errors": [], "reconstructions": [], "sampled": ""}
    if network is None:
        return empty | {"no_reconstructions": "There is no trained network to reconstruct with."}
    try:
        images = run.samples(SAMPLES, data).images
    except LnetError as error:
        if data is not None:
            raise
        message = f"There are no images to reconstruct: {error.diagnostics[0].message}."
        return empty | {"no_reconstructions": message}
    trained, untrained = reconstructions(network, images), reconstructions(Network(run.plan), images)
    if not trained:
        return empty | {"no_reconstructions": "No objective compares a decoder with a layer."}
    errors = [
        {"objective": a.objective, "of": a.of, "trained": f"{a.error:.3f}", "untrained": f"{b.error:.3f}"}
        for a, b in zip(trained, untrained, strict=True)
    ]
    return {
        "errors": errors,
        "reconstructions": [_pairs(r) for r in trained if r.target.shape == images.shape],
        "sampled": f"Over {len(images)} images" + (f" of '{data}'." if data else " that it was trained on."),
        "no_reconstructions": "",
    }


def _pairs(reconstruction: Reconstruction) -> dict[str, Any]:
    pairs = []
    for target, value in zip(reconstruction.target[:SHOWN], reconstruction.value[:SHOWN], strict=True):
        spread = float(np.abs(target).max())
        scale = max(1, 112 // target.shape[1])
        pairs.append(
            {
                "target": data_url(sheet_picture(target, spread), scale),
                "value": data_url(sheet_picture(value, spread), scale),
            }
        )
    return {"objective": reconstruction.objective, "of": reconstruction.of, "pairs": pairs}


def _settings(run: Run) -> list[tuple[str, str]]:
    training, info = run.plan.graph.training, run.info
    rows = [(field.name, _shown(getattr(training, field.name))) for field in fields(training)]
    rows += [(f"--set {name}", value) for name, value in run.plan.overrides]
    rows.append(("images", f"{info['data']['images']:,}"))
    if info.get("start"):
        rows.append(("begins with", f"step {info['start']['step']:,} of {info['start']['run']}"))
    if run.plan.graph.frozen:
        rows.append(("frozen", ", ".join(run.plan.graph.frozen)))
    rows += [(f"version of {name}", version) for name, version in info["versions"].items()]
    machine = info["machine"]
    rows.append(
        ("machine", f"{machine['system']}, {machine['cores']} cores, {machine['memory'] / 2**30:,.0f} GiB")
    )
    rows.append(("plan", run.plan.digest))
    return rows


def _shown(value: object) -> str:
    if hasattr(value, "__dataclass_fields__"):
        inside = ((f.name, getattr(value, f.name)) for f in fields(value))  # type: ignore[arg-type]
        return ", ".join(f"{name} = {_shown(v)}" for name, v in inside)
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
