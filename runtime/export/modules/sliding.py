"""What a field sees as it slides over a sheet."""

from __future__ import annotations

from torch import Tensor

from .axis import Axis


def fields(x: Tensor, rows: Axis, columns: Axis) -> Tensor:
    """Return what each position sees of `[n, c, row, column]`: `[n, c, row, column, field row, field column]`."""
    seen = x.unfold(2, rows.span, rows.stride).unfold(3, columns.span, columns.stride)
    return seen[..., :: rows.dilation, :: columns.dilation]
