"""The axes of a sheet that a field slides along: numbers alone, which the writers of ONNX use, too."""

from __future__ import annotations

from typing import NamedTuple

Pair = tuple[int, int]  # rows and columns
Sheet = tuple[int, int, int]  # rows, columns and maps


class Axis(NamedTuple):
    """A field of `field` inputs, `dilation` apart, that slides along `extent` inputs in steps of `stride`.

    Position 0 begins `before` inputs ahead of the first. Position `i` has the weights `i // block % sets`.
    """

    extent: int
    positions: int
    field: int
    stride: int
    before: int
    dilation: int
    sets: int
    block: int

    @property
    def span(self) -> int:
        """Inputs from the first of a field to its last."""
        return (self.field - 1) * self.dilation + 1

    @property
    def reach(self) -> int:
        """Inputs from the first of all fields to the last."""
        return (self.positions - 1) * self.stride + self.span

    @property
    def turns(self) -> Sheet:
        """How the positions divide: into turns, in which each set has a block. The last may be incomplete."""
        return (-(-self.positions // (self.sets * self.block)), self.sets, self.block)

    @property
    def missing(self) -> int:
        """Positions that complete the last turn."""
        turns, sets, block = self.turns
        return turns * sets * block - self.positions

    @property
    def padding(self) -> Pair:
        """Zeros before and after the inputs, so that the fields of complete turns just fit; below zero to crop."""
        reach = self.reach + self.missing * self.stride
        return self.before, reach - self.before - self.extent

    @property
    def cut(self) -> Pair:
        """Zeros before and after what the fields of all positions reach, so that the inputs remain; below zero to crop."""
        return -self.before, self.before + self.extent - self.reach


def around(rows: Pair, columns: Pair) -> tuple[int, int, int, int]:
    """Return padding of both axes as `torch.nn.functional.pad` takes it."""
    return (*columns, *rows)
