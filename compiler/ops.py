"""The op table: one class per op, one function per layer kind of the language.

To add an op, write a frozen dataclass that says its shape, its parameters, what a region of its value depends
on and its cost; write a function whose signature is the argument table of docs/language.md; enter both in
the tables at the end. The kernel goes into `runtime/kernels/`: a test demands that both tables have equal keys.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from .arguments import (
    ONE,
    UNPADDED,
    Activation,
    Count,
    Extent,
    Extent3,
    Flag,
    LayerArgument,
    OptionalPositive,
    Pad,
    Positive,
    Reads,
    ReadsMany,
    Refused,
    Share,
    Sharing,
    none_or,
    one_of,
    slide_over,
)
from .layer import Layer, Op, Weights
from .pool import AvgPool, L2Pool, MaxPool, avgpool, l2pool, maxpool
from .shapes import Region, Sheet, Size, Window, whole
from .values import Extents


@dataclass(frozen=True, slots=True)
class Input(Op):
    """The image."""

    kind: ClassVar[str] = "input"
    image: Sheet

    @property
    def sheet(self) -> Sheet:
        return self.image

    def part(self, region: Region) -> Input:
        return Input(_sheet(region, self.image.maps))

    def multiply_adds(self) -> int:
        return 0


def _sheet(region: Region, maps: int) -> Sheet:
    return Sheet(region.size.rows, region.size.columns, maps)


def input_image(size: Extent3) -> Input:
    rows, columns, channels = size.parts
    return Input(Sheet(rows, columns, channels))


@dataclass(frozen=True, slots=True)
class Local(Op):
    """`h[i,j,m] = b + sum_uvc W[i,j,u,v,c,m] x[i*s+u-p, j*s+v-p, c]`, then `act`.

    Position `i,j` uses the weights of set `i mod sets.rows, j mod sets.columns`.
    """

    kind: ClassVar[str] = "local"
    window: Window
    maps_in: int
    maps: int
    sets: Size
    bias: bool
    act: str | None

    @property
    def sheet(self) -> Sheet:
        return Sheet(self.window.outputs.rows, self.window.outputs.columns, self.maps)

    @property
    def shared(self) -> bool:
        """Whether two positions use one set of weights."""
        outputs = self.window.outputs
        return self.sets.rows < outputs.rows or self.sets.columns < outputs.columns

    @property
    def fan_in(self) -> int:
        return self.window.field.rows * self.window.field.columns * self.maps_in

    @property
    def weight_shape(self) -> tuple[int, ...]:
        field = self.window.field
        return (self.sets.rows, self.sets.columns, field.rows, field.columns, self.maps_in, self.maps)

    def weights(self) -> dict[str, Weights]:
        weights = {"weight": Weights(self.weight_shape, self.fan_in)}
        if self.bias:
            weights["bias"] = Weights((self.sets.rows, self.sets.columns, self.maps), None)
        return weights

    def needs(self, region: Region) -> Region:
        return self.window.reads(region)

    def part(self, region: Region) -> Local:
        sets = region.size if self.sets == self.window.outputs else self.sets
        return replace(self, window=self.window.part(region), sets=sets)

    def multiply_adds(self) -> int:
        return self.sheet.values * self.fan_in


def local(
    field: Extent,
    maps: Count,
    stride: Extent = ONE,
    pad: Pad = UNPADDED,
    bias: Flag = False,
    act: Activation = None,
    share: Share = Sharing(),  # noqa: B008 (frozen)
    *,
    of: Reads,
) -> Local:
    window = slide_over(of.sheet.size, field, stride, pad)
    return Local(window, of.sheet.maps, maps, share.sets(window.outputs), bias, act)


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
        """Return the op that makes what just these units write, into just the inputs that they write into."""
        sets = units.size if self.sets == self.window.outputs else self.sets
        return replace(self, window=self.window.part(units), sets=sets)

    def multiply_adds(self) -> int:
        field, outputs = self.window.field, self.window.outputs
        return outputs.rows * outputs.columns * self.maps * field.rows * field.columns * self.maps_in


LayerLike = Annotated[Layer, LayerArgument("of")]


def decode(of: Reads, like: LayerLike, tied: Flag = False) -> Decode:
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


@dataclass(frozen=True, slots=True)
class LCN(Op):
    """Local contrast normalisation: `g = h - sum(G * h)`; `y = g / sqrt(max(floor^2, sum(G * g^2)))`."""

    kind: ClassVar[str] = "lcn"
    reads_sheet: Sheet
    field: Size
    sigma: tuple[float, float]
    across: bool  # over all maps, or over each map alone
    floor: float
    within: (
        Region  # the positions of what it reads that it has values at: all, or those whose window lies inside
    )

    @property
    def sheet(self) -> Sheet:
        return _sheet(self.within, self.reads_sheet.maps)

    def needs(self, region: Region) -> Region:
        """One value sees `2 * field - 1` inputs across: the window of the variance, each seeing its mean's."""
        shifted = region.shift(self.within.rows.start, self.within.columns.start)
        return shifted.grow(self.field.rows - 1, self.field.columns - 1).clip(self.reads_sheet.size)

    def part(self, region: Region) -> LCN:
        seen = self.needs(region)
        here = region.shift(self.within.rows.start, self.within.columns.start)
        return replace(self, reads_sheet=_sheet(seen, self.reads_sheet.maps), within=here.within(seen))

    def multiply_adds(self) -> int:
        return 2 * self.reads_sheet.values * (self.field.rows + self.field.columns)


