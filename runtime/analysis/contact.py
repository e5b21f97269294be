"""Images as pixels: enlarged, side by side with captions, as PNG files."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from .neurons import Array

Pixels = NDArray[np.uint8]
GAP = 2
CAPTION = 18
FRAME = (213, 94, 0)
"""The colour of a frame around one unit among others."""
SIDE = 96
"""Pixels that a small image is enlarged to, about."""
ACROSS = 4
"""Images in a row of a contact sheet."""


def photograph(image: Array) -> Pixels:
    """Return a normalised image as pixels `[rows, columns, 3]`, its darkest value black and its brightest white."""
    low, high = float(image.min()), float(image.max())
    return _pixels((image - low) / ((high - low) or 1))


def pattern(image: Array) -> Pixels:
    """Return a stimulus as pixels `[rows, columns, 3]`: 0 is grey, one value in 200 is full black or white."""
    spread = float(np.quantile(np.abs(image), 0.995)) or float(np.abs(image).max()) or 1
    return _pixels(0.5 + 0.5 * image / spread)


def _pixels(picture: Array) -> Pixels:
    colours = picture if picture.shape[-1] == 3 else np.repeat(picture.mean(-1, keepdims=True), 3, axis=-1)
    return (colours.clip(0, 1) * 255).round().astype(np.uint8)


def enlarged(pixels: Pixels, times: int = 1) -> Pixels:
    """Repeat pixels so that the longer side is about SIDE, times `times`."""
    scale = times * max(1, round(SIDE / max(pixels.shape[:2])))
    return pixels.repeat(scale, 0).repeat(scale, 1)


def sheet_of_units(values: Array, place: tuple[int, int]) -> Pixels:
    """Return the responses `[row, column]` of a sheet of units as pixels, one of them framed; 0 is grey."""
    longer = max(values.shape)
    scale = max(3, round(3 * SIDE / longer))
    pixels = pattern(values[..., None]).repeat(scale, 0).repeat(scale, 1)
    top, left = (scale * number for number in place)
    frame = pixels[top : top + scale, left : left + scale]
    width = max(1, scale // 6)
    frame[:width] = frame[-width:] = frame[:, :width] = frame[:, -width:] = FRAME
    return pixels


def contact_sheet(images: Sequence[Pixels], columns: int) -> Pixels:
    """Return images of one size row by row, white between them."""
    height, width = images[0].shape[:2]
    rows = -(-len(images) // columns)
    sheet = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), 255, np.uint8)
    for number, image in enumerate(images):
        top, left = number // columns * (height + GAP), number % columns * (width + GAP)
        sheet[top : top + height, left : left + width] = image
    return sheet


def captioned(pixels: Pixels, lines: Sequence[str]) -> Pixels:
    """Return a picture under lines of text."""
    font = ImageFont.load_default(13)
    width = max(pixels.shape[1], *(int(font.getlength(line)) + 1 for line in lines))
    page = Image.new("RGB", (width, pixels.shape[0] + CAPTION * len(lines)), "white")
    draw = ImageDraw.Draw(page)
    for number, line in enumerate(lines):
        draw.text((0, number * CAPTION), line, "black", font)
    page.paste(Image.fromarray(pixels), (0, CAPTION * len(lines)))
    return np.asarray(page)


def beside(pictures: Sequence[Pixels], gap: int = 16, down: bool = False) -> Pixels:
    """Return pictures side by side, or one under the other, on white."""
    axis = 0 if down else 1
    extent = max(picture.shape[1 - axis] for picture in pictures)
    parts = []
    for number, picture in enumerate(pictures):
        after = gap if number < len(pictures) - 1 else 0
        spare = [(0, 0), (0, 0), (0, 0)]
        spare[axis], spare[1 - axis] = (0, after), (0, extent - picture.shape[1 - axis])
        parts.append(np.pad(picture, spare, constant_values=255))
    return np.concatenate(parts, axis)


def png(pixels: NDArray[Any]) -> bytes:
    """Return pixels as a PNG file."""
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    return file.getvalue()


def png_url(file: bytes) -> str:
    """Return a PNG file as a URL."""
    return "data:image/png;base64," + base64.b64encode(file).decode("ascii")


def png_html(file: bytes) -> str:
    """Return a PNG file as an image in HTML, for notebooks."""
    return f'<img src="{png_url(file)}" alt="">'
