"""Text tables: one wider than the terminal is folded, and each part repeats the first column.

Names in the first column that take more than half of the terminal are broken, so that others have room beside them.

layer       kind    value            layer       weights   parameters
────────────────────────────         ────────────────────────────────
V1.filter   local   29x29x16   ->    V1.filter   416,304      1.67 MB
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from io import StringIO

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDE = 240
"""Width, in columns, of output that is not a terminal."""
GAP = 3
"""Blanks between two columns."""


@dataclass(frozen=True)
class TextTable:
    """Columns of `words`, then of `figures`, over rows of texts; figures are right-aligned, except those in `left`."""

    words: tuple[str, ...]
    figures: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.words, *self.figures)


def terminal_width() -> int:
    """Return the width of the terminal in columns."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDE


def printed(parts: Sequence[str | TextTable], width: int) -> str:
    """Return paragraphs and tables one below the other, no wider than `width` if possible."""
    out = Console(file=StringIO(), width=width, color_system=None, highlight=False, markup=False)
    for part in parts:
        if isinstance(part, str):
            out.print(part, soft_wrap=width == WIDE)
            continue
        for number, table in enumerate(_folded(part, width)):
            if number:
                out.print()
            out.print(table)
    assert isinstance(out.file, StringIO)
    return "\n".join(line.rstrip() for line in out.file.getvalue().splitlines())


def as_html(parts: Sequence[str | TextTable]) -> str:
    """Return paragraphs and tables as HTML, for notebooks."""
    return "\n".join(f"<p>{escape(part)}</p>" if isinstance(part, str) else _html(part) for part in parts)


def _html(table: TextTable) -> str:
    words = {*table.words, *table.left}
    sides = ["left" if name in words else "right" for name in table.names]

    def row(tag: str, cells: Sequence[str]) -> str:
        found = zip(sides, cells, strict=True)
        return "".join(f'<{tag} style="text-align: {side}">{escape(cell)}</{tag}>' for side, cell in found)

    body = "".join(f"<tr>{row('td', cells)}</tr>" for cells in table.rows)
    return f"<table><thead><tr>{row('th', table.names)}</tr></thead><tbody>{body}</tbody></table>"


def _folded(table: TextTable, width: int) -> Iterator[Table]:
    """Yield tables of the first column and as many further ones as fit, until all are shown."""
    cells = list(zip(table.names, *table.rows, strict=True))
    wide = [max(map(cell_len, column)) + GAP for column in cells]
    first, *others = range(len(cells))
    wide[first] = min(wide[first], width // 2)  # longer names are broken
    shown: list[int] = []
    for column in others:
        if shown and wide[first] + sum(wide[other] for other in shown) + wide[column] - GAP > width:
            yield _drawn(table, [first, *shown])
            shown = []
        shown.append(column)
    yield _drawn(table, [first, *shown])


def _drawn(table: TextTable, columns: Sequence[int]) -> Table:
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        name = table.names[column]
        left = column < len(table.words) or name in table.left
        drawn.add_column(Text(name), justify="left" if left else "right", overflow="fold")
    for row in table.rows:
        drawn.add_row(*(Text(row[column]) for column in columns))
    return drawn
