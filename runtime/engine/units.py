"""Unit sheets: units in the rows and columns in which they are neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnet.compiler.core.shapes import Size


def in_units(values: NDArray[Any], patch: Size | None, axis: int = 0) -> NDArray[Any]:
    """Return values `[..., row, column, map, ...]`, rows along `axis`, as `[..., unit row, unit column, sheet, ...]`.

    With a patch there is one sheet, all positions' patches side by side; without one each map is a sheet.
    """
    if patch is None:
        return values
    *before, rows, columns, _ = values.shape[: axis + 3]
    split = values.reshape(*before, rows, columns, patch.rows, patch.columns, *values.shape[axis + 3 :])
    down = np.moveaxis(split, axis + 2, axis + 1)
    return down.reshape(*before, rows * patch.rows, columns * patch.columns, 1, *values.shape[axis + 3 :])
