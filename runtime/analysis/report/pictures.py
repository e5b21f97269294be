"""Arrays as pictures embedded in the page."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnet.runtime.analysis.contact import png, png_url

Array = NDArray[np.floating[Any]]


def data_url(picture: Array, scale: int = 1) -> str:
    """Return a picture `[rows, columns, 3]` in 0..1 as a PNG in a URL, enlarged by an integer."""
    return png_url(png(pixels_of(picture, scale)))


def pixels_of(picture: Array, scale: int = 1) -> NDArray[np.uint8]:
    """Return a picture `[rows, columns, 3]` in 0..1 as pixels, enlarged by an integer."""
    return (picture.clip(0, 1) * 255).round().astype(np.uint8).repeat(scale, 0).repeat(scale, 1)


def sheet_picture(value: Array, spread: float) -> Array:
    """Return a value `[rows, columns, maps]` as a picture: 0 grey, `spread` white, `-spread` black.

    Three maps are colours; the mean of any other number is shown.
    """
    grey = 0.5 + 0.5 * value / (spread or 1)
    return grey if value.shape[-1] == 3 else np.repeat(grey.mean(-1, keepdims=True), 3, axis=-1)
