"""Pixels: every encoding is the array that was written, to 1/255, or is refused with what is unclear about it."""

import io
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageCms

from lnet.compiler.core.shapes import Size
from lnet.compiler.settings import Frames
from lnet.dsl.diagnostics import LnetError
from lnet.runtime.data import open_frames
from lnet.runtime.data.pixels import Corrupt, decode_image

COLUMNS = np.arange(20)
GREY = (COLUMNS * 11 + 20 + np.arange(6)[:, None]).astype(np.uint8)  # 20 to 234
COLOUR = np.stack([GREY, GREY // 2 + 9, 255 - GREY], 2)
WEIGHTS = np.array([0.299, 0.587, 0.114])


def encoded(image, kind, **how):
    file = io.BytesIO()
    image.save(file, kind, **how)
    return file.getvalue()


def tiff(array, photometric=None, order="<", planar=False, extra=(), more=()):
    """Return an uncompressed TIFF file, by hand: Pillow writes few of those that there are."""
    samples = 1 if array.ndim == 2 else array.shape[2]
    kinds = {"u": 1, "i": 2, "f": 3}
    bits = array.dtype.itemsize * 8
    stored = np.moveaxis(array, 2, 0) if planar else array
    data = stored.astype(array.dtype.newbyteorder(order)).tobytes()
    colours = 1 if samples < 3 else 3
    tags = {
        256: (3, (array.shape[1],)),
        257: (3, (array.shape[0],)),
        258: (3, (bits,) * samples),
        259: (3, (1,)),
        262: (3, (photometric if photometric is not None else (1 if colours == 1 else 2),)),
        273: (4, None),
        277: (3, (samples,)),
        278: (3, (array.shape[0],)),
        279: (4, (len(data) // (samples if planar else 1),) * (samples if planar else 1)),
        284: (3, (2 if planar else 1,)),
        339: (3, (kinds[array.dtype.kind],) * samples),
    }
    if extra:
        tags[338] = (3, extra)
    tags |= dict(more)
    return _written(tags, data, order, samples if planar else 1)


def _written(tags, data, order, strips):
    sizes = {3: "H", 4: "I"}
    start = 8 + 2 + 12 * len(tags) + 4
    tags[273] = (4, (0,) * strips)
    longer = sum(
        struct.calcsize(f"{len(v)}{sizes[k]}") for k, v in tags.values() if len(v) * (2 if k == 3 else 4) > 4
    )
    begin = start + longer
    tags[273] = (4, tuple(begin + i * (len(data) // strips) for i in range(strips)))
    entries, beside, at = b"", b"", start
    for tag, (kind, values) in sorted(tags.items()):
        packed = struct.pack(f"{order}{len(values)}{sizes[kind]}", *values)
        if len(packed) > 4:
            beside += packed
            packed, at = struct.pack(f"{order}I", at), at + len(packed)
        entries += struct.pack(f"{order}HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(f"{order}IH", 8, len(tags)) + entries + b"\0" * 4 + beside + data


def png16(array, transparent=None):
    """Return a PNG file of 16 bits, which Pillow writes for grey alone."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows, columns = array.shape[:2]
    kind = 0 if array.ndim == 2 else {2: 4, 3: 2, 4: 6}[array.shape[2]]
    header = struct.pack(">IIBBBBB", columns, rows, 16, kind, 0, 0, 0)
    raw = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    extra = b"" if transparent is None else chunk(b"tRNS", struct.pack(f">{len(transparent)}H", *transparent))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", zlib.compress(raw))
        + chunk(b"IEND", b"")
    )


def exif(turn):
    found = Image.Exif()
    found[0x0112] = turn
    return found


DEEP, WIDE = GREY.astype(np.uint16) * 257, COLOUR.astype(np.uint16) * 257

RIGHT = {
    "grey": (encoded(Image.fromarray(GREY), "PNG"), GREY),
    "colour": (encoded(Image.fromarray(COLOUR), "PNG"), COLOUR),
    "palette": (encoded(Image.fromarray(GREY).convert("P"), "PNG"), GREY),
    "16 bits in a PNG": (png16(DEEP), GREY),
    "colour of 16 bits in a PNG": (png16(WIDE), COLOUR),
    "16 bits": (tiff(DEEP), GREY),
    "16 bits, the other end first": (tiff(DEEP, order=">"), GREY),
    "16 bits, white is zero": (tiff(65535 - DEEP, photometric=0), GREY),
    "8 bits, white is zero": (tiff(255 - GREY, photometric=0), GREY),
    "32 bits with the range of 16": (tiff(DEEP.astype(np.int32)), GREY),
    "floats": (tiff((GREY / 255).astype(np.float32)), GREY),
    "floats, the other end first": (tiff((GREY / 255).astype(np.float32), order=">"), GREY),
    "12 bits with their white": (tiff(GREY.astype(np.uint16) * 16, more={281: (3, (4095,))}.items()), GREY),
    "colour of 16 bits": (tiff(WIDE), COLOUR),
    "colour in planes": (tiff(COLOUR, planar=True), COLOUR),
    "colour of 16 bits, the other end first": (tiff(WIDE, order=">"), COLOUR),
    "compressed": (encoded(Image.fromarray(DEEP), "TIFF", compression="tiff_adobe_deflate"), GREY),
    "a PGM of 12 bits": (
        b"P5 20 6 4095\n" + (GREY.astype(np.uint32) * 4095 // 255).astype(">u2").tobytes(),
        GREY,
    ),
    "turned": (encoded(Image.fromarray(COLOUR).transpose(Image.ROTATE_90), "PNG", exif=exif(6)), COLOUR),
    "turned in a TIFF": (
        encoded(Image.fromarray(COLOUR).transpose(Image.ROTATE_180), "TIFF", tiffinfo={274: 3}),
        COLOUR,
    ),
    "turned, 16 bits": (
        encoded(Image.fromarray(DEEP).transpose(Image.ROTATE_90), "TIFF", tiffinfo={274: 6}),
        GREY,
    ),
    "the first of several pages": (
        encoded(
            Image.fromarray(COLOUR), "TIFF", save_all=True, append_images=[Image.fromarray(255 - COLOUR)]
        ),
        COLOUR,
    ),
    "black": (tiff(np.zeros((6, 20), np.uint16)), np.zeros((6, 20), np.uint8)),
    "printing colours": (
        encoded(Image.fromarray(COLOUR).convert("CMYK"), "TIFF"),
        np.asarray(Image.fromarray(COLOUR).convert("CMYK").convert("RGB")),
    ),
    "a transparent grey of 16 bits": (
        png16(DEEP, [int(DEEP[0, 3])]),
        np.where(GREY[0, 3] == GREY, 0, GREY),
    ),
    "a transparent colour of 16 bits": (
        png16(WIDE, [int(v) for v in WIDE[0, 3]]),
        np.where((COLOUR[0, 3] == COLOUR).all(2, keepdims=True), 0, COLOUR),
    ),
}


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_encoding_is_the_array_that_was_written(name, channels):
    data, written = RIGHT[name]
    pixels = decode_image(data, channels)
    found = pixels / 255 if pixels.dtype == np.uint8 else pixels
    expected = np.atleast_3d(written) / 255
    if channels == 3:
        expected = np.broadcast_to(expected, (*expected.shape[:2], 3))
    elif expected.shape[2] == 3:
        expected = (expected @ WEIGHTS)[..., None]
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1.01 / 255)


FLOAT = GREY.astype(np.float32)
UNCLEAR = {
    "colour of 16 bits in planes": (tiff(WIDE, planar=True), "lie in planes"),
    "compressed big-endian floats": (
        tiff(FLOAT / 255, order=">", more={259: (3, (8,))}.items()),
        "big-endian and compressed",
    ),
    "10 bits in 16": (tiff(GREY.astype(np.uint16) * 4), "integers up to 936, which 10 bits hold"),
    "12 bits in 16": (tiff(GREY.astype(np.uint16) * 16), "integers up to 3,744, which 12 bits hold"),
    "14 bits in 16": (tiff(GREY.astype(np.uint16) * 64), "integers up to 14,976, which 14 bits hold"),
    "12 bits in a PNG of 16": (png16(GREY.astype(np.uint16) * 16), "which 12 bits hold"),
    "colour of 12 bits in 16": (tiff(COLOUR.astype(np.uint16) * 16), "which 12 bits hold"),
    "colour of 12 bits in a PNG": (png16(COLOUR.astype(np.uint16) * 16), "which 12 bits hold"),
    "12 bits and transparency in a PNG": (
        png16(np.dstack([GREY.astype(np.uint16) * 16, np.full_like(GREY, 65535, np.uint16)])),
        "which 12 bits hold",
    ),
    "more than its white": (
        tiff(GREY.astype(np.uint16) * 16, more={281: (3, (1023,))}.items()),
        "integers from 320 to 3,744",
    ),
    "32 bits": (tiff(GREY.astype(np.int32) * 10**6), "integers from 20,000,000 to"),
    "32 bits, some below zero": (tiff(GREY.astype(np.int32) - 100), "integers from -80 to"),
    "16 bits with a sign": (tiff((GREY.astype(np.int16) - 100) * 200), "signed integers of 16 bits"),
    "16 bits with a sign, none below zero": (tiff(GREY.astype(np.int16) * 100), "signed integers of 16 bits"),
    "8 bits with a sign": (tiff((GREY // 2).astype(np.int8)), "signed integers of 8 bits"),
    "floats to 255": (tiff(FLOAT), "floats from 20 to 234"),
    "floats around zero": (tiff(FLOAT / 128 - 1), "floats from -0.84375 to"),
    "floats that are none": (tiff(np.full((6, 20), np.nan, np.float32)), "are not finite"),
    "floats without end": (tiff(np.where(GREY > 200, np.inf, FLOAT / 255).astype(np.float32)), "not finite"),
    "floats just above 1": (tiff((GREY / 234 * 1.000001).astype(np.float32)), "to 1.00000095"),
    "floats of 16 bits": (tiff((GREY / 255).astype(np.float16)), "1 value a pixel, floats of 16 bits"),
    "colours in floats": (
        tiff((COLOUR / 255).astype(np.float32)),
        "3 values a pixel, floats of 32 bits, which is not read: store",
    ),
    "two channels": (tiff(COLOUR[..., :2].copy(), photometric=1, extra=(0,)), "2 values a pixel, of which 1"),
    "four channels": (
        tiff(np.dstack([COLOUR, GREY]), photometric=2, extra=(0,)),
        "4 values a pixel, of which 3",
    ),
    "five channels": (
        tiff(np.dstack([COLOUR, GREY, GREY]), photometric=2, extra=(0, 0)),
        "5 values a pixel, of which 3",
    ),
}


@pytest.mark.parametrize("name", UNCLEAR)
def test_values_that_may_mean_several_things_are_refused(name):
    data, message = UNCLEAR[name]
    with pytest.raises(Corrupt) as caught:
        decode_image(data, 3)
    assert message in str(caught.value)
    assert caught.value.unclear


@pytest.mark.parametrize(
    "data",
    [
        tiff(COLOUR)[:8],
        encoded(Image.fromarray(COLOUR), "PNG")[:-30],
        encoded(Image.fromarray(COLOUR), "JPEG")[:-7],
        b"",
        b"<html>404 not found</html>",
    ],
)
def test_what_cannot_be_decoded_is_corrupt(data):
    with pytest.raises(Corrupt) as caught:
        decode_image(data, 3)
    assert not caught.value.unclear


@pytest.mark.parametrize("channels", [1, 3])
def test_colours_by_lightness(channels):
    """CIELAB: eight bits of it hold colours to a few of their 255 steps."""
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    lab = ImageCms.applyTransform(Image.fromarray(COLOUR), ImageCms.buildTransform(*profiles, "RGB", "LAB"))
    found = decode_image(encoded(lab, "TIFF"), channels).astype(int)
    expected = COLOUR if channels == 3 else (COLOUR @ WEIGHTS)[..., None]
    np.testing.assert_allclose(found, expected, atol=9)


def test_transparency_is_no_fifth_channel():
    data = tiff(np.dstack([COLOUR, np.full_like(GREY, 255)]), photometric=2, extra=(2,))
    np.testing.assert_array_equal(decode_image(data, 3), COLOUR)


PLAIN = Frames("pics", Size(4, 4), crop="center", flip=False, normalize="none")


def test_of_images_of_which_none_is_clear_the_values_are_named(tmp_path):
    (tmp_path / "pics").mkdir()
    for number in range(120):
        (tmp_path / "pics" / f"{number:03}.tif").write_bytes(UNCLEAR["12 bits in 16"][0])
    dataset = open_frames(PLAIN, 1, tmp_path, 0)
    with pytest.raises(LnetError) as caught:
        dataset.batch(0, 1)
    error = str(caught.value)
    assert "E704: none of the first 100 of 120 images in 'pics' can be decoded" in error
    assert "which 12 bits hold" in error


def test_a_line_of_pixels_that_would_fill_the_memory_is_passed_over(tmp_path):
    (tmp_path / "pics").mkdir()
    Image.new("L", (60_000, 1), 90).save(tmp_path / "pics" / "a.png")
    Image.new("L", (9, 9), 90).save(tmp_path / "pics" / "b.png")
    dataset = open_frames(replace(PLAIN, size=Size(200, 200)), 1, tmp_path, 0)
    assert [dataset.decodable(place) for place in range(2)] == [False, True]
    assert dataset.skipped == {"a.png": "its 1x60,000 pixels would be enlarged to 200x12,000,000"}


def test_a_single_pixel_and_a_line_of_them_are_enlarged(tmp_path):
    (tmp_path / "pics").mkdir()
    Image.new("L", (1, 1), 90).save(tmp_path / "pics" / "a.png")
    Image.new("L", (300, 2), 90).save(tmp_path / "pics" / "b.png")
    (batch,) = open_frames(PLAIN, 1, tmp_path, 0).ordered(2)
    np.testing.assert_allclose(batch.images, 90 / 255, atol=1e-6)
