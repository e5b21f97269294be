"""One page about a run, whole in itself: network, losses, filters, reconstructions, probes, configuration."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from lnet.compiler.core.layer import Layer
from lnet.compiler.cut.cost import layer_cost, totals
from lnet.compiler.files import Unreadable, readable, write_aside
from lnet.compiler.graph.graph import Graph
from lnet.dsl.diagnostics import LnetError, refused
from lnet.runtime.analysis.filters import flat, mosaic, oriented_fraction
from lnet.runtime.analysis.reconstruction import Reconstruction, reconstructions
from lnet.runtime.engine.network import Network
from lnet.runtime.process.counted import counted
from lnet.runtime.store.run import Run

from .cluster import cluster_section
from .curves import accuracy_curves, loss_curves, throughput_curve
from .diagram import diagram
from .drawn import drawn_sections
from .history import History, Steps, history_of
from .pictures import data_url, sheet_picture
from .probe import probe_sections
from .settings import origin, settings

Data = str | os.PathLike[str] | None
SAMPLES = 128
"""Images that reconstruction errors are taken over."""
SHOWN = 8
MOSAICS = 8
"""Maps whose filters are shown."""
ACROSS = 520
"""Pixels that a picture of filters has across, at most; of small ones pixels are enlarged to half of that."""


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


@dataclass(frozen=True)
class Material:
    """What the page is made of; each part is read when it is first asked for."""

    run: Run
    data: Data

    @cached_property
    def history(self) -> History:
        return history_of(self.run.stream_events())

    @cached_property
    def network(self) -> tuple[Network | None, str]:
        """The trained network, or why there is none; raises `LnetError` for one that cannot be read."""
        try:
            return self.run.network(), ""
        except Unreadable:
            raise
        except LnetError as error:
            (diagnostic,) = error.diagnostics
            return None, "; ".join((diagnostic.message, *diagnostic.notes))


def _content(run: Run, data: Data) -> dict[str, Any]:
    material, content = Material(run, data), dict[str, Any]()
    for part in counted("parts of the report", PARTS, len(PARTS)):
        content |= part(material)
    return content | {"headings": _headings(content)}


def _head(material: Material) -> dict[str, Any]:
    run, history = material.run, material.history
    return {
        "name": run.plan.graph.name,
        "summary": _summary(run, history.steps),
        "made": _made(run, history),
        "tiles": _tiles(run, history.steps),
        "failures": history.messages("failed"),
    }


def _network(material: Material) -> dict[str, Any]:
    graph = material.run.plan.graph
    return {
        "diagram": Markup(diagram(graph)),
        "layers": [layer_cost(graph, layer) for layer in graph.visible],
    }


def _learned(material: Material) -> dict[str, Any]:
    steps, batch = material.history.steps, material.run.plan.graph.training.batch
    accuracies = accuracy_curves(steps)
    return {
        "losses": Markup(loss_curves(steps)) if len(steps) else None,
        "accuracies": Markup(accuracies) if accuracies else None,
        "objectives": [
            {"name": name, "first": _figure(first), "last": _figure(steps.last[name])}
            for name, first in steps.first.items()
        ],
        "throughput": Markup(throughput_curve(steps, batch)) if len(steps) else None,
    }


def _trained(material: Material) -> dict[str, Any]:
    network, missing = material.network
    filters = None if network is None else _filters(material.run.plan.graph, network)
    return {"no_network": missing, "filters": filters}


def _looked_at(material: Material) -> dict[str, Any]:
    return {"drawn": drawn_sections(material.run)}


def _reconstructed(material: Material) -> dict[str, Any]:
    return _reconstructions(material.run, material.network[0], material.data)


def _probed(material: Material) -> dict[str, Any]:
    return {"probes": probe_sections(material.run)}


def _configured(material: Material) -> dict[str, Any]:
    run = material.run
    return {
        "cluster": cluster_section(run.plan, material.history),
        "settings": settings(run),
        "origin": origin(run),
        "warnings": material.history.messages("warning"),
        "source_name": run.plan.source_name,
        "source": run.plan.source_text,
    }


PARTS = (_head, _network, _learned, _trained, _looked_at, _reconstructed, _probed, _configured)
"""What makes the parts of the page."""


def _headings(content: dict[str, Any]) -> dict[str, str]:
    """Return the headings of the page by their anchors, without those of sections that have nothing to show."""
    headings = {"network": "Network", "losses": "Losses", "filters": "First-layer filters"}
    headings |= {section.id: section.title for section in content["drawn"]}
    headings |= {"reconstructions": "Reconstructions"}
    headings |= {"probes": "Probes"} if content["probes"] else {}
    headings |= {"throughput": "Throughput"}
    headings |= {"cluster": "Cluster"} if content["cluster"] else {}
    return headings | {"configuration": "Configuration"}


@dataclass(frozen=True)
class _Tile:
    figure: str
    what: str


def _summary(run: Run, steps: Steps) -> str:
    last = steps.newest["step"] if len(steps) else 0
    all_steps = run.plan.graph.training.steps * (len(run.plan.placement.tiles) if steps.on_cluster else 1)
    return f"{run.directory.name}: {last:,} of {all_steps:,} steps, from {run.plan.source_name}"


def _made(run: Run, history: History) -> list[str]:
    """Return when the run was trained and for how long, by which command, with which versions."""
    versions = run.info["versions"]
    lines = [
        run.info.get("command", ""),
        ", ".join(f"{name} {versions[name]}" for name in ("lnet", "jax", "python") if name in versions),
    ]
    if history.events:
        begun = [event["time"] for event in history.events if event["event"] in ("start", "resume")]
        seconds = max(history.timed[-1][0], history.steps.ended)
        sessions = f", in {len(begun)} sessions" if len(begun) > 1 else ""
        lines.insert(
            0, f"begun {_date(history.events[0]['time'])}, trained for {_duration(seconds)}{sessions}"
        )
    return [line for line in lines if line]


def _date(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "min"), (rest, "s"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or "0 s"


def _tiles(run: Run, steps: Steps) -> list[_Tile]:
    graph = run.plan.graph
    sums = totals(graph, run.plan.partition)
    tiles = [
        _Tile(f"{sums.encoding_weights:,}", "encoding weights"),
        _Tile(f"{sums.parameters:,}", "parameters"),
    ]
    if len(steps):
        images = len(steps) * graph.training.batch
        elapsed = steps.ended - steps.began if steps.on_cluster else steps.seconds
        waited = steps.waited / max(steps.seconds, 1e-9)
        awaited = "images and other tiles" if steps.on_cluster else "images"
        tiles += [
            _Tile(f"{steps.newest['images']:,}", "images seen"),
            _Tile(f"{images / max(elapsed, 1e-9):,.0f}", "images per second"),
            _Tile(f"{waited:.1%}", f"of the time waited for {awaited}"),
        ]
    return tiles


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _filters(graph: Graph, network: Network) -> dict[str, Any] | None:
    first = next((layer for layer in graph.layers if layer.op.has_filters), None)
    if first is None:
        return None
    weight = network.params[_weight(first)]
    share, threshold = oriented_fraction(flat(weight))
    maps = range(min(MOSAICS, weight.shape[-1]))
    most = max(1, ACROSS // (max(weight.shape[2:4]) + 1))
    pictures = [mosaic(weight, map_, most) for map_ in maps]
    scale = max(1, ACROSS // 2 // max(pictures[0].shape[:2]))
    positions = _positions(first, weight.shape)
    return {
        "caption": f"{first.path}: {positions} {_excerpt(weight.shape, most)} Each filter is scaled by its "
        f"largest weight: grey is 0. Of all filters {share:.0%} keep to one orientation (resultant over "
        f"{threshold:.2f}, which 1% of random filters reach).",
        "urls": [data_url(picture, scale) for picture in pictures],
    }


def _positions(layer: Layer, shape: tuple[int, ...]) -> str:
    """Say which positions have which filters, of weights `[kr, kc, ...]`."""
    rows, columns = layer.sheet.height, layer.sheet.width
    if layer.op.position_weights:
        return f"{rows}x{columns} positions, each with filters of its own, drawn where they stand."
    if shape[:2] == (1, 1):
        return f"{rows}x{columns} positions, which share their filters."
    return f"{rows}x{columns} positions, which share {shape[0]}x{shape[1]} sets of filters in turn."


def _excerpt(shape: tuple[int, ...], most: int) -> str:
    """Say what is shown of weights `[kr, kc, field rows, field columns, channels, maps]`."""
    rows, columns, channels, maps = *shape[:2], *shape[4:]
    shown = (min(rows, most), min(columns, most))
    parts = []
    if shown != (rows, columns):
        parts.append(f"{shown[0]}x{shown[1]} of {rows}x{columns} positions, evenly spaced")
    if maps > MOSAICS:
        parts.append(f"maps 0 to {MOSAICS - 1} of {maps}")
    if channels != 3 and channels > 1:
        parts.append(f"of {channels} channels the strongest of each filter")
    return f"Shown: {'; '.join(parts)}." if parts else "All are shown."


def _weight(layer: Layer) -> str:
    return next(parameter.name for parameter in layer.parameters if parameter.role == "weight")


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
