"""Images shifted, scaled and rotated about their centre.

    whole image, at its own resolution        distorted in one step, bicubic        scaled, cut and normalised as ever
    .------------.                            .------------.                       .----.
    |   o        |    2 right, turned 30  ->  |      o     |    ->                 | o  |
    '------------'                            '------------'                       '----'

An image that is smaller than the network's input is enlarged first. Pixels beyond an edge repeat the edge: black or grey
would be an outline that a neuron may respond to, and a reflection would be a second object.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, cos, floor, radians, sin
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lnet.compiler.settings import Frames
from lnet.runtime.data.pixels import Pixels, prepare

SUPPORT = 3
"""Pixels beyond a point that bicubic interpolation may read."""


@dataclass(frozen=True, slots=True)
class Distortion:
    """A shift in pixels of the network's input, a scale factor, and a rotation in degrees counter-clockwise."""

    right: float = 0
    down: float = 0
    scale: float = 1
    degrees: float = 0


def distort(pixels: Pixels, distortion: Distortion, frames: Frames) -> Pixels:
    """Return an image `[rows, columns, channels]`, distorted, not yet cut to the network's input.

    At its own resolution, or the input's if that is higher; `frames` must scale images whole.
    """
    assert frames.crop == "resize", "distort: a pixel of the input has no size in an image that is not scaled"
    height, width = pixels.shape[:2]
    shrinks = max(frames.size.rows / height, frames.size.columns / width)
    if shrinks > 1:
        pixels, shrinks = prepare(pixels, frames), 1.0
    return _transformed(pixels, _backward(pixels.shape[:2], distortion, shrinks))


def _backward(size: tuple[int, ...], distortion: Distortion, shrinks: float) -> NDArray[np.float64]:
    """Return the matrix `[2, 3]` from a point (right, down, 1) of the distorted image to its source."""
    middle = np.array([size[1] / 2, size[0] / 2])
    moved = np.array([distortion.right, distortion.down]) / shrinks
    angle = radians(distortion.degrees)
    turn = np.array([[cos(angle), -sin(angle)], [sin(angle), cos(angle)]]) / distortion.scale
    return np.column_stack([turn, middle - turn @ (middle + moved)])


def _transformed(pixels: Pixels, backward: NDArray[np.float64]) -> Pixels:
    height, width = pixels.shape[:2]
    corners = backward @ np.array([[0, width, 0, width], [0, 0, height, height], [1, 1, 1, 1]])
    (left, right), (top, bottom) = (_beyond(corners[0], width), _beyond(corners[1], height))
    padded = np.pad(pixels, ((top, bottom), (left, right), (0, 0)), mode="edge")
    shifted = backward + np.array([[0, 0, left], [0, 0, top]])
    planes = [
        np.asarray(_transform(Image.fromarray(plane), (width, height), shifted))
        for plane in np.moveaxis(padded, 2, 0)
    ]
    distorted: NDArray[Any] = np.stack(planes, axis=2)
    return distorted if pixels.dtype == np.uint8 else np.clip(distorted, 0, 1)


def _beyond(corners: NDArray[np.float64], extent: int) -> tuple[int, int]:
    """Return the number of pixels read before and after an axis."""
    return (
        max(0, -floor(corners.min())) + SUPPORT,
        max(0, ceil(corners.max()) - extent) + SUPPORT,
    )


def _transform(plane: Image.Image, size: tuple[int, int], backward: NDArray[np.float64]) -> Image.Image:
    numbers = tuple(float(number) for number in backward.ravel())
    return plane.transform(size, Image.Transform.AFFINE, numbers, Image.Resampling.BICUBIC)
