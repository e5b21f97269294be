"""Checks of arrays of images and labels."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator
from math import isfinite, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnet.dsl.diagnostics import LnetError, refused

SCANNED = 2**30
"""Bytes of an array up to which all values are checked before a run begins; those of larger ones when they are read."""
_BLOCK = 2**26
ROUNDING = 0.01
"""As far beyond 0..1 as scaling an image may leave its values."""
_OF_PIXELS = "with 1 or 3 channels, uint8 or float in 0..1"
NO_IMAGES = "what is no image is read by data = arrays(...), in Python by lnet.Arrays(x, labels=labels)"
"""The hint where data have channels or values that no image has."""


def is_real(dtype: np.dtype[Any]) -> bool:
    """Whether a type is one of real numbers."""
    return dtype.kind in "biuf" or dtype.name == "bfloat16"


def blocks_of(rows: Any, size: int) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield the rows of an array, each of `size` bytes, some at a time, with the number of the first."""
    step = max(1, _BLOCK // max(size, 1))
    for begin in range(0, rows.shape[0], step):
        yield begin, np.asarray(rows[begin : min(begin + step, rows.shape[0])])


def converted(value: Any, name: str, expected: str) -> NDArray[Any]:
    """Return a value as an array of whatever type; raises `LnetError`."""
    masked = int(np.ma.getmaskarray(value).sum()) if isinstance(value, np.ma.MaskedArray) else 0
    if masked:
        message = (
            f"expected {expected} as {name}, found an array with {masked:,} masked value{'s' * (masked > 1)}"
        )
        raise refused("E716", message, hint="put values in their places: array.filled(0)")
    try:
        return np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:  # ragged lists, tensors of other devices
        raise refused("E716", f"expected {expected} as {name}, found no array", str(error)) from error


def as_array(value: Any, name: str, expected: str) -> NDArray[Any]:
    """Return a value as an array of numbers; raises `LnetError`."""
    found = converted(value, name, expected)
    if not is_real(found.dtype):
        what = "texts" if found.dtype.kind in "US" else f"{type(value).__name__} of {found.dtype}"
        raise refused("E716", f"expected {expected} as {name}, found {what}")
    return found


# --- labels --------------------------------------------------------------------------------------------------------


def given_labels(labels: Any) -> NDArray[Any]:
    """Return labels given in Python as an array, of texts where they are held as objects; raises `LnetError`."""
    found = converted(labels, "labels", "a label for each image")
    if isinstance(labels, list | tuple) and found.dtype.kind in "US":  # of which None and NaN would be some
        found = np.asarray(labels, object)
    if found.dtype.kind not in "OT":
        return found
    return np.array([_label(value, place) for place, value in enumerate(found.flat)], str).reshape(
        found.shape
    )


def _label(value: Any, place: int) -> str:
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, str | int | np.integer | np.bool):
        return str(value)
    raise refused(
        "E716",
        "expected a label for each image, an integer or a text",
        f"the label of image {place:,} is {reprlib.repr(value)}",
    )


def label_texts(labels: Any, images: int, place: str) -> list[str]:
    """Return labels, which are integers, whole floats or texts, as texts, one for each image.

    Raises `LnetError` for any other array.
    """
    labels = given_labels(labels)
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


LABELS = (
    "labels are integers, which count classes from 0, or texts",
    "real numbers are targets: 'y: target(1)' in the network, and data = arrays(PATH, targets = NAME)",
)


def _no_labels(message: str, *notes: str) -> LnetError:
    return refused("E704", message, *notes, hint=LABELS)


# --- images --------------------------------------------------------------------------------------------------------


def check_images(images: Any, place: str, shape: tuple[int, int, int] | None = None) -> None:
    """Raise `LnetError` unless an array is one of images, `[n, rows, columns, channels]`, or prepared ones of a `shape`."""
    if shape is None:
        expected = f"expected [n, rows, columns, channels] {_OF_PIXELS}"
        _check(images, 4, f"the array in {place}", expected, "images")
    elif images.shape[1:] != shape or not len(images):
        of = ", ".join(map(str, shape))
        raise refused("E704", f"expected prepared images [n, {of}], found {list(images.shape)}")


def check_image(image: NDArray[Any], what: str, shape: tuple[int, int, int] | None = None) -> None:
    """Raise `LnetError` unless an array is an image, `[rows, columns, channels]`, or one of a `shape` and any values."""
    if shape is None:
        _check(image, 3, what, f"expected [rows, columns, channels] {_OF_PIXELS}", "image")
    elif image.shape != shape:
        message = f"{what} has the shape {list(image.shape)}"
        raise refused("E704", message, f"expected a prepared image {list(shape)}")


def _check(found: Any, axes: int, what: str, expected: str, name: str) -> None:
    shape = tuple(found.shape or ())
    if len(shape) != axes or shape[-1] not in (1, 3) or 0 in shape[axes - 3 :]:
        message = f"{what} has the shape {list(shape)}"
        raise refused("E704", message, expected, hint=_reshaped(shape, axes, name) or NO_IMAGES)
    if found.dtype.kind == "b" or found.dtype == np.uint8:
        return
    if found.dtype.kind != "f":
        raise refused(
            "E704", f"{what} holds {found.dtype}", expected, hint=(*_divided(found, name), NO_IMAGES)
        )
    if shape[0] and (isinstance(found, np.ndarray) or prod(shape) * found.dtype.itemsize <= SCANNED):
        low, high = _range(found)
        if not (low >= 0 and high <= 1):
            values, hint = out_of_range(low, high, name)
            raise refused("E704", f"{what} has {values}", expected, hint=(hint, NO_IMAGES))


def _range(found: Any) -> tuple[float, float]:
    """Return the lowest and the highest value of an array, NaN if it has one."""
    size = found.dtype.itemsize * prod(found.shape[1:])
    ranges = [(block.min(), block.max()) for _, block in blocks_of(found, size)]
    return float(np.min(ranges)), float(np.max(ranges))


def _reshaped(shape: tuple[int, ...], axes: int, name: str) -> str | tuple[str, ...]:
    if len(shape) == axes and shape[-3] in (1, 3):
        order = "0, 2, 3, 1" if axes == 4 else "1, 2, 0"
        return f"put the channels last: {name}.transpose({order})"
    if len(shape) == axes - 1:
        return f"add the axis of the channel: {name}[..., None]"
    if len(shape) == axes and shape[-1] == 4:
        return f"leave out transparency: {name}[..., :3]"
    return ()


def _divided(found: Any, name: str) -> tuple[str, ...]:
    if found.dtype.kind not in "iu":
        return ()
    divided = f"({name} / 65535).astype('float32')"
    return (f"divide by the value that is white, such as 255, 4095 or 65535: {divided}",)


def out_of_range(low: float, high: float, name: str) -> tuple[str, str]:
    """Return what values not in 0..1 are, by the lowest and the highest of them, and how images `name` are mended."""
    if not isfinite(low) or not isfinite(high):
        return "values that are not finite", "leave such images out, or put a number in the place of each"
    values = f"values from {low:.9g} to {high:.9g}"
    if low >= -ROUNDING and high <= 1 + ROUNDING:
        return values, f"cut off what rounding leaves beyond 0..1: np.clip({name}, 0, 1)"
    if low >= 0 and 1 < high <= 255:
        return values, f"divide it by the value that is white: {name} / 255"
    if low >= -1 and high <= 1:
        return values, f"bring it to 0..1: ({name} + 1) / 2"
    return values, "scale it to 0..1"
