"""The input of a network: the statistics of its training images, and the preparation of others."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from numpy.typing import ArrayLike, NDArray

from lnet.compiler.core.shapes import Sheet
from lnet.compiler.graph.graph import Graph
from lnet.dsl.diagnostics import LnetWarning, refused

from .array_files import array_source
from .array_sets import prepared_rows
from .arrays import as_array
from .dataset import check_channels
from .pixels import Reals, as_seen

Images = ArrayLike | Sequence[ArrayLike]
FAR, SHARE = 8.0, 0.01
"""Images are unlike the training images if more than SHARE of their values are over FAR standard deviations off the mean."""


@dataclass(frozen=True)
class Inputs:
    """Mean and standard deviation of all values of a network's prepared training images."""

    mean: float
    deviation: float


def inputs_from(data: Mapping[str, Any]) -> Inputs | None:
    """Return run.json's statistics of a run's images; None for a run of lnet 0.1."""
    found = data.get("inputs")
    return None if found is None else Inputs(float(found["mean"]), float(found["deviation"]))


def prepared(images: Images, graph: Graph) -> Reals:
    """Return images prepared as in evaluation: scaled to cover the input, central window, normalised.

    `images`: `[n, rows, columns, channels]`, uint8 or float in 0..1, of any size; or a list of images
    `[rows, columns, channels]` of different sizes. Of a network of arrays, such as it was trained on. Raises `LnetError`
    for anything else.
    """
    if graph.arrays is not None:
        return prepared_rows(images, graph.input.sheet, graph.arrays.normalize, graph.training.dtype)
    channels = graph.input.sheet.maps
    check_channels(channels)
    parts = [as_array(part, "'images'", "[n, rows, columns, channels]") for part in _by_size(images)]
    sources = [array_source(part, None, "'images'", channels, graph.training.dtype) for part in parts]
    pixels = [source.load(i).pixels for source in sources for i in range(len(source.names))]
    if not pixels:
        raise refused("E716", "expected at least one image, found none")
    return as_seen(pixels, graph.frames, graph.training.dtype)


def _by_size(images: Any) -> list[Any]:
    """Return one array of images, or, if sizes differ, an array for each image."""
    if isinstance(images, list | tuple) and len({np.shape(image) for image in images}) > 1:
        return [np.asarray(image)[None] for image in images]
    return [images]


def checked(images: ArrayLike, sheet: Sheet, trained_on: Inputs | None, callers: int) -> Any:
    """Return prepared images, `[batch, row, column, channel]`, as an array; raises `LnetError` for any other shape.

    Warns of values unlike those of prepared images; the warning points `callers` calls further up.
    """
    array = (
        images if isinstance(images, jax.Array) else as_array(images, "the network's input", _expected(sheet))
    )
    check_shape(array, sheet)
    unlike = _unlike(array, trained_on)
    if unlike is not None:
        warnings.warn(
            f"{unlike}; lnet.prepare(images, net) makes images so", LnetWarning, stacklevel=callers + 2
        )
    return array


def check_shape(array: Any, sheet: Sheet) -> None:
    """Raise `LnetError` unless an array is one of images, `[batch, row, column, channel]`."""
    if array.ndim != 4 or array.shape[1:] != (sheet.height, sheet.width, sheet.maps) or not array.shape[0]:
        hint = "lnet.prepare(images, net) scales and normalises images as in training"
        if array.shape == (sheet.height, sheet.width, sheet.maps):
            hint = "one image is a batch of one: images[None]"
        raise refused("E716", f"expected {_expected(sheet)}, found {list(array.shape)}", hint=hint)


def _expected(sheet: Sheet) -> str:
    return f"images [batch, {sheet.height}, {sheet.width}, {sheet.maps}], prepared as in training"


def _unlike(array: Any, trained_on: Inputs | None) -> str | None:
    """Return a warning about values unlike the training images."""
    like = "prepared ones"
    if trained_on is not None:
        like += f" of mean {trained_on.mean:.2g} and standard deviation {trained_on.deviation:.2g}"
    if array.dtype.kind in "iu":
        return f"the images are {array.dtype}, and the network was trained on {like}"
    if trained_on is None:
        return None
    distance = np.abs(np.asarray(array) - trained_on.mean)
    far = np.count_nonzero(~(distance <= FAR * max(trained_on.deviation, 1e-6)))  # counts NaN, too
    if far <= SHARE * distance.size:
        return None
    return (
        f"{far / distance.size:.0%} of the images' values are more than {FAR:g} standard deviations off the mean of what "
        f"the network was trained on: {like}"
    )


def checked_targets(targets: Any, images: int, graph: Graph) -> dict[str, Any]:
    """Return targets by path, `[batch, row, column, map]`; raises `LnetError` for missing, unknown or unfit ones.

    `targets`: by name, or the array alone where the network has one. One with fewer axes has its values in their order.
    """
    wanted = {layer.path: layer.sheet for layer in graph.targets}
    if targets is None and wanted:
        first = next(iter(wanted))
        raise refused("E716", f"the network has the target '{first}': give targets={{'{first}': array}}")
    if targets is not None and not isinstance(targets, Mapping):
        if len(wanted) != 1:
            named = ", ".join(f"'{path}'" for path in wanted) or "none"
            raise refused("E716", f"expected targets by name, found one array: the network's are {named}")
        targets = dict.fromkeys(wanted, targets)
    given = dict(targets or {})
    if given.keys() != wanted.keys():
        named = ", ".join(f"'{path}'" for path in wanted) or "none"
        found = ", ".join(f"'{path}'" for path in given) or "none"
        raise refused("E716", f"expected the targets of the network, {named}, found {found}")
    return {path: _target(given[path], path, images, sheet) for path, sheet in wanted.items()}


def _target(value: Any, path: str, images: int, sheet: Sheet) -> Any:
    expected = f"[{images}, {sheet.height}, {sheet.width}, {sheet.maps}]"
    found = value if isinstance(value, jax.Array) else as_array(value, f"the target '{path}'", expected)
    if len(found.shape) == 0 or len(found) != images or found[:1].size != sheet.values:
        raise refused("E716", f"expected {expected} as the target '{path}', found {list(found.shape)}")
    return found.reshape(images, sheet.height, sheet.width, sheet.maps)


def checked_labels(labels: ArrayLike, images: int, units: Mapping[str, int]) -> NDArray[np.int32]:
    """Return labels, `[batch]`, as numbers of classes; raises `LnetError` unless each of the objectives has a unit for it.

    `units`: of each objective that reads labels.
    """
    found = np.asarray(labels)
    if found.shape != (images,):
        raise refused(
            "E716", f"expected a label for each of {images} images, [{images}], found {list(found.shape)}"
        )
    if found.dtype.kind not in "iu":
        raise refused("E716", f"expected the numbers of classes as labels, found {found.dtype}")
    for objective, count in units.items():
        if found.size and not (found.min() >= 0 and found.max() < count):
            wrong = int(found.min() if found.min() < 0 else found.max())
            message = f"expected labels from 0 to {count - 1}, for '{objective}' reads {count} values, found {wrong}"
            raise refused("E716", message)
    return found.astype(np.int32)
