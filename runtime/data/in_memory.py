"""Images that a run is given as an array, with a label each where it learns from labels.

On a cluster they are kept in the run's directory, where its workers read them:

    images.npy    [n, rows, columns, channels]
    labels.npy    [n]
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lnet.compiler.files import unreadable, written_aside
from lnet.compiler.graph.graph import Graph
from lnet.dsl.diagnostics import refused

from . import Dataset, Kept, open_array, order_classes
from .dataset import Classes

IMAGES, LABELS = "images.npy", "labels.npy"
Images = str | os.PathLike[str] | ArrayLike | None
"""A path, or an array of images; None: those that the file names."""


@dataclass(frozen=True)
class InMemory:
    """`prepared`: taken as they are, for they are what the network computes with."""

    images: NDArray[Any]
    labels: NDArray[Any] | None
    prepared: bool = False

    def open(
        self, graph: Graph, base: Path, kept: Kept | None = None, classes: Classes = order_classes
    ) -> Dataset:
        """Return the images as a run of `graph` takes them; `kept`, `classes` as in `open_frames`. Raises `LnetError`."""
        return open_array(
            self.images,
            self.labels,
            graph.frames,
            graph.input.sheet.maps,
            base,
            graph.training.seed,
            self.prepared,
            kept,
            classes,
        )

    def keep(self, folder: Path) -> Path:
        """Write them into a run's directory, and return the file of the images; raises `LnetError`."""
        target = folder / IMAGES
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
    """Return the images that are kept in a file of a run's directory, and the labels beside it; raises `LnetError`."""
    beside = path.with_name(LABELS)
    try:
        images = np.load(path, mmap_mode="r", allow_pickle=False)
        labels = np.load(beside, allow_pickle=False) if beside.exists() else None
    except OSError as error:
        raise unreadable(path, error) from error
    except (ValueError, EOFError) as error:
        raise refused("E703", f"'{path}' is no readable array file", str(error)) from error
    return InMemory(images, labels, prepared)


def is_prepared(data: Mapping[str, Any]) -> bool:
    """Whether a run takes its images as they are, as all those on arrays did that lnet 0.1 began."""
    return bool(data.get("prepared", data["in_memory"]))


def in_memory(data: Images, labels: ArrayLike | None, prepared: bool) -> InMemory | None:
    """Return images that are given as an array, None if `data` is a path or nothing; raises `LnetError`."""
    if data is None or isinstance(data, str | os.PathLike):
        if labels is not None or prepared:
            what = "labels" if labels is not None else "prepared"
            found = "no data" if data is None else f"the path '{data}'"
            raise refused(
                "E716",
                f"'{what}' belongs to an array of images, found {found}",
                hint="lnet.train(plan, data=images, labels=labels)",
            )
        return None
    images = as_array(data, "'data'", "a path or images [n, rows, columns, channels]")
    return InMemory(images, None if labels is None else _labels(labels), prepared)


def path_of(place: Any) -> str:
    """Return the path of a set of images; raises `LnetError` for an array, whose name a run could not keep."""
    if isinstance(place, str | os.PathLike):
        return str(place)
    raise refused(
        "E716",
        f"expected the path of a set of images, found {type(place).__name__}",
        hint="write an array into a file first: np.savez('set.npz', images=images, labels=labels)",
    )


def as_array(value: ArrayLike, name: str, expected: str) -> NDArray[Any]:
    """Return a value as an array of numbers; raises `LnetError`."""
    try:
        found = np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:  # ragged lists, tensors of other devices
        raise refused("E716", f"expected {expected} as {name}, found no array", str(error)) from error
    if found.dtype.kind not in "biuf" and found.dtype.name != "bfloat16":
        what = "texts" if found.dtype.kind in "US" else f"{type(value).__name__} of {found.dtype}"
        raise refused("E716", f"expected {expected} as {name}, found {what}")
    return found


def _labels(labels: ArrayLike) -> NDArray[Any]:
    found = np.asarray(labels)
    if found.dtype.kind == "O":
        raise refused(
            "E716", "expected a label for each image, found objects", hint="labels are integers or texts"
        )
    return found
