"""What augmentations do to an image `[rows, columns, channels]` in 0..1, a function for each (compiler/augmentations.py).

Random numbers are a function of seed, sample, view and the place in the list alone, so any process makes the same image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, exp, log, sqrt
from typing import Any

import numpy as np
from numpy.random import Generator
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

from .order import random_numbers

Pixels = NDArray[np.floating]
_STREAM = 2  # of random numbers: windows and permutations have those before it
_GREY = np.asarray([0.299, 0.587, 0.114], np.float32)  # ITU-R 601


def zoom_of(
    augment: Sequence[Augmentation], seed: int, sample: int, view: int
) -> tuple[Zoom, Generator] | None:
    """Return the zoom that a view has in place of its random crop, with the random numbers left for it; None if none."""
    if not augment or not isinstance(augment[0], Zoom):
        return None
    random = _drawn(augment[0], seed, sample, view, 0)
    return None if random is None else (augment[0], random)


def augmented(image: Pixels, augment: Sequence[Augmentation], seed: int, sample: int, view: int) -> Pixels:
    """Return the window of a view of a sample after all augmentations but the zoom, clipped to 0..1."""
    if not augment:
        return image
    for place, found in enumerate(augment):
        random = None if isinstance(found, Zoom) else _drawn(found, seed, sample, view, place)
        if random is not None:
            image = AUGMENTED[type(found)](found, image, random).astype(image.dtype, copy=False)
    return np.clip(image, 0, 1)


def _drawn(augmentation: Augmentation, seed: int, sample: int, view: int, place: int) -> Generator | None:
    """Return the random numbers of an augmentation; None if it does not happen."""
    random = random_numbers(seed, sample, _STREAM + place, view)
    return random if random.random() < augmentation.chance else None


# --- geometry --------------------------------------------------------------------------------------------


def zoomed(zoom: Zoom, image: NDArray[Any], size: Size, random: Generator) -> Pixels:
    """Return a part of an image, scaled to a window; a part too wide or too high for the image is narrowed to it."""
    share, turn, down, right = random.random(4)
    area = image.shape[0] * image.shape[1] * (zoom.from_ + share * (zoom.to - zoom.from_))
    aspect = size.columns / size.rows * exp((2 * turn - 1) * log(zoom.aspect))
    rows = min(sqrt(area / aspect), image.shape[0])
    columns = min(sqrt(area * aspect), image.shape[1])
    top, left = down * (image.shape[0] - rows), right * (image.shape[1] - columns)
    box = (left, top, left + columns, top + rows)
    planes = [
        Image.fromarray(np.ascontiguousarray(plane, np.float32)).resize(
            (size.columns, size.rows), Image.Resampling.BILINEAR, box
        )
        for plane in np.moveaxis(image, 2, 0)
    ]
    return np.stack([np.asarray(plane) for plane in planes], axis=2).astype(image.dtype, copy=False)


def _rotated(rotate: Rotate, image: Pixels, random: Generator) -> Pixels:
    """A pixel is read where it was before the rotation about the middle."""
    angle = np.deg2rad(rotate.degrees * (2 * random.random() - 1))
    rows, columns = image.shape[:2]
    y, x = np.mgrid[:rows, :columns].astype(np.float64)
    y, x = y - (rows - 1) / 2, x - (columns - 1) / 2
    return _bilinear(
        image,
        np.cos(angle) * y - np.sin(angle) * x + (rows - 1) / 2,
        np.sin(angle) * y + np.cos(angle) * x + (columns - 1) / 2,
    )


def _bilinear(image: Pixels, y: NDArray[np.float64], x: NDArray[np.float64]) -> Pixels:
    """Return the values at places between pixels; beyond the edge, those of the edge."""
    y, x = np.clip(y, 0, image.shape[0] - 1), np.clip(x, 0, image.shape[1] - 1)
    top, left = np.floor(y).astype(int), np.floor(x).astype(int)
    bottom, right = np.minimum(top + 1, image.shape[0] - 1), np.minimum(left + 1, image.shape[1] - 1)
    v, u = (y - top)[..., None], (x - left)[..., None]
    above = image[top, left] * (1 - u) + image[top, right] * u
    below = image[bottom, left] * (1 - u) + image[bottom, right] * u
    found: Pixels = above * (1 - v) + below * v
    return found


def _shifted(shift: Shift, image: Pixels, random: Generator) -> Pixels:
    down, right = random.integers(-shift.pixels, shift.pixels, 2, endpoint=True)
    rows = np.clip(np.arange(image.shape[0]) - down, 0, image.shape[0] - 1)
    columns = np.clip(np.arange(image.shape[1]) - right, 0, image.shape[1] - 1)
    moved: Pixels = image[rows][:, columns]
    return moved


# --- values ----------------------------------------------------------------------------------------------


def _brightened(brightness: Brightness, image: Pixels, random: Generator) -> Pixels:
    return image + np.float32(brightness.by * (2 * random.random() - 1))


def _contrasted(contrasts: Contrasts, image: Pixels, random: Generator) -> Pixels:
    return _about(image.mean(), image, contrasts.by, random)


def _saturated(saturation: Saturation, image: Pixels, random: Generator) -> Pixels:
    return _about(_greys(image), image, saturation.by, random)


def _about(middle: Any, image: Pixels, by: float, random: Generator) -> Pixels:
    """Multiply distances to the middle by 1 - `by` to 1 + `by`."""
    found: Pixels = middle + (image - middle) * np.float32(1 + by * (2 * random.random() - 1))
    return found


def _greys(image: Pixels) -> Pixels:
    greys: Pixels = image @ _GREY
    return greys[..., None]


def _turned(hue: Hue, image: Pixels, random: Generator) -> Pixels:
    """By way of hue, saturation and value; values beyond 0..1 are clipped first."""
    image = np.clip(image, 0, 1)
    value, least = image.max(axis=2), image.min(axis=2)
    chroma = value - least
    apart = np.where(chroma > 0, chroma, 1)
    red, green, blue = np.moveaxis(image, 2, 0)
    sixths = np.select(
        [value == red, value == green],
        [(green - blue) / apart, 2 + (blue - red) / apart],
        4 + (red - green) / apart,
    )
    sixths = sixths + 6 * hue.by * (2 * random.random() - 1)
    distance = [(np.asarray(n) + sixths) % 6 for n in (5, 3, 1)]
    planes = [value - chroma * np.clip(np.minimum(k, 4 - k), 0, 1) for k in distance]
    return np.stack(planes, axis=2)


def _greyed(grey: Grey, image: Pixels, random: Generator) -> Pixels:
    return np.broadcast_to(_greys(image), image.shape) if random.random() < grey.p else image


def _blurred(blur: Blur, image: Pixels, random: Generator) -> Pixels:
    if random.random() >= blur.p:
        return image
    sigma = blur.sigma * random.random()
    rows, columns = (_gaussian(extent, sigma) for extent in image.shape[:2])
    blurred: Pixels = np.einsum("ab,bdc,ed->aec", rows, image, columns, optimize=True)
    return blurred


def _gaussian(extent: int, sigma: float) -> Pixels:
    """Return what each pixel along an axis takes of the others: `[extent, extent]`, rows sum to 1."""
    reach = ceil(4 * sigma)
    weights = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * max(sigma, 1e-6) ** 2))
    band = np.zeros((extent, extent))
    for offset, weight in zip(range(-reach, reach + 1), weights / weights.sum(), strict=True):
        band[np.arange(extent), np.clip(np.arange(extent) + offset, 0, extent - 1)] += weight
    return band.astype(np.float32)


def _cut_out(cutout: Cutout, image: Pixels, random: Generator) -> Pixels:
    top, left = (int(random.integers(0, extent - cutout.pixels, endpoint=True)) for extent in image.shape[:2])
    cut = image.copy()
    cut[top : top + cutout.pixels, left : left + cutout.pixels] = image.mean()
    return cut


AUGMENTED: dict[type[Augmentation], Callable[[Any, Pixels, Generator], Pixels]] = {
    Rotate: _rotated,
    Shift: _shifted,
    Brightness: _brightened,
    Contrasts: _contrasted,
    Saturation: _saturated,
    Hue: _turned,
    Grey: _greyed,
    Blur: _blurred,
    Cutout: _cut_out,
}
