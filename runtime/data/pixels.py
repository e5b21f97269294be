"""Pixels: decoding of files to arrays, and preparation of arrays to inputs.

Arrays are `[rows, columns, channels]`, uint8, or float32 in 0..1 where a file holds more than eight bits; arrays of real
numbers have the network's type. What Pillow scales of them has float32's precision.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from lnet.compiler.core.shapes import Size
from lnet.compiler.settings import DATASET, DatasetFigures, Frames, Normalization
from lnet.dsl.diagnostics import refused

from .checksums import UNREADABLE, checksum
from .depth import SampleFormat, Unclear, unread

Pixels = NDArray[Any]
Reals = NDArray[np.floating]
"""Numbers of the network's type: float32 or float64."""

MOST = 2**27
"""No image is enlarged to more pixels than this: a line of them is no image."""
_AT = re.compile(r" <_io\.BytesIO object at 0x[0-9a-f]+>")
"""Pillow's name for a file in memory."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """An image's pixels, and the checksum of the bytes that it was decoded from.

    `passed`: other images decoded on the way to it, by number.
    """

    pixels: Pixels
    checksum: int
    passed: Mapping[int, Loaded] = field(default_factory=dict)


class Corrupt(Exception):
    """An image that cannot be decoded; the message says why.

    `unclear`: whole, but its range of values is ambiguous; `checksum`: that of its bytes, if they could be read.
    """

    unclear = False
    checksum = UNREADABLE


def load_image(data: bytes, channels: int) -> Loaded:
    """Decode an image as `decode_image` does, with its checksum."""
    found = checksum(data)
    try:
        return Loaded(decode_image(data, channels), found)
    except Corrupt as error:
        error.checksum = found
        raise


def decode_image(data: bytes, channels: int) -> Pixels:
    """Return the pixels of an encoded image: RGB or grey, upright, transparency over black.

    Animations and files of several pages give their first image; colour profiles are not applied.
    """
    try:
        with Image.open(BytesIO(data)) as image:
            if image.format == "EPS":
                raise Corrupt("it is PostScript, a program, which is not run")
            samples = SampleFormat.of(image)
            samples.check()
            image.load()
            return _to_array(ImageOps.exif_transpose(image), samples, channels)
    except Exception as raised:  # a damaged file makes Pillow raise almost anything
        error = (unread(data) if isinstance(raised, UnidentifiedImageError) else None) or raised
        corrupt = Corrupt(_AT.sub("", str(error)) or type(error).__name__)
        corrupt.unclear = isinstance(error, Unclear)
        raise corrupt from error


def _to_array(image: Image.Image, samples: SampleFormat, channels: int) -> Pixels:
    if samples.grey:
        return with_channels(samples.greys(image)[..., None], channels)
    samples.check_colours(image)
    if image.mode in ("LAB", "HSV"):  # which Pillow converts to grey only by way of RGB
        image = image.convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba).convert("RGB")
    pixels = np.asarray(image.convert("RGB" if channels == 3 else "L"))
    return pixels.reshape(*pixels.shape[:2], -1)


def with_channels(pixels: Pixels, channels: int) -> Pixels:
    """Return pixels with 1 or 3 channels: grey repeated, or colours weighted as the eye does (ITU-R 601)."""
    if pixels.shape[2] == channels:
        return pixels
    if channels == 3:
        return np.repeat(pixels, 3, axis=2)
    grey = pixels @ np.asarray([0.299, 0.587, 0.114], np.float32)
    return (grey if pixels.dtype != np.uint8 else np.round(grey).astype(np.uint8))[..., None]


def prepare(pixels: Pixels, frames: Frames) -> Pixels:
    """Scale an image so that it covers the window; with `crop = resize` its short side fits. Raises `Corrupt`."""
    height, width = pixels.shape[:2]
    scale = max(frames.size.rows / height, frames.size.columns / width)
    if scale <= 1 and frames.crop != "resize":
        return pixels
    target = Size(
        max(frames.size.rows, round(height * scale)), max(frames.size.columns, round(width * scale))
    )
    if scale > 1 and target.rows * target.columns > MOST:
        raise Corrupt(
            f"its {height:,}x{width:,} pixels would be enlarged to {target.rows:,}x{target.columns:,}"
        )
    return pixels if target == Size(height, width) else _resize(pixels, target)


def _resize(pixels: Pixels, size: Size) -> Pixels:
    in_bytes = pixels.dtype == np.uint8
    planes = [
        np.asarray(Image.fromarray(plane).resize((size.columns, size.rows), Image.Resampling.LANCZOS))
        for plane in np.moveaxis(pixels if in_bytes else pixels.astype(np.float32), 2, 0)
    ]
    scaled = np.stack(planes, axis=2)
    return scaled if in_bytes else np.clip(scaled, 0, 1).astype(pixels.dtype)


def window(pixels: Pixels, size: Size, place: tuple[float, float] | None, mirrored: bool) -> Pixels:
    """Cut a window; `place`, down and right, is from 0 to 1 (exclusive), None is the middle."""
    spare = pixels.shape[0] - size.rows, pixels.shape[1] - size.columns
    if place is None:
        top, left = spare[0] // 2, spare[1] // 2
    else:
        top, left = int(place[0] * (spare[0] + 1)), int(place[1] * (spare[1] + 1))
    cut = pixels[top : top + size.rows, left : left + size.columns]
    return cut[:, ::-1] if mirrored else cut


def as_seen(images: Sequence[Pixels], frames: Frames, dtype: str) -> Reals:
    """Return images prepared as in evaluation: scaled, central window, normalised."""
    windows = [window(prepare(pixels, frames), frames.size, None, mirrored=False) for pixels in images]
    return normalize(stacked(windows, dtype), frames.normalize)


def unit_range(pixels: Pixels, dtype: str) -> Reals:
    """Return pixels as numbers of a type in 0..1."""
    if pixels.dtype == np.uint8:
        found: Reals = np.divide(pixels, np.dtype(dtype).type(255), dtype=dtype)
        return found
    return pixels.astype(dtype)


def stacked(images: Sequence[Pixels], dtype: str) -> Reals:
    """Return images of one size as one array in 0..1; images of one dtype are converted together, which is faster."""
    if len({pixels.dtype for pixels in images}) == 1:
        return unit_range(np.stack(images), dtype)
    return np.stack([unit_range(pixels, dtype) for pixels in images])


def normalize(images: Reals, how: Normalization) -> Reals:
    """`image`: subtract each image's mean, divide by its standard deviation + 0.05; `symmetric`: -1..1; `none`: 0..1.

    By figures of a data set: subtract each map's mean, divide by its deviation. Raises `LnetError` for figures that are not
    known yet.
    """
    if isinstance(how, DatasetFigures):
        scaled: Reals = images - np.asarray(how.mean, images.dtype)
        scaled /= np.asarray(how.deviation, images.dtype)
        return scaled
    if how == DATASET:
        raise refused(
            "E719",
            "'normalize = dataset' has no mean and deviation: the network was not trained on a data set",
            hint="a run measures them when it begins; an export of its network has them, too",
        )
    if how == "none":
        return images
    if how == "symmetric":
        return 2 * images - 1
    flat = images.reshape(len(images), -1)
    normal: Reals = flat - flat.mean(axis=1, keepdims=True)
    deviation = np.sqrt(np.einsum("ij,ij->i", normal, normal) / normal.shape[1])
    normal /= deviation[:, None] + images.dtype.type(0.05)
    return normal.reshape(images.shape)
