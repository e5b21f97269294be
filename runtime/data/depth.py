"""The white value of samples of more than eight bits, or of floats or signed integers.

Sixteen bits are 0 to 65535, floats 0 to 1. A file with other values (12 bits of a camera in 16, floats up to 255, signed
integers) is read if it states its white value, and else refused: its images would be black or white.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

WHITE = 65535
LOWEST = 2**14 - 1
"""Images of 16 bits that nowhere exceed this are taken for ones of 10, 12 or 14 bits in 16."""
_BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _MAXIMUM, _EXTRA, _FORMAT = 258, 259, 262, 277, 281, 338, 339
_COLOURS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3}
"""Samples of a pixel that are its colour, by what TIFF calls the photometric interpretation."""
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""The beginnings of TIFFs, with places in 32 and in 64 bits."""
_KINDS = {1: "integers", 2: "signed integers", 3: "floats", 5: "complex integers", 6: "complex numbers"}


class Unclear(Exception):
    """An image with an ambiguous range of values; the message says what they are and what to do."""


@dataclass(frozen=True)
class SampleFormat:
    """The sample format stated by a file.

    `deep`: samples have 16 bits; `scaled`: scaled to 16 bits by the white value of the file; `grey`: one sample of more than
    eight bits per pixel. `tags` and `big_endian` are those of a TIFF.
    """

    deep: bool
    scaled: bool
    grey: bool
    tags: Mapping[int, Any]
    big_endian: bool

    @staticmethod
    def of(image: Image.Image) -> SampleFormat:
        """Read the sample format of an image that is opened, but not loaded."""
        deep = any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))
        tags: Any = getattr(image, "tag_v2", {})
        grey = image.mode.startswith(("I", "F"))
        return SampleFormat(deep, image.format == "PPM", grey, tags, getattr(tags, "prefix", b"") == b"MM")

    def check(self) -> None:
        """Raise `Unclear` for samples that Pillow (11 to 13) drops or misreads without a warning."""
        signed = 2 in _several(self.tags.get(_FORMAT, 1))
        bits = max(_several(self.tags.get(_BITS, 1)))
        if signed and bits <= 16:
            raise Unclear(
                f"its values are signed integers of {bits} bits, so that it is not known what is black and white"
            )
        if bits == 16 and not self.deep and not self.grey:
            raise Unclear(
                "its colours of 16 bits lie in planes, which is not read: store them pixel by pixel"
            )
        if bits == 32 and self.big_endian and self.tags.get(_COMPRESSION, 1) != 1:
            raise Unclear(
                "its values of 32 bits are big-endian and compressed, which is not read: store them as they are"
            )
        colours = _COLOURS.get(self.tags.get(_PHOTOMETRIC, 1), 1)
        alpha = 1 in (extra := _several(self.tags.get(_EXTRA, ()))) or 2 in extra
        count = self.tags.get(_SAMPLES, 1)
        if count > colours + alpha:
            raise Unclear(f"it has {count} values a pixel, of which {colours + alpha} would be read")

    def check_colours(self, image: Image.Image) -> None:
        """Raise `Unclear` for colours of 16 bits, read as eight, that have 14 bits or fewer."""
        if self.deep:
            colours = [band for band in image.getbands() if band not in ("A", "a")]
            highest = max(int(np.asarray(image.getchannel(band)).max()) for band in colours)
            if 0 < highest <= LOWEST >> 8:
                raise _of_fewer_bits(highest << 8)

    def greys(self, image: Image.Image) -> NDArray[np.float32]:
        """Return grey values `[rows, columns]` of an image of integers or floats in 0..1."""
        values = np.asarray(image)
        grey = self._floats(values) if image.mode == "F" else self._integers(values)
        if self.tags.get(_PHOTOMETRIC) == 0:
            grey = 1 - grey
        transparent = image.info.get("transparency")
        return np.where(values == transparent, np.float32(0), grey) if isinstance(transparent, int) else grey

    def _floats(self, values: NDArray[Any]) -> NDArray[np.float32]:
        low, high = float(values.min()), float(values.max())
        if not isfinite(low) or not isfinite(high):
            raise Unclear("some of its values are not finite")
        if not (low >= 0 and high <= 1):
            raise Unclear(f"its values are floats from {low:.9g} to {high:.9g}: scale them to 0..1")
        return values.astype(np.float32)

    def _integers(self, values: NDArray[Any]) -> NDArray[np.float32]:
        low, high, white = int(values.min()), int(values.max()), self._white
        if low < 0 or high > (white or WHITE):
            raise Unclear(f"its values are integers from {low:,} to {high:,}: scale them to 0..{WHITE}")
        if white is None and 0 < high <= LOWEST:
            raise _of_fewer_bits(high)
        return (values / np.float32(white or WHITE)).astype(np.float32)

    @property
    def _white(self) -> int | None:
        """The white value stated by a file, if any: the largest of its bits, or MaxSampleValue if that is a possible one."""
        bits = max(_several(self.tags.get(_BITS, 1)))
        largest = max(_several(self.tags.get(_MAXIMUM, 0)))
        if 8 < bits < 16:
            return int(2**bits - 1)
        if largest >= 255 and largest & (largest + 1) == 0:
            return int(largest)
        return WHITE if self.scaled else None


def unread(data: bytes) -> Unclear | None:
    """Return what a TIFF holds that Pillow does not read; None for what is no TIFF, or a damaged one."""
    if data[:4] not in _TIFF:
        return None
    tags: Any = {}
    with suppress(Exception):  # a damaged one makes Pillow raise almost anything
        tags = TiffImagePlugin.ImageFileDirectory_v2(data[: 16 if b"+" in data[:4] else 8])
        file = BytesIO(data)
        file.seek(tags.next)
        tags.load(file)
    kind, bits = _KINDS.get(max(_several(tags.get(_FORMAT, 1)))), max(_several(tags.get(_BITS, 0)))
    if kind is None or not bits:
        return None
    count = tags.get(_SAMPLES, 1)
    return Unclear(
        f"it is a TIFF with {count} value{'s' * (count > 1)} a pixel, {kind} of {bits} bits, which is not read: "
        "store colours in 8 or 16 bits, grey also as floats of 32 bits, or all images as one array (.npy)"
    )


def _of_fewer_bits(highest: int) -> Unclear:
    bits = highest.bit_length()
    return Unclear(
        f"its values are integers up to {highest:,}, which {bits} bits hold, so that it is not known what is white: "
        f"scale them to 0..{WHITE}, or say it with the tag MaxSampleValue"
    )


def _several(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)
