"""A layer as a sheet: preferences of its neurons by position, and similarity of neighbours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnet.compiler.core.shapes import Size
from lnet.compiler.files import plain
from lnet.compiler.text_table import as_html
from lnet.runtime.data import Batch
from lnet.runtime.engine.network import Network, initial_params
from lnet.runtime.store.run import Run

from .arrangement import Arrangement, Topography, topography, wraps
from .contact import png_html
from .gallery import Content, Record, keep
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
from .plots import npz, to_png
from .sheet_picture import (
    arrangement_figure,
    class_figure,
    dprime_figure,
    energy_figure,
    orientation_figure,
)

KIND = "sheet"


SELECTIVE = 0.85
"""A neuron is selective for a class from this d' on (Lu et al. 2025)."""


@dataclass(frozen=True)
class ClassPreference:
    """The preference of each neuron `[row, column, map]` among the classes of a set.

    `moments` has mean responses by class, and d'; `preferred` is the number of the class with the highest mean, and
    `strength` how far it lies above the mean of all images, in their standard deviations.
    """

    classes: tuple[str, ...]
    moments: Moments
    preferred: NDArray[np.int64]
    strength: Array

    @property
    def dprime(self) -> NDArray[np.float32]:
        """How far each class lies above all others, `[row, column, map, class]`."""
        return self.moments.dprime

    @property
    def means(self) -> Array:
        """The mean responses, `[row, column, map, class]`."""
        return np.moveaxis(self.moments.means, 0, -1)

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
    topography: Topography | None
    untrained: Mapping[str, tuple[float, ...]]
    record: Record

    @property
    def arrangement(self) -> Arrangement | None:
        """Measures of the map of orientations."""
        return None if self.topography is None else self.topography.arrangement

    @property
    def summary(self) -> str:
        parts = [f"orientation of {self.by}, mean selectivity {self.preference.selectivity.mean():.2f}"]
        parts += [found.summary for found in (self.resemblance, self.arrangement) if found is not None]
        return "; ".join(parts)

    def _repr_html_(self) -> str:
        figure = orientation_figure(self.preference, title=self.layer)
        return as_html([f"{self.layer}: {self.summary}"]) + png_html(to_png(figure))


def sheet_view(
    run: Run, layer: str, data: Place | None = None, seed: int = 0, untrained: int = 0
) -> SheetView:
    """Return the preferences of a layer's neurons by position, and keep them in the run as arrays and pictures.

    The pictures show the unit sheet of a layer with a patch, otherwise each map. Preferences are: orientation and its
    arrangement, for the first local layer from its filters, for others from responses to gratings; class, d' and energy, if
    `data` names a labelled set; d' also in a number of `untrained` networks; and the similarity of neighbours, compared with
    that of random pairs drawn with `seed`. Raises `LnetError`. (Orientation maps: Hubel & Wiesel 1974; such networks: Lu et
    al. 2025.)
    """
    random = untrained_shares(run, layer, data, range(seed, seed + untrained))
    return view_beside(random, run, layer, data, seed)


def untrained_shares(
    run: Run, layer: str, data: Place | None, seeds: Iterable[int]
) -> dict[str, tuple[float, ...]]:
    """Return the share of neurons that are selective for each class before training, in a network of each seed."""
    path, graph = find_layer(run.plan.graph, layer), run.plan.graph
    found: dict[str, tuple[float, ...]] = {}
    if data is None:
        return found
    for seed in seeds:
        images = open_set(run, data, labelled=True)
        network = Network(run.plan, initial_params(graph, seed), run.inputs)
        shares = class_preference(network, path, images, images.dataset.classes or ()).selective
        found = {name: (*found.get(name, ()), share) for name, share in shares.items()}
    return found


def view_beside(
    untrained: Mapping[str, tuple[float, ...]], run: Run, layer: str, data: Place | None, seed: int
) -> SheetView:
    """Return what `sheet_view` does, beside the shares of selective neurons in `untrained` networks."""
    checkpoint = run.checkpoint(state=False)
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
    patch = network.graph.layer(path).patch
    alike = resemblance(weights, tuned, seed, patch)
    lying = topography(preference, patch, wraps(network.graph, path))
    figures = {
        "layer": path,
        "step": checkpoint.step,
        "by": by,
        "patch": None if patch is None else [patch.rows, patch.columns],
        "selectivity": float(preference.selectivity.mean()),
        "resemblance": None if alike is None else asdict(alike),
        "arrangement": None if lying is None else asdict(lying.arrangement),
        "data": None if data is None else str(data),
        "skipped": {} if images is None else images.skipped,
        "classes": None if classes is None else classes.shares,
        "selective": None if classes is None else classes.selective,
        "untrained": {name: list(shares) for name, shares in untrained.items()},
        "dimensions": None if classes is None else _finite(classes.moments.participation_ratio),
        "costs": None if classes is None else classes.moments.energy.means,
    }
    files = _files(preference, lying, classes, patch, f"{run.directory.name}: {path}")
    record = keep(run, KIND, plain(path), figures, files)
    return SheetView(path, by, preference, classes, alike, lying, untrained, record)


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
    highest, preferred = np.full(moments.mean.shape, -np.inf), np.zeros(moments.mean.shape, np.int64)
    for number, (count, mean) in enumerate(zip(moments.counts, moments.means, strict=True)):
        if count:  # no neuron prefers a class without decodable images
            preferred[mean > highest] = number
            np.maximum(highest, mean, out=highest)
    deviation = np.sqrt(moments.variance)
    above = highest - moments.mean
    strength = np.divide(above, deviation, out=np.zeros_like(above), where=deviation > 0)
    return ClassPreference(classes, moments, preferred, strength)


# --- files -----------------------------------------------------------------------------------------------


def _files(
    preference: Preference,
    lying: Topography | None,
    classes: ClassPreference | None,
    patch: Size | None,
    title: str,
) -> dict[str, Content]:
    arrays: dict[str, Any] = {
        "orientation": preference.orientation,
        "selectivity": preference.selectivity,
    }
    files: dict[str, Content] = {"orientation.png": to_png(orientation_figure(preference, patch, title))}
    if patch is not None:
        arrays["patch"] = np.array([patch.rows, patch.columns])
    if lying is not None:
        arrays |= lying.arrays
        files["arrangement.png"] = to_png(arrangement_figure(lying, title))
    if classes is not None:
        arrays |= {
            "classes": np.array(classes.classes),
            "class_means": classes.means,
            "preferred": classes.preferred,
            "strength": classes.strength,
            "dprime": classes.dprime,
        }
        arrays |= classes.moments.energy.maps
        figure = class_figure(classes.classes, classes.preferred, classes.strength, patch, title)
        files["classes.png"] = to_png(figure)
        files["dprime.png"] = to_png(dprime_figure(classes.classes, classes.dprime, patch, title))
        files["energy.png"] = to_png(energy_figure(classes.moments.energy, patch, title))
    return files | {"npz": npz(arrays)}
