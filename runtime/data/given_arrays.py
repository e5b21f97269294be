"""Arrays given in Python that are no images: `lnet.Arrays`, or an object whose items are mappings of arrays.

On a cluster arrays are written into the run's directory, where workers read them; an object's stay in its process:

    arrays/x.npy       [n, rows, columns, maps]
    arrays/labels.npy  [n]
    arrays/y.npy       [n, rows, columns, maps] of the target 'y'
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lnet.compiler.files import written_aside
from lnet.compiler.graph.graph import Graph
from lnet.compiler.plan.plan import Plan
from lnet.compiler.settings import DATASET, ArraySet
from lnet.dsl.diagnostics import refused

from .array_sets import data_set
from .arrays import converted, given_labels
from .columns import Columns, columns_of, columns_of_items, open_columns
from .dataset import Classes, Dataset, Kept
from .labels import order_classes

FOLDER = "arrays"


@dataclass(frozen=True, eq=False)
class Arrays:
    """Training data other than images, for `lnet.train`: any real numbers, a row of each array for each sample.

    `values` `[n, rows, columns, maps]`, or fewer axes with the same values in the same order; `labels` `[n]`, integers or
    texts; `targets` by the names of the network's targets, or the array alone where it has one; `normalize`: "none", "image"
    or "dataset", by default as the file says.
    """

    values: ArrayLike
    labels: ArrayLike | None = None
    targets: ArrayLike | Mapping[str, ArrayLike] | None = None
    normalize: str | None = None

    def __post_init__(self) -> None:
        if self.normalize not in (None, "none", "image", DATASET):
            message = f"'normalize' must be 'none', 'image' or 'dataset', found {self.normalize!r}"
            raise refused("E716", message)


@dataclass(frozen=True)
class GivenArrays:
    """Arrays in Python, and how a run takes them; `object`: the class of an object that gives them."""

    columns: Columns
    data: ArraySet
    object: str | None = None

    prepared = False

    def planned(self, plan: Plan) -> Plan:
        """Return a plan that is trained on them."""
        return replace(plan, graph=replace(plan.graph, training=replace(plan.graph.training, data=self.data)))

    def open(
        self, graph: Graph, base: Path, kept: Kept | None = None, classes: Classes = order_classes
    ) -> Dataset:
        """Return them as the data set of a run of `graph`; `kept`, `classes` as in `open_frames`. Raises `LnetError`."""
        scan = self.object is None and kept is None
        return data_set(self.columns, self.data, graph, base, 0, kept, classes, scan)

    def keep(self, folder: Path) -> Path:
        """Write them into a run's directory; return the path of their folder. Raises `LnetError`."""
        assert self.object is None, "in_memory: an object is refused on a cluster"
        target = folder / FOLDER
        try:
            target.mkdir(exist_ok=True)
            for name in self.columns.names:
                with written_aside(target / f"{name}.npy") as file:
                    np.save(file, np.asarray(self.columns[name][:]))
            return target
        except OSError as error:
            raise refused("E744", f"'{folder}' cannot be written", str(error)) from error


def given_arrays(data: Arrays, graph: Graph) -> GivenArrays:
    """Return arrays as the data of a network; raises `LnetError` for targets other than the network's."""
    _check_views(graph)
    paths = [layer.path for layer in graph.targets]
    file = graph.arrays or ArraySet("")
    targets = _by_path(data.targets, paths)
    arrays = dict(targets)
    values = _free("x", arrays)
    arrays[values] = _array(data.values, "values")
    labels = None if data.labels is None else _free("labels", arrays)
    if labels is not None:
        arrays[labels] = given_labels(data.labels)
    normalize = file.normalize if data.normalize in (None, str(file.normalize)) else data.normalize
    settings = ArraySet("", values, labels, tuple(paths), normalize, file.classes or _listed(graph))
    return GivenArrays(columns_of(arrays), settings)


def given_items(items: Any, graph: Graph) -> GivenArrays:
    """Return an object whose items are mappings of arrays as the data of a network: by the names that the file gives, else
    `x`, `labels`, and the names of the targets."""
    _check_views(graph)
    name, paths = type(items).__name__, tuple(layer.path for layer in graph.targets)
    columns = columns_of_items(items, f"'data' ({name} object)")
    if getattr(items, "labels", None) is not None:
        columns = _with_labels(columns, given_labels(items.labels))
    settings = graph.arrays or ArraySet("", targets=paths, classes=_listed(graph))
    if settings.labels is None and "labels" in columns.names:
        settings = replace(settings, labels="labels")
    return GivenArrays(columns, replace(settings, path=""), name)


def _check_views(graph: Graph) -> None:
    """Raise `LnetError` for a network that is trained on two views of each image."""
    if graph.training.views > 1:
        raise refused(
            "E716",
            "'frames(...)' in the file has two views of each image, and there are none of arrays",
            hint="give images, or leave 'views = 2' out: nothing in arrays is cropped, mirrored or augmented",
        )


def kept_arrays(folder: Path, data: ArraySet) -> GivenArrays:
    """Return the arrays that a run on a cluster keeps in a folder of its directory; raises `LnetError`."""
    return GivenArrays(replace(open_columns(folder, str(folder)), changed=0), data)


def _with_labels(columns: Columns, labels: NDArray[Any]) -> Columns:
    names = tuple(dict.fromkeys((*columns.names, "labels")))
    return replace(
        columns, names=names, column=lambda name: labels if name == "labels" else columns.column(name)
    )


def _listed(graph: Graph) -> str | None:
    """Return the file of classes that `frames(...)` names, whose images the arrays stand for."""
    return graph.frames.classes


def _free(name: str, taken: Mapping[str, Any]) -> str:
    while name in taken:
        name += "_"
    return name


def _by_path(targets: Any, paths: Sequence[str]) -> dict[str, NDArray[Any]]:
    if targets is not None and not isinstance(targets, Mapping) and len(paths) == 1:
        targets = {paths[0]: targets}
    given = {} if targets is None else targets
    if not isinstance(given, Mapping) or set(given) != set(paths):
        wanted = ", ".join(f"'{path}'" for path in paths) or "none"
        found = ", ".join(f"'{name}'" for name in given) if isinstance(given, Mapping) else "an array"
        raise refused(
            "E517",
            f"the network's targets are {wanted}, and those of the data are {found or 'none'}",
            hint=f"lnet.Arrays(x, targets={{{', '.join(f'{path!r}: ...' for path in paths)}}})"
            if paths
            else (),
        )
    return {path: _array(given[path], f"target '{path}'") for path in paths}


def _array(value: Any, what: str) -> NDArray[Any]:
    found = converted(value, what, "an array of numbers")
    if found.dtype.kind == "O":
        raise refused("E716", f"expected an array of numbers as {what}, found objects")
    return found
