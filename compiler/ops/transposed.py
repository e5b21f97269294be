"""A transposed local layer: every position that it reads writes a field of its own into a larger sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from lnet.compiler.core.arguments import (
    NO_ZEROS,
    ONE,
    UNPADDED,
    ArgumentType,
    Count,
    Extent,
    Flag,
    MapCount,
    NonNegative,
    OptionalNonNegative,
    Pad,
    Padding,
    Reads,
    Refused,
    Share,
    Sharing,
    since,
    size_from,
)
from lnet.compiler.core.layer import Layer, Op, Weights
from lnet.compiler.core.learned import NORMAL
from lnet.compiler.core.shapes import Sheet, Size
from lnet.compiler.core.sliding import slide_out

from .filters import Filters, Transpose, check_groups, shared
from .learning import Constrain, Initial, learned
from .line import Finished
from .position import Activation, AtPosition, over


@dataclass(frozen=True, slots=True)
class Transposed(Transpose):
    """`y[a,b,m] = bias + sum of W[i,j,u,v,m,c] x[i,j,c]` over `i*s + u*d - p = a`, `j*s + v*d - p = b`, then `act`.

    The window slides over the value, at whose positions the operand lies: so it reads `maps` and makes `maps_in`.
    `biases`: positions that have biases of their own, one for all of them if they share it, or None.
    """

    kind: ClassVar[str] = "transposed"
    biases: Size | None
    act: AtPosition | None
    patch: Size | None = None

    @property
    def fan_in(self) -> int:
        """Weights that reach one value, where most do."""
        rows, columns = (-(-axis.field // axis.stride) for axis in (self.window.rows, self.window.columns))
        return rows * columns * self.maps // self.layout.groups

    @property
    def fan_out(self) -> int:
        return self.window.field.rows * self.window.field.columns * self.maps_in

    def weights(self) -> dict[str, Weights]:
        axes = ("row", "column", "field row", "field column", "map", "input map")
        weights = {"weight": replace(Filters.weights(self)["weight"], axes=axes)}
        return weights | self._finished.weights()

    def laid_out(self, operands: Sequence[Size | None]) -> Size | None:
        return self.patch

    @property
    def applies(self) -> tuple[Op, ...]:
        return () if self.act is None else (self.act,)

    @property
    def linear(self) -> Transposed:
        return replace(self, biases=None, act=None)

    @property
    def _finished(self) -> Finished:
        return Finished(self.sheet, self.biases, self.act, self.learned.bias_speed)

    def in_tiles(self, layer: Layer) -> tuple[Layer, ...]:
        """Bias and activation come after the sums of all tiles."""
        if self.biases is None and self.act is None:
            return (layer,)
        weight, bias = (tuple(p for p in layer.parameters if p.role == role) for role in ("weight", "bias"))
        sums = Layer(f"{layer.path} sums", self.linear, layer.reads, weight, layer.span)
        return sums, replace(layer, op=self._finished, reads=(sums.path,), parameters=bias)


Extra = Annotated[Size, ArgumentType("a non-negative integer or a size such as 1x0", size_from(0))]


@since(2)
def transposed(
    field: Extent,
    maps: MapCount,
    stride: Extent = ONE,
    pad: Pad = UNPADDED,
    bias: Flag = False,
    act: Activation = None,
    share: Share = Sharing(),  # noqa: B008 (frozen)
    dilation: Extent = ONE,
    groups: Count = 1,
    extra: Extra = NO_ZEROS,
    *,
    init: Initial = NORMAL,
    speed: NonNegative = 1.0,
    bias_speed: OptionalNonNegative = None,
    constrain: Constrain = None,
    of: Reads,
) -> Transposed:
    """The transpose of a local layer, with weights of its own: `y[a,b,m] = bias + sum of W[i,j,u,v,m,c] x[i,j,c]` over all
    `i*s+u*d-p = a`, `j*s+v*d-p = b`, then `act`

    Example: transposed(4x3, 2, stride = 2, pad = 1, bias = true, act = tanh)
    """
    check_groups(groups, of.sheet.maps, maps.count)
    _check_extra(extra, stride, pad)
    read = of.sheet.size
    window = slide_out(read, field, stride, pad, dilation, extra)
    sets, layout = shared(share, read, groups)
    biases = (window.inputs if share == Sharing() else ONE) if bias else None
    how = learned(init, speed, bias, bias_speed, constrain)
    shapes = (window, maps.count, of.sheet.maps, sets)
    value = Sheet(window.inputs.rows, window.inputs.columns, maps.count)
    return Transposed(*shapes, biases, over(act, value), maps.patch, learned=how, layout=layout)


def _check_extra(extra: Size, stride: Size, pad: Padding) -> None:
    if pad.word == "same" and extra != NO_ZEROS:
        raise Refused(
            "E306",
            f"'extra' must be 0 with 'pad = same', which multiplies the extent by the stride, found {extra}",
            argument="extra",
        )
    for axis, more, step in (("rows", extra.rows, stride.rows), ("columns", extra.columns, stride.columns)):
        if more >= step:
            raise Refused(
                "E306",
                f"'extra' must be below the stride, which is {step} in {axis}, found {more}",
                argument="extra",
            )


KINDS = {"transposed": transposed}
OPS = (Transposed,)
