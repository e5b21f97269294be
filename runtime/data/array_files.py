"""Images that lie in one array: in memory, in a `.npy` or a `.npz` file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from lnet.dsl.diagnostics import LnetError, refused

from .checksums import checksum
from .pixels import Loaded, with_channels
from .sources import stat_of

_EXPECTED = "expected [n, rows, columns, channels] with 1 or 3 channels, uint8 or float in 0..1"


class Arrays:
    """Images `[n, rows, columns, channels]`: uint8, float in 0..1 or bool, and the label of each, if there are any.

    `name` is what an image's name begins with, `place` what messages call the array, `changed` when its file was last
    changed; with `as_they_are` images may have any values. Raises `LnetError`.
    """

    kind = "array file"
    ignored: Mapping[str, int] = MappingProxyType({})

    def __init__(
        self,
        images: Any,
        labels: Any,
        channels: int,
        name: str,
        place: str,
        changed: int = 0,
        as_they_are: bool = False,
    ) -> None:
        self.channels, self.as_they_are = channels, as_they_are
        self.images = images if as_they_are else _checked(images, place)
        self.names = [f"{name}[{i}]" for i in range(len(self.images))]
        self.stats = [(images[:1].nbytes, changed)] * len(self.images)
        self.labels = None if labels is None else label_texts(labels, len(self.images), place)

    def load(self, index: int) -> dict[int, Loaded]:
        stored = np.ascontiguousarray(self.images[index])
        in_bytes = stored.dtype == np.uint8 and not self.as_they_are
        pixels = stored if in_bytes else stored.astype(np.float32, copy=False)
        return {index: Loaded(with_channels(pixels, self.channels), checksum(stored))}


def open_arrays(path: Path, name: str, channels: int) -> Arrays:
    """Open a `.npy` or `.npz` file; raises `LnetError`."""
    images, labels = _read_arrays(path)
    return Arrays(images, labels, channels, name, f"'{path}'", stat_of(path)[1])


def _read_arrays(path: Path) -> tuple[Any, Any]:
    """Return the images of a file and the labels beside them, if there are any."""
    try:
        loaded = np.load(path, mmap_mode="r", allow_pickle=False)
        if not hasattr(loaded, "files"):
            return loaded, None
        names = [name for name in loaded.files if name != "labels"]
        if "images" in names:
            names = ["images"]
        if len(names) != 1:
            found = ", ".join(f"'{name}'" for name in names) or "none"
            raise refused(
                "E704",
                f"'{path}' needs one array, or one named 'images'; found {found}",
                hint=f"np.savez('{path.name}', images=..., labels=...)",
            )
        return loaded[names[0]], loaded["labels"] if "labels" in loaded.files else None
    except LnetError:
        raise
    except Exception as error:  # a damaged file makes its reader raise almost anything
        hint: str | tuple[str, ...] = ()
        if "allow_pickle" in str(error):
            hint = "it holds Python objects, which are never read: np.stack makes one array of images of one size"
        raise refused("E703", f"'{path}' is no readable array file", str(error), hint=hint) from error


# --- labels --------------------------------------------------------------------------------------------------------


def label_texts(labels: Any, images: int, place: str) -> list[str]:
    """Return an array of labels as texts, one for each image: integers, whole numbers as integers, texts.

    Raises `LnetError` for all else.
    """
    labels = np.asarray(labels)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        hint: str | tuple[str, ...] = ()
        if labels.ndim == 2:
            hint = "of one column for each class take the largest: labels.argmax(1)"
        expected = f"expected one label for each image, [{images}]"
        raise refused(
            "E704", f"the labels in {place} have the shape {list(labels.shape)}", expected, hint=hint
        )
    if len(labels) != images:
        raise refused("E704", f"{place} has {images} images but {len(labels)} labels")
    if labels.dtype.kind == "f":
        labels = _whole(labels, place)
    if labels.dtype.kind == "S":
        return [label.decode(errors="backslashreplace") for label in labels]
    if labels.dtype.kind not in "iubU":
        raise _no_labels(f"the labels in {place} are {labels.dtype}")
    return [str(label) for label in labels]


def _whole(labels: Any, place: str) -> Any:
    other = np.flatnonzero(~(labels == np.round(labels)) | ~np.isfinite(labels))
    if len(other):
        found = f"the label of image {other[0]:,} is {labels[other[0]]}"
        raise _no_labels(f"the labels in {place} are {labels.dtype}, and not all are whole numbers", found)
    return labels.astype(np.int64)


def _no_labels(message: str, *notes: str) -> LnetError:
    return refused("E704", message, *notes, hint="labels are integers, which count classes from 0, or texts")


# --- images --------------------------------------------------------------------------------------------------------


def _checked(images: Any, place: str) -> Any:
    if images.ndim != 4 or images.shape[3] not in (1, 3) or 0 in images.shape[1:]:
        message = f"the array in {place} has the shape {list(images.shape)}"
        raise refused("E704", message, _EXPECTED, hint=_reshaped(images))
    if images.dtype.kind == "b" or images.dtype == np.uint8:
        return images
    if images.dtype.kind != "f":
        raise refused("E704", f"the array in {place} holds {images.dtype}", _EXPECTED, hint=_divided(images))
    if len(images):
        low, high = float(images.min()), float(images.max())
        if not (low >= 0 and high <= 1):
            raise refused(
                "E704",
                f"the array in {place} has values from {low:g} to {high:g}",
                _EXPECTED,
                hint=_scaled(low, high),
            )
    return images


def _reshaped(images: Any) -> str | tuple[str, ...]:
    if images.ndim == 4 and images.shape[1] in (1, 3):
        return "put the channels last: images.transpose(0, 2, 3, 1)"
    if images.ndim == 3:
        return "add the axis of the channel: images[..., None]"
    if images.ndim == 4 and images.shape[3] == 4:
        return "leave out transparency: images[..., :3]"
    return ()


def _divided(images: Any) -> str | tuple[str, ...]:
    if images.dtype.kind not in "iu":
        return ()
    return "divide by the value that is white, such as 255, 4095 or 65535: (images / 65535).astype('float32')"


def _scaled(low: float, high: float) -> str:
    if low >= 0 and 1 < high <= 255:
        return "divide it by the value that is white: images / 255"
    if low >= -1 and high <= 1:
        return "bring it to 0..1: (images + 1) / 2"
    return "scale it to 0..1"
