"""Similarity of weights at neighbouring positions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lnet.compiler.core.arguments import Reads, Refused

from .base import Term


@dataclass(frozen=True, slots=True)
class Smooth(Term):
    """Mean over maps and neighbouring positions of one minus the cosine of their weights."""

    kind: ClassVar[str] = "smooth"
    reads_weights: ClassVar[bool] = True


def smooth(of: Reads) -> Smooth:
    """Mean, over maps and pairs of neighbouring positions, of one minus the cosine of their weights; of a `local` with
    `share = none`

    Example: smooth(of = first)
    """
    if not (of.op.has_filters and of.op.position_weights):
        raise Refused(
            "E503",
            f"'smooth' needs a 'local' layer with 'share = none', and '{of.path}' is none",
            argument="of",
            notes=("it compares the weights of neighbouring positions, so every position must have its own",),
            hints=("name such a layer with 'of'",),
        )
    if of.sheet.height * of.sheet.width < 2:
        raise Refused("E503", f"'{of.path}' has one position, so no neighbours to compare", argument="of")
    return Smooth()


KINDS = {"smooth": smooth}
TERMS = (Smooth,)
