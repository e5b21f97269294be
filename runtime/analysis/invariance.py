"""Invariance: a neuron's response to shifted, scaled and rotated positives.

The mean response to random positives, normalised to 1 undistorted and 0 for the mean distractor. The positives are not
the neuron's best images: these would be at a maximum of its response, and any distortion would lower it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lnet.dsl.diagnostics import refused
from lnet.runtime.data import Dataset
from lnet.runtime.data.pixels import Pixels, as_seen
from lnet.runtime.engine.network import Network
from lnet.runtime.process.counted import counted
from lnet.runtime.store.run import Run

from .distort import Distortion, distort
from .gallery import Record, keep
from .images import Images, Place, check_images, open_set
from .labels import sought_label
from .neurons import Array, Neuron, find_neurons, respond
from .plots import literal, to_png

KIND = "invariance"
STEPS = np.arange(-6, 7)
"""Steps of each distortion, up to a quarter of the input, a scale of 0.4 to 1.6 (Le et al. 2012, figure 4), 90 degrees."""


@dataclass(frozen=True)
class Curve:
    """One distortion by growing amounts; `responses` `[amount, image]`: 1 undistorted, 0 the mean distractor."""

    distortion: str
    unit: str
    amounts: tuple[float, ...]
    responses: Array

    @property
    def mean(self) -> Array:
        mean: Array = self.responses.mean(1)
        return mean


@dataclass(frozen=True)
class Invariance:
    """A neuron's curves; `undistorted` and `distractor` are raw mean responses, `record` is the record in the run."""

    neuron: Neuron
    label: str
    positives: tuple[str, ...]
    undistorted: float
    distractor: float
    curves: tuple[Curve, ...]
    record: Record

    @property
    def summary(self) -> str:
        many = f"{len(self.positives)} images of '{self.label}'"
        return f"{self.undistorted:.4g} at {many} as they are, {self.distractor:.4g} at distractors"


def invariance(
    run: Run, neuron: str, data: Place, label: str | None = None, count: int = 10, seed: int = 0
) -> Invariance:
    """Return a neuron's responses to distorted images of the set `data`, and keep them in the run with a plot.

    `label` names the positives (default: the only label that is not `distractor`), of which `count` are drawn with
    `seed`; all other images are distractors. Raises `LnetError` for an unknown neuron or label, and if positives and
    distractors excite the neuron equally. (Le et al. 2012, section 4.5.)
    """
    if count < 1:
        raise refused("E780", f"the number of positives must be positive, found {count}")
    check_images(run, "invariance")
    checkpoint = run.checkpoint(state=False)
    network = Network(run.plan, checkpoint.params, run.inputs)
    (found,) = find_neurons(network.graph, [neuron])
    images = open_set(run, data, labelled=True)
    positive = sought_label(images.dataset, label)
    names, originals = _drawn(images.dataset, positive, count, seed)
    distractor = _mean_distractor(network, found, images, positive)
    frames = images.dataset.frames

    def responses(distortion: Distortion) -> NDArray[np.float64]:
        distorted = [distort(pixels, distortion, frames) for pixels in originals]
        return np.asarray(
            respond(network, (found,), as_seen(distorted, frames, images.dataset.dtype))[0], np.float64
        )

    undistorted = float(responses(Distortion()).mean())
    apart = undistorted - distractor
    if abs(apart) <= 1e-6 * max(abs(undistorted), abs(distractor)):
        message = f"{found} responds to '{positive}' as it does to distractors: {undistorted:.4g}"
        raise refused("E781", message, hint="choose a neuron that tells them apart")

    def curve(name: str, unit: str, argument: str, amounts: Array) -> Curve:
        rows = [
            responses(replace(Distortion(), **{argument: amount}))
            for amount in counted(f"images {name}", amounts, len(amounts))
        ]
        return Curve(name, unit, tuple(amounts.tolist()), (np.stack(rows) - distractor) / apart)

    size = network.graph.input.sheet.size
    curves = (
        curve("moved right", "pixels", "right", STEPS * size.columns / 24),
        curve("moved down", "pixels", "down", STEPS * size.rows / 24),
        curve("scaled", "times", "scale", 1 + 0.1 * STEPS),
        curve("turned", "degrees", "degrees", 15.0 * STEPS),
    )
    figures = {
        "neuron": str(found),
        "step": checkpoint.step,
        "data": str(data),
        "label": positive,
        "seed": seed,
        "positives": list(names),
        "skipped": images.skipped,
        "undistorted": undistorted,
        "distractor": distractor,
        "curves": [_curve_data(curve) for curve in curves],
    }
    record = keep(
        run,
        KIND,
        f"{found.file_name}.{quote(os.fsencode(positive), safe='')}",
        figures,
        {"png": to_png(invariance_figure(curves, f"{run.directory.name}: {found}, images of '{positive}'"))},
    )
    return Invariance(found, positive, names, undistorted, distractor, curves, record)


def _drawn(images: Dataset, label: str, count: int, seed: int) -> tuple[tuple[str, ...], list[Pixels]]:
    """Return names and pixels of random positives, without corrupt ones."""
    assert images.classes is not None
    assert images.labels is not None
    places = np.flatnonzero(images.labels == images.classes.index(label))
    names: list[str] = []
    originals: list[Pixels] = []
    for place in np.random.default_rng(seed).permutation(places):
        pixels = images.original(int(place)) if len(names) < count else None
        if pixels is not None:
            names.append(images.names[place])
            originals.append(pixels)
    if not names:
        raise refused("E706", f"none of the {len(places)} images of '{label}' can be decoded")
    return tuple(names), originals


def _mean_distractor(network: Network, neuron: Neuron, images: Images, label: str) -> float:
    assert images.dataset.classes is not None
    number, total, count = images.dataset.classes.index(label), 0.0, 0
    for batch in images:
        others = batch.labels != number
        total += float(respond(network, (neuron,), batch.images)[0][others].sum(dtype=np.float64))
        count += int(np.sum(others))
    if not count:
        raise refused("E706", f"none of the distractors of '{label}' can be decoded")
    return total / count


def _curve_data(curve: Curve) -> dict[str, Any]:
    return {
        "distortion": curve.distortion,
        "unit": curve.unit,
        "amounts": list(curve.amounts),
        "mean": curve.mean.tolist(),
        "responses": curve.responses.tolist(),
    }


def curve_from(data: Mapping[str, Any]) -> Curve:
    """Return a curve from its record."""
    responses = np.array(data["responses"])
    return Curve(data["distortion"], data["unit"], tuple(data["amounts"]), responses)


def invariance_figure(curves: Sequence[Curve], title: str = "") -> Figure:
    """Return a figure of the curves side by side: the mean, and a band of one standard error on each side."""
    figure = Figure(figsize=(9.6, 2.4 + (0.3 if title else 0)), dpi=100, layout="constrained")
    panels = figure.subplots(1, len(curves), sharey=True)
    for axes, curve in zip(panels, curves, strict=True):
        spread = curve.responses.std(1) / np.sqrt(max(1, curve.responses.shape[1] - 1))
        axes.fill_between(curve.amounts, curve.mean - spread, curve.mean + spread, alpha=0.25, linewidth=0)
        axes.plot(curve.amounts, curve.mean, linewidth=1.6)
        for level in (0, 1):
            axes.axhline(level, color="#888", linewidth=0.8, linestyle=":")
        axes.set_xlabel(f"{curve.distortion}, {curve.unit}")
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("response")
    if title:
        figure.suptitle(literal(title), fontsize="medium")
    return figure
