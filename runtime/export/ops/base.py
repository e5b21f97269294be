"""The types of what writes an op."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lnet.compiler.core.shapes import Sheet, Size, Window
from lnet.runtime.export.call import Call
from lnet.runtime.export.nodes import Name

Module = Callable[[Any], Call]
"""Of an op, the call that makes its module."""
Writer = Callable[..., Name]
"""Of an op, the nodes, the names of its operands, and its parameters by role: adds nodes, returns their value's name."""


def pair(size: Size) -> tuple[int, int]:
    return size.rows, size.columns


def triple(sheet: Sheet) -> tuple[int, int, int]:
    return sheet.height, sheet.width, sheet.maps


def around(window: Window) -> tuple[int, int, int, int]:
    """Return the padding of a window as PyTorch takes it."""
    rows, columns = window.rows, window.columns
    return columns.before, columns.after, rows.before, rows.after
