"""The values of expressions."""

from __future__ import annotations

from dataclasses import dataclass

from .shapes import Size


@dataclass(frozen=True, slots=True)
class Extents:
    """A size of two or three integers from 0: `18x18`, `200x200x3`, as padding `3x0`."""

    parts: tuple[int, ...]

    @property
    def size(self) -> Size:
        return Size(self.parts[0], self.parts[1])

    def __str__(self) -> str:
        return "x".join(map(str, self.parts))


class Written(str):
    """A text of an included file that is in another folder, which paths are relative to."""

    folder: str

    def __new__(cls, text: str, folder: str) -> Written:
        """Return a text that stands in a file of a folder, itself relative to that of the main file."""
        written = super().__new__(cls, text)
        written.folder = folder
        return written


@dataclass(frozen=True, slots=True)
class Word:
    """A bare name that the language itself gives a meaning: `valid`, `relu`, `joint`."""

    text: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """The value of a broken expression, already reported; expressions that use it report nothing more."""


UNKNOWN = Unknown()

Value = object
"""int, float, bool, None, str, Extents, Word, Unknown, a tuple of values, or what a call such as `tile(2)` makes."""


def describe(value: Value) -> str:
    """Return a description of a value for `found ...` in messages."""
    match value:
        case bool():
            return f"'{str(value).lower()}'"
        case None:
            return "'none'"
        case int() | float():
            return f"the number {value}"
        case Extents():
            return f"the size {value}"
        case str():
            return f'the text "{value}"'
        case Word(text):
            return f"the word '{text}'"
        case tuple():
            return "a list"
        case _:
            return f"'{getattr(value, 'kind', type(value).__name__.lower())}(...)'"
