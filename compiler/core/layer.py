"""A layer of the graph, its parameters, and what every op can say about itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import ClassVar

from lnet.dsl.source import Span

from .shapes import Region, Sheet


@dataclass(frozen=True, slots=True)
class Weights:
    """Shape of one parameter of an op, and the fan-in that scales its initial values (None: zeros)."""

    shape: tuple[int, ...]
    fan_in: int | None


class Op:
    """What a layer computes, with all geometry resolved: the shape of its value follows from it alone."""

    __slots__ = ()
    kind: ClassVar[str]

    @property
    def sheet(self) -> Sheet:
        """The extents of the value."""
        raise AssertionError(f"{type(self).__name__} has no shape rule")

    def weights(self) -> dict[str, Weights]:
        """The parameters by role (`weight`, `bias`)."""
        return {}

    def needs(self, region: Region) -> Region:
        """Return the region of an operand that a region of the value depends on."""
        return region

    def part(self, region: Region) -> Op:
        """Return the op restricted to a region of the value; it reads only the region it needs of each operand."""
        raise AssertionError(f"{type(self).__name__} cannot be cut")

    def multiply_adds(self) -> int:
        """Multiply-adds of the forward pass for one image."""
        return self.sheet.values


@dataclass(frozen=True, slots=True)
class Parameter:
    """A trained array: its role in its layer, its name in the network, and its shape.

    A tied decoder carries its encoder's parameter: the same name is the same array.
    """

    role: str
    name: str
    shape: tuple[int, ...]
    fan_in: int | None

    @property
    def size(self) -> int:
        return prod(self.shape)


@dataclass(frozen=True, slots=True)
class Layer:
    """A node of the graph: an op, what it reads, and where the file says so."""

    path: str
    op: Op
    reads: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    span: Span = field(compare=False, repr=False)

    @property
    def sheet(self) -> Sheet:
        return self.op.sheet


def parameters_of(path: str, op: Op) -> tuple[Parameter, ...]:
    return tuple(Parameter(role, f"{path}.{role}", w.shape, w.fan_in) for role, w in op.weights().items())
