"""Images given in Python: an array, with labels if the run learns from them, or an object with samples.

On a cluster an array is written into the run's directory, where workers read it; an object's images stay in its process:

    images.npy    [n, rows, columns, channels]
    labels.npy    [n]
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lnet.compiler.files import unreadable, written_aside
from lnet.compiler.graph.graph import Graph
from lnet.dsl.diagnostics import refused

from . import Dataset, Kept, open_given, order_classes
from .array_files import array_source
from .arrays import as_array, converted, given_labels
from .dataset import Classes, check_channels
from .given_arrays import Arrays, GivenArrays, given_arrays, given_items
from .listing import given_path
from .open_data import check_targets
from .samples import ImageSource, Samples, opened

IMAGES, LABELS = "images.npy", "labels.npy"
Images = str | os.PathLike[str] | ArrayLike | Samples | Arrays | None
"""A path, an array of images, an object with samples, or arrays that are not images; None: what the file names."""
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class InMemory:
    """`images`: an array or an object; `prepared`: taken as they are, for they are what the network computes with; `name`:
    the argument that they are given as."""

    images: NDArray[Any] | Samples
    labels: NDArray[Any] | None
    prepared: bool = False
    name: str = "data"

    @property
    def object(self) -> str | None:
        """The class of an object with samples, None for an array."""
        return None if isinstance(self.images, np.ndarray) else type(self.images).__name__

    def open(
        self, graph: Graph, base: Path, kept: Kept | None = None, classes: Classes = order_classes
    ) -> Dataset:
        """Return the images prepared for a run of `graph`; `kept`, `classes` as in `open_frames`. Raises `LnetError`."""
        check_targets(graph)
        frames, channels = graph.frames, graph.input.sheet.maps
        shape = (frames.size.rows, frames.size.columns, channels) if self.prepared else None
        if shape is None:
            check_channels(channels)
        source = self._source(channels, graph.training.dtype, shape)
        return open_given(source, frames, base, graph.training.seed, kept, classes)

    def _source(self, channels: int, dtype: str, shape: Shape | None) -> ImageSource:
        if self.object is None:
            return array_source(self.images, self.labels, f"'{self.name}'", channels, dtype, shape)
        kind, where = f"{self.object} object", f"'{self.name}'"
        return opened(self.images, kind, where, channels, labels=self.labels, shape=shape, dtype=dtype)

    def keep(self, folder: Path) -> Path:
        """Write images and labels into a run's directory; return the path of the images. Raises `LnetError`."""
        target = folder / IMAGES
        assert isinstance(self.images, np.ndarray), "in_memory: an object is refused on a cluster"
        try:
            if self.labels is None:
                (folder / LABELS).unlink(missing_ok=True)
            else:
                _save(folder / LABELS, self.labels)
            _save(target, self.images)
            return target
        except OSError as error:
            raise refused("E744", f"'{folder}' cannot be written", str(error)) from error


def _save(path: Path, array: NDArray[Any]) -> None:
    with written_aside(path) as file:
        np.save(file, array)


def kept_at(path: Path, prepared: bool) -> InMemory:
    """Return the images in a file of a run's directory, with the labels beside it; raises `LnetError`."""
    beside = path.with_name(LABELS)
    try:
        images = np.load(path, mmap_mode="r", allow_pickle=False)
        labels = np.load(beside, allow_pickle=False) if beside.exists() else None
    except OSError as error:
        raise unreadable(path, error) from error
    except (ValueError, EOFError) as error:
        raise refused("E703", f"'{path}' is not a readable array file", str(error)) from error
    return InMemory(images, labels, prepared)


def is_prepared(data: Mapping[str, Any]) -> bool:
    """Whether a run takes its images unchanged, as all runs of lnet 0.1 on arrays did."""
    return bool(data.get("prepared", data["in_memory"]))


def trained_on(data: Mapping[str, Any]) -> str:
    """Return a description of a run's images in memory."""
    return f"an object of the class '{data['object']}'" if data.get("object") else "an array"


Given = InMemory | GivenArrays


def in_memory(
    data: Images,
    labels: ArrayLike | None,
    prepared: bool,
    cluster: bool,
    graph: Graph,
    name: str = "data",
) -> Given | None:
    """Return data given in Python as the argument `name`; None if they are a path or None. Raises `LnetError`.

    An array is taken as images, unless the file has `arrays(...)`. An object is refused on a `cluster`, whose workers do
    not have it.
    """
    if isinstance(data, str | os.PathLike):
        given_path(str(data))
    if data is None or isinstance(data, str | os.PathLike):
        if labels is not None or prepared:
            beside_it = "labels" if name == "data" else f"{name}_labels"
            what = beside_it if labels is not None else "prepared"
            found = f"no {name}" if data is None else f"the path '{data}'"
            raise refused(
                "E716",
                f"'{what}' belongs to an array of images, found {found}",
                hint=f"lnet.train(plan, {name}=images, {beside_it}=labels)",
            )
        return None
    beside = None if labels is None else given_labels(labels)
    if isinstance(data, Arrays):
        if beside is not None or prepared:
            what = "labels" if beside is not None else "prepared"
            raise refused("E716", f"'{what}' stands beside lnet.Arrays", hint="lnet.Arrays(x, labels=labels)")
        return given_arrays(data, graph)
    if _has_mappings(data):
        _check_object(data, beside is not None, cluster)
        return given_items(data, graph)
    if graph.arrays is not None and not _has_samples(data):
        return given_arrays(Arrays(converted(data, "data", "an array of numbers"), beside), graph)
    if _has_samples(data):
        _check_object(data, beside is not None, cluster)
        return InMemory(data, beside, prepared, name)
    images = as_array(data, f"'{name}'", "a path or images [n, rows, columns, channels]")
    return InMemory(images, beside, prepared, name)


def _check_object(data: Samples, labelled: bool, cluster: bool) -> None:
    """Raise `LnetError` for an object with samples on a cluster, and for labels given twice."""
    name = type(data).__name__
    if cluster:
        message = f"the workers of a cluster cannot read the images of an object, found '{name}'"
        hint = "give an array, np.stack([data[i] for i in range(len(data))]), or the path of files"
        raise refused("E716", message, hint=hint)
    if labelled and getattr(data, "labels", None) is not None:
        raise refused("E716", f"'labels' are given twice: the '{name}' object has labels of its own")


def _has_samples(data: Any) -> TypeGuard[Samples]:
    """Whether an object has items by number, and is neither an array nor convertible to one."""
    if isinstance(data, list | tuple | Mapping | memoryview | bytes | bytearray):
        return False
    array = any(hasattr(data, name) for name in ("__array__", "__array_interface__"))
    return hasattr(type(data), "__getitem__") and not array


def _has_mappings(data: Any) -> TypeGuard[Samples]:
    """Whether the items of an object are mappings, of arrays by name."""
    if not _has_samples(data):
        return False
    try:
        return len(data) > 0 and isinstance(data[0], Mapping)
    except Exception:  # an object that breaks the protocol: whoever reads its images says so
        return False


def path_of(place: Any) -> str:
    """Return the path of a set of images; raises `LnetError` for an array, which has no path for the run to record."""
    if isinstance(place, str | os.PathLike):
        return str(place)
    raise refused(
        "E716",
        f"expected the path of a set of images, found {type(place).__name__}",
        hint="write an array into a file first: np.savez('set.npz', images=images, labels=labels)",
    )
