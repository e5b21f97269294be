"""What augmentations do to images in 0..1, a function for each (compiler/augmentations.py).

Random numbers are a function of seed, sample, view and the place in the list alone, so any process makes the same image.
Many images are changed at once, one colour after the other, `[n, channels, rows, columns]`: one at a time, small images
would cost mostly Python.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil, exp, log, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lnet.compiler.augmentations import (
    Augmentation,
    Blur,
    Brightness,
    Contrasts,
    Cutout,
    Grey,
    Hue,
    Rotate,
    Saturation,
    Shift,
    Zoom,
)
from lnet.compiler.core.shapes import Size

from .draws import uniform

Pixels = NDArray[np.floating]
Draws = NDArray[np.float64]
_STREAM = 2  # of random numbers: windows and permutations have those before it
_GREY = 0.299, 0.587, 0.114  # ITU-R 601
_TOGETHER = 2**18  # bytes of images that are changed together: they stay in a processor's cache


@dataclass(frozen=True)
class Change:
    """What an augmentation does: of images, and of `draws` random numbers for each (`[n, draws]`), it makes images.

    It may write into those that it is given.
    """

    draws: int
    make: Callable[[Any, Pixels, Draws], Pixels]


def zooms_of(
    augment: Sequence[Augmentation], seed: int, numbers: NDArray[np.int64], views: NDArray[np.int64]
) -> list[tuple[Zoom, Draws] | None]:
    """Return the zoom that each sample's view has in place of its random crop, with its random numbers; None if none."""
    if not augment or not isinstance(augment[0], Zoom):
        return [None] * len(numbers)
    happens, draws = _drawn(augment[0], seed, numbers, views, 0)
    return [(augment[0], mine) if it else None for it, mine in zip(happens, draws, strict=True)]