Across = Annotated[str | None, none_or(one_of("all"))]
Edge = Annotated[str, one_of("same", "valid")]


def lcn(
    field: Extent,
    sigma: OptionalPositive = None,
    across: Across = "all",
    floor: Positive = 0.01,
    edge: Edge = "same",
    *,
    of: Reads,
) -> LCN:
    if field.rows % 2 == 0 or field.columns % 2 == 0:
        raise Refused(
            "E404",
            f"the field of 'lcn' must be odd, found {field}",
            argument="field",
            hints=("an odd field has a position in its middle: take one more or one less",),
        )
    if edge == "valid" and (field.rows > of.sheet.height or field.columns > of.sheet.width):
        raise Refused(
            "E401",
            f"with 'edge = valid' a field of {field} does not fit into the {of.sheet.size} that it reads",
            argument="field",
            hints=("make the field smaller, or take 'edge = same'",),
        )
    widths = (sigma or field.rows / 4, sigma or field.columns / 4)
    margin = Size(field.rows // 2, field.columns // 2) if edge == "valid" else Size(0, 0)
    within = whole(of.sheet.size).grow(-margin.rows, -margin.columns)
    return LCN(of.sheet, field, widths, across == "all", floor, within)


@dataclass(frozen=True, slots=True)
class Pointwise(Op):
    """A function of each value alone."""

    kind: ClassVar[str] = "pointwise"
    reads_sheet: Sheet
    function: str  # relu | tanh | sigmoid | softplus

    @property
    def sheet(self) -> Sheet:
        return self.reads_sheet

    def part(self, region: Region) -> Pointwise:
        return replace(self, reads_sheet=_sheet(region, self.reads_sheet.maps))


def relu(*, of: Reads) -> Pointwise:
    return Pointwise(of.sheet, "relu")


def tanh(*, of: Reads) -> Pointwise:
    return Pointwise(of.sheet, "tanh")


def sigmoid(*, of: Reads) -> Pointwise:
    return Pointwise(of.sheet, "sigmoid")


def softplus(*, of: Reads) -> Pointwise:
    return Pointwise(of.sheet, "softplus")


@dataclass(frozen=True, slots=True)
class Dense(Op):
    """Every unit reads the whole sheet."""

    kind: ClassVar[str] = "dense"
    reads_sheet: Sheet
    units: int
    bias: bool
    act: str | None

    @property
    def sheet(self) -> Sheet:
        return Sheet(1, 1, self.units)

    def weights(self) -> dict[str, Weights]:
        inputs = self.reads_sheet.values
        weights = {"weight": Weights((inputs, self.units), inputs)}
        if self.bias:
            weights["bias"] = Weights((self.units,), None)
        return weights

    def needs(self, region: Region) -> Region:
        return whole(self.reads_sheet.size) if region.area else region

    def part(self, region: Region) -> Dense:
        return self

    def multiply_adds(self) -> int:
        return self.reads_sheet.values * self.units


def dense(units: Count, bias: Flag = True, act: Activation = None, *, of: Reads) -> Dense:
    return Dense(of.sheet, units, bias, act)


@dataclass(frozen=True, slots=True)
class Crop(Op):
    """The central rows and columns; of an odd remainder the smaller half is cut off before."""

    kind: ClassVar[str] = "crop"
    reads_sheet: Sheet
    size: Size

    @property
    def start(self) -> Size:
        sheet = self.reads_sheet
        return Size((sheet.height - self.size.rows) // 2, (sheet.width - self.size.columns) // 2)

    @property
    def sheet(self) -> Sheet:
        return Sheet(self.size.rows, self.size.columns, self.reads_sheet.maps)

    def needs(self, region: Region) -> Region:
        return region.shift(self.start.rows, self.start.columns)

    def part(self, region: Region) -> Crop:
        return Crop(_sheet(region, self.reads_sheet.maps), region.size)


def crop(size: Extent, *, of: Reads) -> Crop:
    if size.rows > of.sheet.height or size.columns > of.sheet.width:
        raise Refused(
            "E401", f"{size} cannot be cut out of '{of.path}', which is {of.sheet.size}", argument="size"
        )
    return Crop(of.sheet, size)


@dataclass(frozen=True, slots=True)
class Concat(Op):
    """The maps of several layers, one after the other."""

    kind: ClassVar[str] = "concat"
    size: Size
    maps_in: tuple[int, ...]

    @property
    def sheet(self) -> Sheet:
        return Sheet(self.size.rows, self.size.columns, sum(self.maps_in))

    def part(self, region: Region) -> Concat:
        return replace(self, size=region.size)


@dataclass(frozen=True, slots=True)
class Add(Op):
    """The sum of several layers."""

    kind: ClassVar[str] = "add"
    reads_sheet: Sheet

    @property
    def sheet(self) -> Sheet:
        return self.reads_sheet

    def part(self, region: Region) -> Add:
        return Add(_sheet(region, self.reads_sheet.maps))


def concat(of: ReadsMany) -> Concat:
    _check_equal([(layer.path, layer.sheet.size) for layer in of], "rows and columns")
    return Concat(of[0].sheet.size, tuple(layer.sheet.maps for layer in of))


def add(of: ReadsMany) -> Add:
    _check_equal([(layer.path, layer.sheet) for layer in of], "extents")
    return Add(of[0].sheet)


def _check_equal(extents: list[tuple[str, Size]] | list[tuple[str, Sheet]], what: str) -> None:
    (first, expected), *others = extents
    for path, found in others:
        if found != expected:
            raise Refused(
                "E402",
                f"the {what} must agree, but '{first}' is {expected} and '{path}' is {found}",
                argument="of",
                hints=("'crop' cuts a layer down to its central rows and columns",),
            )


LAYER_KINDS: dict[str, Callable[..., Op]] = {
    "input": input_image,
    "local": local,
    "decode": decode,
    "l2pool": l2pool,
    "maxpool": maxpool,
    "avgpool": avgpool,
    "lcn": lcn,
    "relu": relu,
    "tanh": tanh,
    "sigmoid": sigmoid,
    "softplus": softplus,
    "dense": dense,
    "crop": crop,
    "concat": concat,
    "add": add,
}
"""What a file can call."""

OPS: dict[str, type[Op]] = {
    op.kind: op
    for op in (Input, Local, Decode, L2Pool, MaxPool, AvgPool, LCN, Pointwise, Dense, Crop, Concat, Add)
}
"""What the runtime has a kernel for."""

__all__ = ["LAYER_KINDS", "OPS", "Extents", "Input", "Local", "Decode", "LCN", "Dense", "decoder_of"]
