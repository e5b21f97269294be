"""Augmentations of training images: their arguments; runtime/data/augment.py has what they do.

An augmentation is a class, entered in `AUGMENTATIONS` and nowhere else. Its fields, in order, are its argument table. It
happens with probability `chance`; amounts are uniform random numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from .core.arguments import (
    AreaShare,
    Count,
    Degrees,
    NonNegative,
    Positive,
    Probability,
    Ratio,
    Refused,
    Turn,
    list_of,
    made_by,
    since,
)
from .core.shapes import Sheet


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """A random change of a training image. `colours`: only images of three channels can be changed so."""

    kind: ClassVar[str]
    colours: ClassVar[bool] = False
    chance: Probability = 1.0


@dataclass(frozen=True, slots=True)
class Zoom(Augmentation):
    """Replaces the random crop by a part of the image, scaled to the input's size: a share of its area between `from` and
    `to`, as much as `aspect` times as wide or as high as the input; bilinear, antialiased, in 8 bits if the image has 8.
    Comes first

    Example: zoom(0.33, aspect = 1.25)
    """

    kind: ClassVar[str] = "zoom"
    from_: AreaShare
    to: AreaShare = 1.0
    aspect: Ratio = 1.0

    def __post_init__(self) -> None:
        if self.from_ > self.to:
            raise Refused(
                "E518",
                f"'from' of 'zoom' must not be above 'to', found {self.from_:g} and {self.to:g}",
                argument="from",
                hints=("write the smaller share first",),
            )


@dataclass(frozen=True, slots=True)
class Rotate(Augmentation):
    """Rotates by up to `degrees` either way, bilinear; the edge is repeated

    Example: rotate(10)
    """

    kind: ClassVar[str] = "rotate"
    degrees: Degrees


@dataclass(frozen=True, slots=True)
class Shift(Augmentation):
    """Moves by up to `pixels` whole pixels up or down, and left or right; the edge is repeated

    Example: shift(4)
    """

    kind: ClassVar[str] = "shift"
    pixels: Count


@dataclass(frozen=True, slots=True)
class Brightness(Augmentation):
    """Adds up to `by`, or subtracts it

    Example: brightness(0.125)
    """

    kind: ClassVar[str] = "brightness"
    by: NonNegative


@dataclass(frozen=True, slots=True)
class Contrasts(Augmentation):
    """Multiplies the distance to the image's mean by 1 - `by` to 1 + `by`

    Example: contrasts(0.5)
    """

    kind: ClassVar[str] = "contrasts"
    by: Probability


@dataclass(frozen=True, slots=True)
class Saturation(Augmentation):
    """Multiplies the distance to each pixel's grey by 1 - `by` to 1 + `by`

    Example: saturation(0.5)
    """

    kind: ClassVar[str] = "saturation"
    colours: ClassVar[bool] = True
    by: Probability


@dataclass(frozen=True, slots=True)
class Hue(Augmentation):
    """Shifts hues by up to `by` of the colour circle either way

    Example: hue(0.1)
    """

    kind: ClassVar[str] = "hue"
    colours: ClassVar[bool] = True
    by: Turn


@dataclass(frozen=True, slots=True)
class Grey(Augmentation):
    """Makes the image grey with probability `p * chance`

    Example: grey(0.2)
    """

    kind: ClassVar[str] = "grey"
    colours: ClassVar[bool] = True
    p: Probability


@dataclass(frozen=True, slots=True)
class Blur(Augmentation):
    """Blurs with probability `p * chance`, with a Gaussian of a width from 0 to `sigma` pixels; the edge is repeated

    Example: blur(2, 0.5)
    """

    kind: ClassVar[str] = "blur"
    sigma: Positive
    p: Probability = 1.0


@dataclass(frozen=True, slots=True)
class Cutout(Augmentation):
    """Fills one square, `pixels` wide and high, with the image's mean (DeVries & Taylor 2017)

    Example: cutout(8)
    """

    kind: ClassVar[str] = "cutout"
    pixels: Count


AUGMENTATIONS: Mapping[str, type[Augmentation]] = {
    augmentation.kind: since(2)(augmentation)
    for augmentation in (Zoom, Rotate, Shift, Brightness, Contrasts, Saturation, Hue, Grey, Blur, Cutout)
}
_one = made_by("an augmentation, such as shift(4)", Augmentation, AUGMENTATIONS)
Augment = Annotated[
    tuple[Augmentation, ...],
    list_of("a list of augmentations, such as [shift(4), brightness(0.1)], of {calls}", _one),
]


def check_augment(augment: tuple[Augmentation, ...], crop: str, input: Sheet) -> None:
    """Raise `Refused` for augmentations that cannot be done to the images of an input."""
    for number, found in enumerate(augment):
        if found.colours and input.maps != 3:
            raise Refused(
                "E518",
                f"'{found.kind}' changes colours, and the input has {input.maps} map{'s' * (input.maps != 1)}",
                argument="augment",
                hints=(f"leave '{found.kind}' out, or make the input {input.height}x{input.width}x3",),
            )
        if isinstance(found, Zoom) and (number or crop != "random"):
            raise Refused(
                "E518",
                "'zoom' takes the place of the random crop, so it comes first, with 'crop = random'",
                argument="augment",
                hints=("write it first" if number else "leave 'crop' out, or 'zoom'",),
            )
        if isinstance(found, Cutout) and found.pixels > min(input.height, input.width):
            raise Refused(
                "E518",
                f"'cutout' makes a square of {found.pixels} pixels, larger than the input of {input.size}",
                argument="augment",
                hints=("make the square smaller",),
            )
