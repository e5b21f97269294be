"""Files of an archive, or of a folder, in columns: tens of bytes each, where an object would have hundreds."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

Pieces = tuple[tuple[int, int, int], ...]
"""Extents of a sparse file: `(offset in the file, offset in the archive, bytes)`, with zeros between them."""


class Member(NamedTuple):
    """A file: size in bytes (-1: a broken link), and where its bytes begin in the archive."""

    name: str
    size: int
    offset: int
    pieces: Pieces = ()


@dataclass(frozen=True)
class Members:
    """Files in an order; `pieces` of sparse ones, by number."""

    names: list[str] = field(default_factory=list)
    sizes: array[int] = field(default_factory=lambda: array("q"))
    offsets: array[int] = field(default_factory=lambda: array("q"))
    pieces: dict[int, Pieces] = field(default_factory=dict)

    @staticmethod
    def of(members: Iterable[Member]) -> Members:
        found = Members()
        for member in members:
            found.append(member)
        return found

    def append(self, member: Member) -> None:
        if member.pieces:
            self.pieces[len(self)] = member.pieces
        self.names.append(member.name)
        self.sizes.append(member.size)
        self.offsets.append(member.offset)

    def extend(self, names: Iterable[str], sizes: Iterable[int], offsets: Iterable[int]) -> None:
        self.names.extend(names)
        self.sizes.extend(sizes)
        self.offsets.extend(offsets)

    def some(self, numbers: Sequence[int]) -> Members:
        """Return some of them, in this order."""
        pieces = self.pieces and {at: self.pieces[n] for at, n in enumerate(numbers) if n in self.pieces}
        return Members(
            [self.names[number] for number in numbers],
            array("q", [self.sizes[number] for number in numbers]),
            array("q", [self.offsets[number] for number in numbers]),
            pieces,
        )

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, number: int) -> Member:
        pieces = self.pieces.get(number, ())
        return Member(self.names[number], self.sizes[number], self.offsets[number], pieces)
