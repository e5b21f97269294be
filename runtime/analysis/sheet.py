"""A layer as a sheet: preferences of its neurons by position, and similarity of neighbours."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnet.compiler.core.shapes import Size
from lnet.compiler.files import plain
from lnet.runtime.data import Batch
from lnet.runtime.engine.network import Network
from lnet.runtime.store.run import Run

from .gallery import Record, keep
from .gratings import (
    Preference,
    position_weights,
    preference_of_filters,
    preference_of_responses,
    tuning,
)
from .images import Place, open_set
from .neighbours import Resemblance, resemblance
from .neurons import Array, find_layer, values_of
from .plots import to_png
from .sheet_picture import class_figure, orientation_figure

KIND = "sheet"


@dataclass(frozen=True)
class ClassPreference:
    """The preference of each neuron `[row, column, map]` among the classes of a set.

    `means` `[row, column, map, class]` are mean responses; `preferred` is the number of the class with the highest, and
    `strength` how far it lies above the mean of all images, in their standard deviations.
    """

    classes: tuple[str, ...]
    means: Array
    preferred: NDArray[np.int64]
    strength: Array

    @property
    def shares(self) -> dict[str, float]:
        """The share of neurons that prefer each class."""
        return {name: float((self.preferred == i).mean()) for i, name in enumerate(self.classes)}


@dataclass(frozen=True)
class SheetView:
    """A layer's preferences by position; `by`: filters or responses to gratings; `record`: the record in the run.

    Arrays are `[row, column, map]`; `Network.unit_sheet` lays them out as units where the maps lie in a patch.
    """

    layer: str
    by: str
    preference: Preference
    classes: ClassPreference | None
    resemblance: Resemblance | None
    record: Record

    @property
    def summary(self) -> str:
        parts = [f"orientation of {self.by}, mean selectivity {self.preference.selectivity.mean():.2f}"]
        if self.resemblance is not None:
            parts.append(self.resemblance.summary)
        if self.classes is not None:
            parts.append(
                ", ".join(f"{share:.0%} prefer '{name}'" for name, share in self.classes.shares.items())
            )
        return "; ".join(parts)


def sheet_view(run: Run, layer: str, data: Place | None = None, seed: int = 0) -> SheetView:
    """Return the preferences of a layer's neurons by position, and keep them in the run as arrays and pictures.

    The pictures show the unit sheet of a layer with a patch, otherwise each map. Orientation, of the first local layer from
    its filters, of other layers from responses to gratings; class, if `data` names a labelled set; and the similarity of
    neighbours compared with random pairs drawn with `seed`. Raises `LnetError`. (Orientation maps: Hubel & Wiesel 1974; such
    networks: Lu et al. 2023, arXiv:2308.09431.)
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
    classes = (
        None if images is None else class_preference(network, path, images, images.dataset.classes or ())
    )
    patch = network.graph.layer(path).patch
    alike = resemblance(weights, tuned, seed, patch)
    figures = {
        "layer": path,
        "step": checkpoint.step,
        "by": by,
        "patch": None if patch is None else [patch.rows, patch.columns],
        "selectivity": float(preference.selectivity.mean()),
        "resemblance": None if alike is None else asdict(alike),
        "data": None if data is None else str(data),
        "skipped": {} if images is None else images.skipped,
        "classes": None if classes is None else classes.shares,
    }
    files = _files(preference, classes, patch, f"{run.directory.name}: {path}")
    record = keep(run, KIND, plain(path), figures, files)
    return SheetView(path, by, preference, classes, alike, record)


def _is_first(network: Network, path: str) -> bool:
    """Whether a layer is the first local one, so that its filters are pictures."""
    return path == next(layer.path for layer in network.graph.layers if layer.op.has_filters)


# --- classes ---------------------------------------------------------------------------------------------


def class_preference(
    network: Network, path: str, batches: Iterable[Batch], classes: tuple[str, ...]
) -> ClassPreference:
    """Return the class preferences of a layer's neurons, in one pass over labelled images."""
    sheet = network.graph.layer(path).sheet
    shape = (sheet.height, sheet.width, sheet.maps)
    sums, squares = np.zeros((*shape, len(classes))), np.zeros(shape)
    counts = np.zeros(len(classes))
    for batch in batches:
        assert batch.labels is not None, "class_preference: the caller opens labelled images"
        values = values_of(network, path, batch.images).astype(np.float64)
        belongs = np.eye(len(classes))[batch.labels]
        sums += np.einsum("nijm,nc->ijmc", values, belongs)
        squares += np.square(values).sum(0)
        counts += belongs.sum(0)
    means = sums / np.maximum(counts, 1)
    overall = sums.sum(-1) / counts.sum()
    deviation = np.sqrt(np.maximum(squares / counts.sum() - overall**2, 0))
    seen = np.where(counts > 0, means, -np.inf)  # no neuron prefers a class without decodable images
    above = seen.max(-1) - overall
    strength = np.where(deviation > 0, above / np.where(deviation > 0, deviation, 1), 0)
    return ClassPreference(classes, means, seen.argmax(-1), strength)


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
        }
        figure = class_figure(classes.classes, classes.preferred, classes.strength, patch, title)
        files["classes.png"] = to_png(figure)
    return files | {"npz": _npz(arrays)}


def _npz(arrays: dict[str, Any]) -> bytes:
    file = BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()
