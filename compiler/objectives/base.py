"""The interface of every objective, and its place in a network."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from lnet.compiler.core.arguments import Refused
from lnet.compiler.core.layer import Layer
from lnet.dsl.source import Span


class Term:
    """A term of the loss, computed from the layers that it reads: a mean over the batch.

    `needs_labels`: it reads the images' labels. `is_error`: it is an error between two layers, position by position, so
    the units of a decoder among them learn wherever they write. `reads_weights`: it reads a layer's weights at
    neighbouring positions instead of its values.
    """

    __slots__ = ()
    kind: ClassVar[str]
    needs_labels: ClassVar[bool] = False
    is_error: ClassVar[bool] = False
    reads_weights: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class Objective:
    """A weighted term of the loss: `weight` times `term`, over the layers it reads.

    `part_of` is the objective of the file that it belongs to: itself, unless a pass made it.
    """

    path: str
    term: Term
    reads: tuple[str, ...]
    weight: float
    part_of: str
    span: Span = field(compare=False, repr=False)


def check_vector(of: Layer, kind: str) -> None:
    """Raise `Refused` unless a layer is a vector, as an objective that reads one value per class asks."""
    if of.sheet.height != 1 or of.sheet.width != 1:
        raise Refused(
            "E504",
            f"'{kind}' reads a vector, a 1x1xN sheet with one value per class, and '{of.path}' is {of.sheet}",
            argument="of",
            hints=("a 'dense' layer with as many units as there are classes makes one",),
        )
