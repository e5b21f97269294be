"""The transpose of a local layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from lnet.compiler.core.arguments import Flag, LayerArgument, NonNegative, Reads, Refused
from lnet.compiler.core.layer import Layer
from lnet.compiler.core.learned import NORMAL, Learned
from lnet.compiler.core.shapes import Size

from .filters import Transpose
from .learning import Initial, check_own, learned
from .local import Local


@dataclass(frozen=True, slots=True)
class Decode(Transpose):
    """The transpose of a local layer: `xhat[y,x,c] = sum_ij,uv,m D[i,j,u,v,c,m] h[i,j,m]`.

    Window and maps are those of the local layer, so it reads `maps` and makes `maps_in`.
    """

    kind: ClassVar[str] = "decode"
    decodes: ClassVar[bool] = True
    like: str
    tied: bool
    patch: Size | None = None

    @property
    def tied_to(self) -> str | None:
        return self.like if self.tied else None

    def laid_out(self, operands: Sequence[Size | None]) -> Size | None:
        return self.patch

    @property
    def linear(self) -> Decode:
        return self

    def renamed(self, name: Callable[[str], str]) -> Decode:
        return replace(self, like=name(self.like))


LayerLike = Annotated[Layer, LayerArgument("of")]


def decode(
    of: Reads,
    like: LayerLike,
    tied: Flag = False,
    *,
    init: Initial = NORMAL,
    speed: NonNegative = 1.0,
) -> Decode:
    """The transpose of the local layer `like` (`of`, unless given), applied to `of`: `xhat[y,x,c] = sum over every (i,j,u,v)
    that touches (y,x) of sum_m D[i,j,u,v,c,m] h[i,j,m]`. Its extents are those of the layer that `like` reads; `tied = true`
    uses `like`'s weights

    Example: decode(of = second, tied = true)
    """
    encoder(like, "like")
    if of.sheet != like.sheet:
        raise Refused(
            "E403",
            f"'{of.path}' is {of.sheet}, but the output of '{like.path}' is {like.sheet}",
            argument="of",
            notes=("a decoder reads a sheet with the extent of the local layer's output",),
        )
    check_own(init, speed, tied, like.path)
    return decoder_of(like, tied, learned(init, speed))


def encoder(layer: Layer, argument: str) -> Local:
    """Return the op of the local layer that an argument names; raises `Refused` for another layer."""
    if isinstance(layer.op, Local):
        return layer.op
    raise Refused(
        "E502",
        f"'{layer.path}' is not a 'local' layer, so it has no decoder",
        argument=argument,
        notes=(f"'{layer.path}' is made by '{layer.op.kind}'",),
        hints=(f"name a local layer with '{argument}'",),
    )


def decoder_of(encode: Layer, tied: bool, how: Learned) -> Decode:
    """Return the transpose of a local layer."""
    op = encoder(encode, "encode")
    shapes = (op.window, op.maps_in, op.maps, op.sets)
    return Decode(*shapes, encode.path, tied, op.patch_in, learned=how, layout=op.layout)


KINDS = {"decode": decode}
OPS = (Decode,)
