"""The text of a file, and positions in it."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A half-open range of characters in a source text."""

    start: int
    end: int

    def to(self, other: Span) -> Span:
        """Return the smallest span that covers this one and `other`."""
        return Span(min(self.start, other.start), max(self.end, other.end))

    def moved(self, by: int) -> Span:
        """Return the span as many characters further on."""
        return Span(self.start + by, self.end + by)


@dataclass(frozen=True)
class Source:
    """The text of a `.lnet` file, and those of all files that it includes: no byte order mark, lines ended by LF.

    Positions count on from one text into the next, so that one number says which file is meant, too:

        a.lnet   0 ... 99    included b.lnet   100 ... 129    included c.lnet   130 ... 180
    """

    text: str
    name: str = field(default="<text>", compare=False)
    included: tuple[Source, ...] = ()

    @cached_property
    def files(self) -> tuple[Source, ...]:
        """Every file by itself, this one first."""
        return (replace(self, included=()) if self.included else self, *self.included)

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """The position of the first character of each file; one beyond a text's last belongs to it."""
        return tuple(accumulate((len(file.text) + 1 for file in self.files[:-1]), initial=0))

    def at(self, offset: int) -> tuple[Source, int]:
        """Return the file that a character is in, and its position there."""
        number = bisect_right(self.starts, offset) - 1
        return self.files[number], offset - self.starts[number]

    @cached_property
    def _line_starts(self) -> list[int]:
        starts = [0]
        starts.extend(i + 1 for i, character in enumerate(self.text) if character == "\n")
        return starts

    def position(self, offset: int) -> tuple[int, int]:
        """Return line and column of a character in its file, both from 1."""
        file, offset = self.at(offset) if self.included else (self, offset)
        line = bisect_right(file._line_starts, offset)
        return line, offset - file._line_starts[line - 1] + 1

    def line(self, number: int) -> str:
        """Return the text of a line of this file, from 1, without its end."""
        start = self._line_starts[number - 1]
        end = self.text.find("\n", start)
        return self.text[start:] if end < 0 else self.text[start:end]
