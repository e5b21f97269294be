"""Colours of preferences as readers with each kind of colour blindness see them."""

import matplotlib as mpl
import numpy as np
import pytest

from lnet.runtime.analysis.colours import GREY, class_colours, faded, orientation_colours, srgb

SEEN = {
    "trichromat": np.eye(3),
    "protanope": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranope": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.01182, 0.04294, 0.968881],
    ],
    "tritanope": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.3039],
    ],
}
"""What a reader makes of linear sRGB (Machado, Oliveira & Fernandes 2009, table 1, severity 1)."""
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]
)


def lab(colours):
    """Return CIELAB of sRGB `[..., 3]`, by definition and not by the inverse that is tested."""
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    ratio = linear @ XYZ.T / XYZ.sum(1)
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1)


def seen_by(reader, colours):
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    linear = (linear @ np.array(SEEN[reader]).T).clip(0, 1)
    return lab(np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055))


def least_apart(reader, circle):
    """Return the least distance of colours of orientations that are 22.5 degrees and more apart."""
    found = seen_by(reader, circle)
    number = np.arange(180)
    apart = np.abs(number[:, None] - number)
    far = np.minimum(apart, 180 - apart) >= 22.5
    return np.linalg.norm(found[:, None] - found, axis=-1)[far].min()


@pytest.mark.parametrize("reader", SEEN)
def test_orientations_can_be_told_apart(reader):
    circle = orientation_colours(np.arange(180))
    assert least_apart(reader, circle) > 18
    assert np.linalg.norm(seen_by(reader, circle) - seen_by(reader, GREY), axis=-1).min() > 20
    hues = mpl.colormaps["hsv"](np.arange(180) / 180)[:, :3]
    assert least_apart(reader, hues) < 3 or reader == "trichromat"


def test_the_circle_closes():
    np.testing.assert_allclose(
        orientation_colours(np.array([0.0, 40])), orientation_colours(np.array([180.0, 220]))
    )
    steps = np.linalg.norm(np.diff(lab(orientation_colours(np.arange(181))), axis=0), axis=1)
    assert steps.max() < 2


def test_cielab_is_turned_into_srgb():
    colours = np.random.default_rng(0).random((100, 3))
    np.testing.assert_allclose(srgb(lab(colours)), colours, atol=1e-4)


@pytest.mark.parametrize("count", [1, 2, 8, 9, 40])
def test_classes_have_colours_of_their_own(count):
    assert len(np.unique(class_colours(count).round(6), axis=0)) == count


def test_no_preference_is_grey():
    colour = np.array([[1.0, 0.0, 0.0]])
    np.testing.assert_array_equal(faded(colour, np.array([0.0])), [GREY])
    np.testing.assert_array_equal(faded(colour, np.array([1.5])), colour)