def augmented(
    images: Pixels,
    augment: Sequence[Augmentation],
    seed: int,
    numbers: NDArray[np.int64],
    views: NDArray[np.int64],
) -> Pixels:
    """Change windows of samples' views `[n, rows, columns, channels]` by all augmentations but the zoom; return them.

    In the end they are clipped to 0..1.
    """
    if not augment:
        return images
    changes = [
        (partial(AUGMENTED[type(found)].make, found), *_drawn(found, seed, numbers, views, place))
        for place, found in enumerate(augment)
        if not isinstance(found, Zoom)
    ]
    together = max(1, _TOGETHER // max(1, images[:1].nbytes))
    for first in range(0, len(images), together):
        some = slice(first, first + together)
        block = np.ascontiguousarray(np.moveaxis(images[some], 3, 1))
        for make, happens, draws in changes:
            block = _where(happens[some], block, make, draws[some])
        np.clip(np.moveaxis(block, 1, 3), 0, 1, out=images[some])
    return images


def _drawn(
    augmentation: Augmentation, seed: int, numbers: NDArray[np.int64], views: NDArray[np.int64], place: int
) -> tuple[NDArray[np.bool_], Draws]:
    """Return for each sample whether an augmentation happens, and its random numbers."""
    count = 4 if isinstance(augmentation, Zoom) else AUGMENTED[type(augmentation)].draws
    draws = uniform(seed, numbers, views, _STREAM + place, 1 + count)
    return draws[:, 0] < augmentation.chance, draws[:, 1:]


def _where(
    chosen: NDArray[np.bool_], images: Pixels, make: Callable[[Pixels, Draws], Pixels], draws: Draws
) -> Pixels:
    """Change the chosen ones of images; return all."""
    if chosen.all():
        return make(images, draws).astype(images.dtype, copy=False)
    if chosen.any():
        images[chosen] = make(images[chosen], draws[chosen])
    return images


def _each(numbers: Draws, images: Pixels) -> Pixels:
    """Return a number for each image so that it multiplies images: `[n, 1, 1, 1]`, of their dtype."""
    return numbers.astype(images.dtype)[:, None, None, None]


# --- geometry --------------------------------------------------------------------------------------------


def zoomed(zoom: Zoom, image: NDArray[Any], size: Size, draws: Draws) -> NDArray[Any]:
    """Return a part of an image, scaled to a window; a part too wide or too high for the image is narrowed to it.

    Of 8 bits, if the image is of 8 bits, else in single precision.
    """
    share, turn, down, right = draws.tolist()
    area = image.shape[0] * image.shape[1] * (zoom.from_ + share * (zoom.to - zoom.from_))
    aspect = size.columns / size.rows * exp((2 * turn - 1) * log(zoom.aspect))
    rows = min(sqrt(area / aspect), image.shape[0])
    columns = min(sqrt(area * aspect), image.shape[1])
    top, left = down * (image.shape[0] - rows), right * (image.shape[1] - columns)
    box = (left, top, left + columns, top + rows)

    def scaled(image: NDArray[Any]) -> NDArray[Any]:
        shape = size.columns, size.rows
        return np.asarray(Image.fromarray(image).resize(shape, Image.Resampling.BILINEAR, box))

    if image.dtype == np.uint8:  # all colours at once, which is several times as fast
        return scaled(image if image.shape[2] == 3 else image[..., 0]).reshape(size.rows, size.columns, -1)
    planes = [scaled(np.ascontiguousarray(plane, np.float32)) for plane in np.moveaxis(image, 2, 0)]
    return np.stack(planes, axis=2).astype(np.result_type(image.dtype, np.float32), copy=False)


def _rotated(rotate: Rotate, images: Pixels, draws: Draws) -> Pixels:
    """A pixel is read where it was before the rotation about the middle."""
    angle = np.deg2rad(rotate.degrees * (2 * draws - 1))[:, :, None]
    rows, columns = images.shape[2:]
    y, x = np.mgrid[:rows, :columns].astype(np.float64)
    y, x = y - (rows - 1) / 2, x - (columns - 1) / 2
    return _bilinear(
        images,
        np.cos(angle) * y - np.sin(angle) * x + (rows - 1) / 2,
        np.sin(angle) * y + np.cos(angle) * x + (columns - 1) / 2,
    )


def _bilinear(images: Pixels, y: Draws, x: Draws) -> Pixels:
    """Return each image's values at its places `[n, rows, columns]` between pixels; beyond the edge, those of the edge."""
    rows, columns = images.shape[2:]
    y, x = np.clip(y, 0, rows - 1), np.clip(x, 0, columns - 1)
    top, left = np.floor(y).astype(int), np.floor(x).astype(int)
    bottom, right = np.minimum(top + 1, rows - 1), np.minimum(left + 1, columns - 1)
    v, u = (y - top)[:, None], (x - left)[:, None]
    above = _at(images, top, left) * (1 - u) + _at(images, top, right) * u
    below = _at(images, bottom, left) * (1 - u) + _at(images, bottom, right) * u
    found: Pixels = above * (1 - v) + below * v
    return found


def _shifted(shift: Shift, images: Pixels, draws: Draws) -> Pixels:
    down, right = (np.floor(draws * (2 * shift.pixels + 1)).astype(int) - shift.pixels).T
    rows, columns = (np.arange(extent) for extent in images.shape[2:])
    rows = np.clip(rows - down[:, None], 0, len(rows) - 1)
    columns = np.clip(columns - right[:, None], 0, len(columns) - 1)
    return _at(images, rows[:, :, None], columns[:, None, :])


def _at(images: Pixels, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Pixels:
    """Return each image's pixels at its places `[n, rows, columns]`."""
    each, channel = np.ogrid[: images.shape[0], : images.shape[1]]
    return images[each[..., None, None], channel[..., None, None], rows[:, None], columns[:, None]]


# --- values ----------------------------------------------------------------------------------------------


def _brightened(brightness: Brightness, images: Pixels, draws: Draws) -> Pixels:
    images += _each(brightness.by * (2 * draws[:, 0] - 1), images)
    return images


def _contrasted(contrasts: Contrasts, images: Pixels, draws: Draws) -> Pixels:
    return _about(_means(images), images, contrasts.by, draws)


def _saturated(saturation: Saturation, images: Pixels, draws: Draws) -> Pixels:
    return _about(_greys(images), images, saturation.by, draws)


def _about(middle: Pixels, images: Pixels, by: float, draws: Draws) -> Pixels:
    """Multiply distances to the middle by 1 - `by` to 1 + `by`."""
    images -= middle
    images *= _each(1 + by * (2 * draws[:, 0] - 1), images)
    images += middle
    return images


def _means(images: Pixels) -> Pixels:
    means: Pixels = images.reshape(len(images), -1).mean(axis=1)[:, None, None, None]
    return means


def _greys(images: Pixels) -> Pixels:
    red, green, blue = np.moveaxis(images, 1, 0)
    greys: Pixels = red * _GREY[0] + green * _GREY[1] + blue * _GREY[2]
    return greys[:, None]


def _turned(hue: Hue, images: Pixels, draws: Draws) -> Pixels:
    """By way of hue, saturation and value; values beyond 0..1 are clipped first."""
    images = np.clip(images, 0, 1)
    value = images.max(axis=1)
    chroma = value - images.min(axis=1)
    apart = np.where(chroma > 0, chroma, 1)
    red, green, blue = np.moveaxis(images, 1, 0)
    sixths = np.where(
        value == red,
        (green - blue) / apart,
        np.where(value == green, 2 + (blue - red) / apart, 4 + (red - green) / apart),
    )
    sixths += _each(6 * hue.by * (2 * draws[:, 0] - 1), images)[:, 0]
    for channel, n in enumerate((5, 3, 1)):
        distance = (n + sixths) % 6
        images[:, channel] = value - chroma * np.clip(np.minimum(distance, 4 - distance), 0, 1)
    return images


def _greyed(grey: Grey, images: Pixels, draws: Draws) -> Pixels:
    return _where(draws[:, 0] < grey.p, images, _grey_alone, draws)


def _grey_alone(images: Pixels, draws: Draws) -> Pixels:
    images[:] = _greys(images)
    return images


def _blurred(blur: Blur, images: Pixels, draws: Draws) -> Pixels:
    return _where(draws[:, 0] < blur.p, images, _smeared, blur.sigma * draws[:, 1])


def _smeared(images: Pixels, sigmas: NDArray[np.float64]) -> Pixels:
    """Return each image filtered along its rows and columns with a Gaussian of its width."""
    down, across = (_gaussians(extent, sigmas)[:, None].astype(images.dtype) for extent in images.shape[2:])
    smeared: Pixels = down @ images @ across.swapaxes(2, 3)
    return smeared


def _gaussians(extent: int, sigmas: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what each pixel along an axis takes of the others: `[n, extent, extent]`, rows sum to 1."""
    reach = ceil(4 * sigmas.max())
    offsets, widths = np.arange(-reach, reach + 1), np.maximum(sigmas, 1e-6)[:, None]
    weights = np.exp(-(offsets**2) / (2 * widths**2)) * (np.abs(offsets) <= np.ceil(4 * sigmas)[:, None])
    weights /= weights.sum(axis=1, keepdims=True)
    bands = np.zeros((len(sigmas), extent, extent))
    each, at = np.arange(len(sigmas))[:, None], np.arange(extent)
    for place, offset in enumerate(offsets):
        bands[each, at, np.clip(at + offset, 0, extent - 1)] += weights[:, place, None]
    return bands


def _cut_out(cutout: Cutout, images: Pixels, draws: Draws) -> Pixels:
    down, right = (extent - cutout.pixels + 1 for extent in images.shape[2:])
    corners = np.floor(draws * (down, right)).astype(int)
    for image, mean, (top, left) in zip(images, _means(images), corners, strict=True):
        image[:, top : top + cutout.pixels, left : left + cutout.pixels] = mean
    return images


AUGMENTED: dict[type[Augmentation], Change] = {
    Rotate: Change(1, _rotated),
    Shift: Change(2, _shifted),
    Brightness: Change(1, _brightened),
    Contrasts: Change(1, _contrasted),
    Saturation: Change(1, _saturated),
    Hue: Change(1, _turned),
    Grey: Change(1, _greyed),
    Blur: Change(2, _blurred),
    Cutout: Change(2, _cut_out),
}
