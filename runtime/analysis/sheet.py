"""A layer as a sheet: preferences of its neurons by position, and similarity of neighbours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnet.compiler.core.shapes import Size
from lnet.compiler.files import plain
from lnet.runtime.data import Batch
from lnet.runtime.engine.network import Network, initial_params
from lnet.runtime.store.run import Run

from .arrangement import Arrangement, arrangement, wraps
from .gallery import Record, keep
from .gratings import (
    Preference,
    position_weights,
    preference_of_filters,
    preference_of_responses,
    tuning,
)
from .images import Place, open_set
from .moments import Moments, moments_of
from .neighbours import Resemblance, resemblance
from .neurons import Array, find_layer
from .plots import to_png
from .sheet_picture import class_figure, dprime_figure, energy_figure, orientation_figure

KIND = "sheet"


SELECTIVE = 0.85
"""A neuron is selective for a class from this d' on (Lu et al. 2025)."""


@dataclass(frozen=True)
class ClassPreference:
    """The preference of each neuron `[row, column, map]` among the classes of a set.

    `moments` has mean responses and variances by class; `preferred` is the number of the class with the highest mean, and
    `strength` how far it lies above the mean of all images, in their standard deviations. `dprime` `[row, column, map,
    class]` compares each class with all others.
    """

    classes: tuple[str, ...]
    moments: Moments
    preferred: NDArray[np.int64]
    strength: Array
    dprime: Array

    @property
    def means(self) -> Array:
        return self.moments.means

    @property
    def shares(self) -> dict[str, float]:
        """The share of neurons that prefer each class."""
        return {name: float((self.preferred == i).mean()) for i, name in enumerate(self.classes)}

    @property
    def selective(self) -> dict[str, float]:
        """The share of neurons that are selective for each class."""
        return {name: float((self.dprime[..., i] >= SELECTIVE).mean()) for i, name in enumerate(self.classes)}


@dataclass(frozen=True)
class SheetView:
    """A layer's preferences by position; `by`: filters or responses to gratings; `record`: the record in the run.

    `untrained`: of each class, the share of selective neurons in each of some untrained networks. Arrays are
    `[row, column, map]`; `Network.unit_sheet` lays them out as units where the maps lie in a patch.
    """

    layer: str
    by: str
    preference: Preference
    classes: ClassPreference | None
    resemblance: Resemblance | None
    arrangement: Arrangement | None
    untrained: Mapping[str, tuple[float, ...]]
    record: Record

    @property
    def summary(self) -> str:
        parts = [f"orientation of {self.by}, mean selectivity {self.preference.selectivity.mean():.2f}"]
        parts += [found.summary for found in (self.resemblance, self.arrangement) if found is not None]
        return "; ".join(parts)


def sheet_view(
    run: Run, layer: str, data: Place | None = None, seed: int = 0, untrained: int = 0
) -> SheetView:
    """Return the preferences of a layer's neurons by position, and keep them in the run as arrays and pictures.

    The pictures show the unit sheet of a layer with a patch, otherwise each map. Orientation, of the first local layer from
    its filters, of other layers from responses to gratings, with its arrangement; class and d', if `data` names a labelled
    set, also in so many `untrained` networks; and the similarity of neighbours compared with random pairs drawn with `seed`.
    Raises `LnetError`. (Orientation maps: Hubel & Wiesel 1974; such networks: Lu et al. 2025.)
    """
    checkpoint = run.checkpoint()
    network = Network(run.plan, checkpoint.params, run.inputs)
    path = find_layer(network.graph, layer)
    frames = run.plan.graph.training.data
    tuned = tuning(network, path, frames.normalize if frames is not None else "image")
    weights = position_weights(network, path)
    if weights is not None and _is_first(network, path):
        by, preference = "filters", preference_of_filters(weights)
    else:
        by, preference = "responses to gratings", preference_of_responses(tuned)
    images = None if data is None else open_set(run, data, labelled=True)
    names = () if images is None else images.dataset.classes or ()
    classes = None if images is None else class_preference(network, path, images, names)
    others = [] if data is None else [_untrained(run, path, data, names, seed + k) for k in range(untrained)]
    patch = network.graph.layer(path).patch
    alike = resemblance(weights, tuned, seed, patch)
    arranged = arrangement(preference, patch, wraps(network.graph, path))
    random = {name: tuple(other[name] for other in others) for name in names} if others else {}
    figures = {
        "layer": path,
        "step": checkpoint.step,
        "by": by,
        "patch": None if patch is None else [patch.rows, patch.columns],
        "selectivity": float(preference.selectivity.mean()),
        "resemblance": None if alike is None else asdict(alike),
        "arrangement": None if arranged is None else asdict(arranged),
        "data": None if data is None else str(data),
        "skipped": {} if images is None else images.skipped,
        "classes": None if classes is None else classes.shares,
        "selective": None if classes is None else classes.selective,
        "untrained": {name: list(shares) for name, shares in random.items()},
        "dimensions": None if classes is None else _finite(classes.moments.participation_ratio),
        "energy": None if classes is None else float(classes.moments.energy.mean()),
    }
    files = _files(preference, classes, patch, f"{run.directory.name}: {path}")
    record = keep(run, KIND, plain(path), figures, files)
    return SheetView(path, by, preference, classes, alike, arranged, random, record)


