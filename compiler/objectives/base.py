"""The interface of every objective, and its place in a network."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from lnet.compiler.core.arguments import Refused
from lnet.compiler.core.layer import Layer, Parameter
from lnet.compiler.core.shapes import Region, Sheet, Strip
from lnet.dsl.source import Span

from .weighing import Between

Strips = tuple[Strip | None, Strip | None, Strip | None]
"""Units beyond a region: a column to the right, a row below, and the one at the corner between; None: no units."""


class Term:
    """A term of the loss, computed from the layers that it reads: a mean over the batch.

    `needs_labels`: it reads the images' labels. `is_error`: it is an error between two layers, position by position, so
    the units of a decoder among them learn wherever they write. `reads_weights`: it reads parameters of its layers
    instead of their values, so it is the same for all images. `shrinks`: it makes weights small, and is no reason
    to learn them. `reads_sums`: of two layers it reads sums over all their values, so that tiles must tell each other
    theirs. `compares_views`: it is of a batch in two views, not of each image alone, and reads whole values.
    """

    __slots__ = ()
    kind: ClassVar[str]
    needs_labels: ClassVar[bool] = False
    is_error: ClassVar[bool] = False
    reads_weights: ClassVar[bool] = False
    reads_sums: ClassVar[bool] = False
    shrinks: ClassVar[bool] = False
    compares_views: ClassVar[bool] = False

    @classmethod
    def over(cls, reads: Sheet, **arguments: Any) -> Self:
        """Return the term of a layer of some extents."""
        return cls(**arguments)

    @property
    def of_images(self) -> bool:
        """Whether it is of each image by itself, so that any images have it."""
        return not (self.reads_weights or self.compares_views)

    def reads_parameter(self, parameter: Parameter) -> bool:
        """Whether it reads a parameter of its layers."""
        return self.reads_weights and parameter.is_weight

    def pairs(self, sheet: Sheet) -> int:
        """Return how many pairs of neighbouring units of a layer it compares."""
        return 0

    def intermediate(self, rows: int) -> int:
        """Return how many values it makes of a batch of so many rows that grow faster than the batch."""
        return 0

    def strips(self, owned: Region, sheet: Sheet) -> Strips:
        """Return the units beyond a region of a layer that it compares with those inside."""
        return None, None, None


@dataclass(frozen=True, slots=True)
class Objective:
    """A weighted term of the loss: `weight` times `change`, if it changes with the steps, times `term` of what it reads.

    `part_of` is the objective of the file that it belongs to: itself, unless a pass made it.
    """

    path: str
    term: Term
    reads: tuple[str, ...]
    weight: float
    part_of: str
    span: Span = field(compare=False, repr=False)
    change: Between | None = None

    @property
    def counts(self) -> bool:
        """Whether it has any weight at any step."""
        return self.weight > 0 and (self.change is None or self.change.first + self.change.last > 0)


def check_vector(of: Layer, kind: str, of_classes: bool = True) -> None:
    """Raise `Refused` unless a layer is a vector, as an objective asks: one with a value per class, if `of_classes`."""
    if of.sheet.height != 1 or of.sheet.width != 1:
        values, units = " with one value per class", " with as many units as there are classes"
        raise Refused(
            "E504",
            f"'{kind}' reads a vector, a 1x1xN sheet{values * of_classes}, and '{of.path}' is {of.sheet}",
            argument="of",
            hints=(f"a 'dense' layer{units * of_classes} makes one",),
        )


def check_scores(of: Layer, kind: str, *functions: str) -> None:
    """Raise `Refused` for the values of one of some functions, where an objective reads what such a function reads."""
    found = of.op.probabilities
    if found not in functions:
        return
    if of.op.kind == found:
        what, hint = (
            f"is a {found}",
            f"read the layer before it, or leave it out: '{kind}' has a {found} of its own",
        )
    else:
        what, hint = f"ends with a {found}", f"leave out 'act = {found}': '{kind}' has a {found} of its own"
    raise Refused(
        "E509",
        f"'{kind}' reads the values before the {found}, but '{of.path}' {what}",
        argument="of",
        hints=(hint,),
    )
