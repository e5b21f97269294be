"""The table of objectives: what a network is trained to make small (docs/language.md)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from lnet.dsl.source import Span

from .core.arguments import Flag, LayerArgument, LayerNamed, NonNegative, Reads, Refused
from .core.layer import Layer
from .core.shapes import Sheet
from .ops import Local


class Term:
    """What an objective computes from the layers that it reads: a mean over the batch."""

    __slots__ = ()
    kind: ClassVar[str]
    needs_labels: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class Objective:
    """A term of the loss: `weight` times what it makes of the layers it reads.

    `part_of` is the objective of the file that it belongs to: itself, unless a pass made it.
    """

    path: str
    term: Term
    reads: tuple[str, ...]
    weight: float
    part_of: str
    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Rica(Term):
    """`sum (xhat - x)^2 + sparsity * sum pool` (Le et al. 2012, after reconstruction ICA).

    Reads the encoder and its pool. The pass `expand_rica` replaces it before anything runs.
    """

    kind: ClassVar[str] = "rica"
    sparsity: float
    tied: bool


Encoder = Annotated[Layer, LayerArgument("nearest local")]
EncoderPool = Annotated[Layer, LayerArgument("nearest pool")]


def rica(encode: Encoder, pool: EncoderPool, sparsity: NonNegative = 0.1, tied: Flag = False) -> Rica:
    """`sum (xhat - x)^2 + sparsity * sum pool`, where `x` is what `encode` reads (the nearest `local` above in the block,
    unless given), `xhat` its decoding, and `pool` the nearest pool above made from it (Le et al. 2012)

    Example: rica(sparsity = 0.3)
    """
    if not isinstance(encode.op, Local):
        raise Refused(
            "E502",
            f"'{encode.path}' is no 'local' layer, so it has no decoder",
            argument="encode",
            notes=(f"'{encode.path}' is made by '{encode.op.kind}'",),
        )
    return Rica(sparsity, tied)


@dataclass(frozen=True, slots=True)
class SquaredError(Term):
    """Sum of squared differences of two layers; both sides carry gradients."""

    kind: ClassVar[str] = "squared_error"


def squared_error(of: Reads, target: LayerNamed) -> SquaredError:
    """Sum of squared differences of two layers; both are trained

    Example: squared_error(of = second, target = first)
    """
    if of.sheet != target.sheet:
        raise Refused(
            "E402",
            f"the extents must agree, but '{of.path}' is {of.sheet} and '{target.path}' is {target.sheet}",
            argument="target",
        )
    return SquaredError()


@dataclass(frozen=True, slots=True)
class L1(Term):
    """Sum of absolute values."""

    kind: ClassVar[str] = "l1"


@dataclass(frozen=True, slots=True)
class L2(Term):
    """Sum of squares."""

    kind: ClassVar[str] = "l2"


@dataclass(frozen=True, slots=True)
class Total(Term):
    """Sum of values: the sparsity of `rica`, whose pool need not be positive."""

    kind: ClassVar[str] = "total"


def l1(of: Reads) -> L1:
    """Sum of absolute values

    Example: l1(weight = 0.01)
    """
    return L1()


def l2(of: Reads) -> L2:
    """Sum of squares

    Example: l2(of = first)
    """
    return L2()


@dataclass(frozen=True, slots=True)
class Smooth(Term):
    """Mean over maps and neighbouring positions of one minus the cosine of their weights."""

    kind: ClassVar[str] = "smooth"


def smooth(of: Reads) -> Smooth:
    """Mean, over maps and pairs of neighbouring positions, of one minus the cosine of their weights; of a `local` with
    `share = none`

    Example: smooth(of = first)
    """
    if not isinstance(of.op, Local) or of.op.sets != of.op.window.outputs:
        raise Refused(
            "E503",
            f"'smooth' needs a 'local' layer with 'share = none', and '{of.path}' is none",
            argument="of",
            notes=("it compares the weights of neighbouring positions, so every position must have its own",),
            hints=("name such a layer with 'of'",),
        )
    outputs = of.op.window.outputs
    if outputs.rows * outputs.columns < 2:
        raise Refused("E503", f"'{of.path}' has one position, so no neighbours to compare", argument="of")
    return Smooth()


@dataclass(frozen=True, slots=True)
class CrossEntropy(Term):
    """Softmax loss against the image's label."""

    kind: ClassVar[str] = "cross_entropy"
    needs_labels: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class OneVsAll(Term):
    """Sum of independent logistic losses against the image's label."""

    kind: ClassVar[str] = "one_vs_all"
    needs_labels: ClassVar[bool] = True


def cross_entropy(of: Reads) -> CrossEntropy:
    """Softmax loss of a vector against the image's label

    Example: cross_entropy(of = vector)
    """
    _check_vector(of, "cross_entropy")
    return CrossEntropy()


def one_vs_all(of: Reads) -> OneVsAll:
    """Sum of independent logistic losses of a vector's values against the image's label

    Example: one_vs_all(of = vector)
    """
    _check_vector(of, "one_vs_all")
    return OneVsAll()


def _check_vector(of: Layer, kind: str) -> None:
    if of.sheet.height != 1 or of.sheet.width != 1:
        raise Refused(
            "E504",
            f"'{kind}' reads a vector, a 1x1xN sheet with one value per class, and '{of.path}' is {of.sheet}",
            argument="of",
            hints=("a 'dense' layer with as many units as there are classes makes one",),
        )


@dataclass(frozen=True)
class PerValue(Term):
    """The sum of a function of every value of a layer, which a plug-in writes.

    The fields of a class that derives from it are the arguments of its kind, and its docstring is their reference.
    """

    @classmethod
    def over(cls, reads: Sheet, **arguments: Any) -> PerValue:
        """Return the objective of a layer of some extents."""
        return cls(**arguments)

    def value(self, x: Any) -> Any:
        """Return an array of the shape of `x`, `[row, column, map, image]`: it is summed, a mean over images."""
        raise AssertionError(f"{type(self).__name__} has no 'value'")


OBJECTIVE_KINDS: dict[str, Callable[..., Term]] = {
    "rica": rica,
    "squared_error": squared_error,
    "l1": l1,
    "l2": l2,
    "smooth": smooth,
    "cross_entropy": cross_entropy,
    "one_vs_all": one_vs_all,
}
"""What a file can call; each takes `weight = 1` besides."""

TERMS: dict[str, type[Term]] = {
    term.kind: term for term in (SquaredError, L1, L2, Total, Smooth, CrossEntropy, OneVsAll)
}
"""What the runtime has a kernel for."""