def _untrained(run: Run, path: str, data: Place, classes: tuple[str, ...], seed: int) -> dict[str, float]:
    """Return the share of neurons that are selective for each class before training, with other initial weights."""
    network = Network(run.plan, initial_params(run.plan.graph, seed), run.inputs)
    return class_preference(network, path, open_set(run, data, labelled=True), classes).selective


def _finite(value: float) -> float | None:
    """Return a number for JSON, which has no NaN."""
    return value if np.isfinite(value) else None


def _is_first(network: Network, path: str) -> bool:
    """Whether a layer is the first local one, so that its filters are pictures."""
    return path == next(layer.path for layer in network.graph.layers if layer.op.has_filters)


# --- classes ---------------------------------------------------------------------------------------------


def class_preference(
    network: Network, path: str, batches: Iterable[Batch], classes: tuple[str, ...]
) -> ClassPreference:
    """Return the class preferences of a layer's neurons, in one pass over labelled images."""
    moments = moments_of(network, path, batches, len(classes))
    overall, variance = moments.overall
    deviation = np.sqrt(variance)
    seen = np.where(
        moments.counts > 0, moments.means, -np.inf
    )  # no neuron prefers a class without decodable images
    above = seen.max(-1) - overall
    strength = np.where(deviation > 0, above / np.where(deviation > 0, deviation, 1), 0)
    return ClassPreference(classes, moments, seen.argmax(-1), strength, moments.dprime)


# --- files -----------------------------------------------------------------------------------------------


def _files(
    preference: Preference, classes: ClassPreference | None, patch: Size | None, title: str
) -> dict[str, bytes]:
    arrays: dict[str, Any] = {
        "orientation": preference.orientation.astype(np.float32),
        "selectivity": preference.selectivity.astype(np.float32),
    }
    files = {"orientation.png": to_png(orientation_figure(preference, patch, title))}
    if patch is not None:
        arrays["patch"] = np.array([patch.rows, patch.columns])
    if classes is not None:
        arrays |= {
            "classes": np.array(classes.classes),
            "class_means": classes.means.astype(np.float32),
            "preferred": classes.preferred,
            "strength": classes.strength.astype(np.float32),
            "dprime": classes.dprime.astype(np.float32),
            "energy": classes.moments.energy.astype(np.float32),
        }
        figure = class_figure(classes.classes, classes.preferred, classes.strength, patch, title)
        files["classes.png"] = to_png(figure)
        files["dprime.png"] = to_png(dprime_figure(classes.classes, classes.dprime, patch, title))
        files["energy.png"] = to_png(energy_figure(classes.moments.energy, patch, title))
    return files | {"npz": _npz(arrays)}


def _npz(arrays: dict[str, Any]) -> bytes:
    file = BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()
