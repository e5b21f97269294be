"""The transpose of a local layer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from lnet.compiler.core.arguments import Flag, LayerArgument, Reads, Refused
from lnet.compiler.core.layer import Layer, Op, Weights
from lnet.compiler.core.shapes import Region, Sheet, Size, Window

from .local import Local


@dataclass(frozen=True, slots=True)
class Decode(Op):
    """The transpose of a local layer: `xhat[y,x,c] = sum_ij,uv,m D[i,j,u,v,c,m] h[i,j,m]`."""

    kind: ClassVar[str] = "decode"
    window: Window  # of the local layer
    maps_in: int  # what the local layer reads, so what this layer makes
    maps: int  # what the local layer makes, so what this layer reads
    sets: Size
    like: str
    tied: bool

    @property
    def sheet(self) -> Sheet:
        return Sheet(self.window.inputs.rows, self.window.inputs.columns, self.maps_in)

    def weights(self) -> dict[str, Weights]:
        local = Local(self.window, self.maps_in, self.maps, self.sets, bias=False, act=None)
        return local.weights()

    def needs(self, region: Region) -> Region:
        return self.window.readers(region)

    def of_units(self, units: Region) -> Decode:
        """Return the op restricted to these units, and to the inputs that they write."""
        sets = units.size if self.sets == self.window.outputs else self.sets
        return replace(self, window=self.window.part(units), sets=sets)

    def multiply_adds(self) -> int:
        field, outputs = self.window.field, self.window.outputs
        return outputs.rows * outputs.columns * self.maps * field.rows * field.columns * self.maps_in


LayerLike = Annotated[Layer, LayerArgument("of")]


def decode(of: Reads, like: LayerLike, tied: Flag = False) -> Decode:
    """The transpose of the local layer `like` (`of`, unless given), applied to `of`: `xhat[y,x,c] = sum over every (i,j,u,v)
    that touches (y,x) of sum_m D[i,j,u,v,c,m] h[i,j,m]`. Its extents are those of what `like` reads; `tied = true` uses
    `like`'s weights

    Example: decode(of = second, tied = true)
    """
    if not isinstance(like.op, Local):
        raise Refused(
            "E502",
            f"'{like.path}' is no 'local' layer, so there is nothing to transpose",
            argument="like",
            notes=(f"'{like.path}' is made by '{like.op.kind}'",),
            hints=("name the local layer to transpose with 'like'",),
        )
    if of.sheet != like.sheet:
        raise Refused(
            "E403",
            f"'{of.path}' is {of.sheet}, but the output of '{like.path}' is {like.sheet}",
            argument="of",
            notes=("a decoder reads a sheet with the extent of the local layer's output",),
        )
    return decoder_of(like, tied)


def decoder_of(encode: Layer, tied: bool) -> Decode:
    """Return the transpose of a local layer."""
    op = encode.op
    assert isinstance(op, Local), "decoder_of: the caller checks that it gets a local layer"
    return Decode(op.window, op.maps_in, op.maps, op.sets, encode.path, tied)


KINDS = {"decode": decode}
OPS = (Decode,)
