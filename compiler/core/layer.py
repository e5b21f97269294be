"""A layer of the graph, its parameters, and the interface of every op."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import ClassVar

from lnet.dsl.source import Span

from .learned import NORMAL, Fans, Init, Spread
from .shapes import Region, Sheet, Size


@dataclass(frozen=True, slots=True)
class Weights:
    """Shape of a parameter, the names of its axes, and the fan-in that scales its initial values (None: all `fill`).

    `init`, `speed`, `unit` and `momentum` are as in `Parameter`.
    """

    shape: tuple[int, ...]
    axes: tuple[str, ...]
    fan_in: int | None
    fan_out: int = 0
    init: Init = NORMAL
    speed: float = 1.0
    unit: bool = False
    fill: float = 0.0
    momentum: float | None = None


class Op:
    """The operation of a layer, with all geometry resolved; it alone determines the shape of the value.

    An op states its facts here, and no other file asks which op it is. `scatters`: each position that it reads, a *unit*,
    writes to a region of the value, and tiles add up what their units write to one position (a decoder); other ops gather.
    `reduces`: of an op that scatters, a tile holds only the part of the value that is read there, not all that its own units
    write to. `value_weights`: the first axis of all parameters goes through the values, row, column, map; of an op that
    scatters through those that it reads. `differentiable`: gradients flow through it. `has_mode`: it computes otherwise in
    training than in evaluation.
    `is_target`: its values come with the images, as labels do, and only an objective's `target` reads them.
    `follows`: its value is a region of its operand, and its positions belong to the tiles that own them there.
    `decodes`: it goes back through a layer of the network, and published counts of weights leave it out.
    `has_filters`: `weight` has a filter for each map, `[set row, set column, field row, field column, map in, map]`.
    `keeps_patch`: its maps are those of its operands, one by one, so they lie in the same patch.
    """

    __slots__ = ()
    kind: ClassVar[str]
    scatters: ClassVar[bool] = False
    reduces: ClassVar[bool] = False
    value_weights: ClassVar[bool] = False
    differentiable: ClassVar[bool] = True
    is_target: ClassVar[bool] = False
    has_mode: ClassVar[bool] = False
    follows: ClassVar[bool] = False
    decodes: ClassVar[bool] = False
    has_filters: ClassVar[bool] = False
    keeps_patch: ClassVar[bool] = False

    @property
    def sheet(self) -> Sheet:
        """The extents of the value."""
        raise AssertionError(f"{type(self).__name__} has no shape rule")

    @property
    def field_size(self) -> Size | None:
        """Rows and columns of the window: what a position reads, or writes if the op `scatters`; None without a window."""
        return None

    @property
    def period(self) -> Size:
        """Rows and columns of the value after which positions stand to those that they read as before."""
        return Size(1, 1)

    def batch_rows(self, batch: int) -> int:
        """How many values each position and map has for a batch of so many rows: one for each, or one for all."""
        return batch

    def multiply_adds(self) -> int:
        """Multiply-adds of the forward pass for one image."""
        return self.sheet.values

    @property
    def applies(self) -> tuple[Op, ...]:
        """The ops that it ends with: its `act`, which reads and makes a sheet of its own extents."""
        return ()

    @property
    def linear(self) -> Op | None:
        """The op that sums what it reads times `weight`, without bias and activation; None for an op without such sums."""
        return None

    def nonnegative(self, operands: bool) -> bool:
        """Whether all values are at least zero; `operands`: whether those of all operands are known to be."""
        return any(op.nonnegative(False) for op in self.applies)

    @property
    def probabilities(self) -> str | None:
        """The function that makes its values probabilities, `softmax` or `sigmoid`, if one does."""
        return next((op.probabilities for op in self.applies), None)

    def laid_out(self, operands: Sequence[Size | None]) -> Size | None:
        """Return the patch in which the value's maps lie at each position, from those of the operands; None without one."""
        first = operands[0] if operands and self.keeps_patch else None
        return first if all(patch == first for patch in operands) else None

    def renamed(self, name: Callable[[str], str]) -> Op:
        """Return the op with other names for the layers that it mentions."""
        return self

    # --- parameters ---

    def weights(self) -> dict[str, Weights]:
        """The parameters by role (`weight`, `bias`)."""
        return {}

    @property
    def position_roles(self) -> frozenset[str]:
        """The roles of parameters of which every position has its own: they begin with its row and its column.

        Positions are the value's, of an op that scatters those that it reads.
        """
        return frozenset()

    @property
    def tied_to(self) -> str | None:
        """The layer whose parameters of the same roles it uses instead of its own."""
        return None

    def first_set(self, region: Region) -> Size:
        """Return the set of weights that the first position of a region uses, where positions take turns at a few sets."""
        return Size(0, 0)

    def sets_used(self) -> tuple[list[int], list[int]]:
        """Return the row and the column of the set of weights that the rows and columns of positions use.

        Of an op with filters.
        """
        raise AssertionError(f"{type(self).__name__} has no filters")

    @property
    def shared_block(self) -> Size:
        """Neighbouring positions that share weights, where those of a block do."""
        return Size(1, 1)

    # --- tiles ---

    @property
    def exchanged(self) -> bool:
        """Whether tiles send each other its values; values of others are computed again where they are needed."""
        return self.scatters or bool(self.weights())

    @property
    def strided(self) -> bool:
        """Whether its field skips positions: sending its few values may be cheaper than sending the many that it reads."""
        return False

    def needs(self, region: Region) -> Region:
        """Return the region of an operand that a region of the value depends on."""
        return region

    def needs_of(self, operand: int, region: Region) -> Region:
        """Return the region of one of several operands that a region of the value depends on."""
        return self.needs(region)

    def in_tiles(self, layer: Layer) -> tuple[Layer, ...]:
        """Return the layers that tiles compute in the place of one with this op; the last has its path."""
        return (layer,)

    def part(self, region: Region) -> Op:
        """Return the op restricted to a region of the value; it reads only the region it needs of each operand."""
        raise AssertionError(f"{type(self).__name__} cannot be cut")

    def in_line(self) -> Op | None:
        """Return the op on a vector whose values are dealt to tiles (line.py); None if it reads the vector as one."""
        return None

    def writes(self, units: Region) -> Region:
        """Return the region of the value that units of an op that scatters write to."""
        raise AssertionError(f"{type(self).__name__} does not scatter")

    def of_units(self, units: Region) -> Op:
        """Return an op that scatters restricted to some units, and to the region that they write to."""
        raise AssertionError(f"{type(self).__name__} does not scatter")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A trained array: its role in its layer, its name in the network, and its shape.

    A tied decoder carries its encoder's parameter: the same name is the same array. Its values begin as `init` and the
    fans say, all as `fill` without a fan-in. `speed`: a factor on the rate of its updates, of which 0 freezes it. `unit`:
    each vector `[set row, set column, :, :, :, map]` has length 1, at the beginning and after every update. `momentum`: of a
    running value, which no gradient moves but every batch of training does, `r = momentum * r + (1 - momentum) * s`.
    """

    role: str
    name: str
    shape: tuple[int, ...]
    fan_in: int | None
    fan_out: int = 0
    init: Init = NORMAL
    speed: float = 1.0
    unit: bool = False
    fill: float = 0.0
    momentum: float | None = None

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def is_weight(self) -> bool:
        """Whether it is a weight, which begins at random; no bias, factor, summand or running value."""
        return self.fan_in is not None

    @property
    def spread(self) -> Spread | None:
        """The distribution of the initial values; None: all are `fill`."""
        return None if self.fan_in is None else self.init.spread(Fans(self.fan_in, self.fan_out))


@dataclass(frozen=True)
class Layer:
    """A node of the graph: an op, its operands, and its place in the file.

    `patch`: rows and columns in which the maps lie at each position, map `m` in row `m // columns`, column `m % columns`;
    all positions together make the *unit sheet*.
    """

    path: str
    op: Op
    reads: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    span: Span = field(compare=False, repr=False)
    patch: Size | None = None

    @cached_property
    def sheet(self) -> Sheet:
        return self.op.sheet

    @property
    def has_weights(self) -> bool:
        """Whether it computes with weights, not biases alone."""
        return any(parameter.is_weight for parameter in self.parameters)


def learning_text(parameter: Parameter) -> str:
    """Return how a parameter begins and learns, as far as it is not the default; nothing of running values."""
    if parameter.momentum is not None:
        return ""
    told = [f"begins {parameter.spread} ({parameter.init})"] if parameter.init != NORMAL else []
    told += (
        ["frozen" if parameter.speed == 0 else f"speed {parameter.speed:g}"] if parameter.speed != 1 else []
    )
    return ", ".join([*told, *(["vectors of length 1"] if parameter.unit else [])])


def parameters_of(path: str, op: Op) -> tuple[Parameter, ...]:
    """Return the parameters of a layer that has its own."""
    return tuple(parameter(role, f"{path}.{role}", weights) for role, weights in op.weights().items())


def parameter(role: str, name: str, of: Weights) -> Parameter:
    """Return the parameter of a name that an op's weights are."""
    return Parameter(
        role, name, of.shape, of.fan_in, of.fan_out, of.init, of.speed, of.unit, of.fill, of.momentum
    )


def tied_parameters(op: Op, to: Layer) -> tuple[Parameter, ...]:
    """Return the parameters of another layer that an op uses as its own, by their roles."""
    return tuple(parameter for parameter in to.parameters if parameter.role in op.weights())
