"""Colours of preferences, for readers with and without colour blindness.

Orientations lie on a circle, and so must their colours. Hues at one lightness lie on a circle too, but dichromats see
two of the three dimensions of colour, and there that circle is a line walked twice: 40 and 140 degrees look the same.
The circle here is tilted: it turns from light to dark as it turns from yellow to blue, which all of them see.

      light                      CIELAB, seen by a deuteranope:
        o                        0 degrees light, 45 yellow, 90 dark, 135 blue, 180 light again,
    o   .   o  yellow            grey in the middle
        o                        (colours 22.5 degrees apart differ by 18 and more, in CIELAB,
      dark                       for trichromats, protanopes, deuteranopes and tritanopes)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Colours = NDArray[np.floating[Any]]

LIGHTNESS, YELLOW = 65.0, 8.0
"""The middle of the circle in CIELAB: L* and b*."""
SPREAD = (30.0, 20.0, 40.0)
"""How far the circle reaches from its middle in L*, a* and b*."""
LAG = 0.8
"""Phase lead of the green side over the light one, in radians."""
GREY = np.full(3, 0.62)
"""No preference."""
DISTINCT = np.array(
    [
        [0, 114, 178],
        [230, 159, 0],
        [0, 158, 115],
        [204, 121, 167],
        [86, 180, 233],
        [213, 94, 0],
        [240, 228, 66],
        [0, 0, 0],
    ]
)
"""Eight colours that all can tell apart (Okabe & Ito, Color Universal Design, 2008)."""

_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
"""Linear sRGB to CIE XYZ (IEC 61966-2-1)."""


def orientation_colours(degrees: Colours) -> Colours:
    """Return colours `[..., 3]` in 0..1 of orientations in degrees, the same for those 180 apart."""
    angle = np.deg2rad(2 * np.asarray(degrees, float))
    light, green, yellow = SPREAD
    lab = (
        LIGHTNESS + light * np.cos(angle),
        -green * np.cos(angle + LAG),
        YELLOW + yellow * np.sin(angle),
    )
    return srgb(np.stack(lab, -1))


def class_colours(count: int) -> Colours:
    """Return `count` colours `[3]` in 0..1 for classes; with more than eight, neighbours resemble each other."""
    if count <= len(DISTINCT):
        return DISTINCT[:count] / 255
    return orientation_colours(np.linspace(0, 180, count, endpoint=False))


def faded(colours: Colours, share: Colours) -> Colours:
    """Blend colours `[..., 3]` with grey: unchanged where the share `[...]` is 1, grey where it is 0."""
    weight = np.clip(share, 0, 1)[..., None]
    blended: Colours = weight * colours + (1 - weight) * GREY
    return blended


def srgb(lab: Colours) -> Colours:
    """Return CIELAB colours `[..., 3]` (white: that of sRGB) as sRGB in 0..1."""
    y = (lab[..., 0] + 16) / 116
    f = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], -1)
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * _XYZ.sum(1)
    linear = (xyz @ np.linalg.inv(_XYZ).T).clip(0, 1)
    encoded: Colours = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return encoded
