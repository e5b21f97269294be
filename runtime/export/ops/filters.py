"""What local layers and their transposes have in common.

Positions divide into turns, sets and blocks (`Axis.turns`), and so each product is one `einsum` over letters:

    n image, g group, c map of the sheet that the field slides over, m map of the sheet of positions
    t, a, b   turn, set and block of a row;   p, d, e   of a column;   u, v   row and column of the field
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lnet.compiler.ops import Filters
from lnet.runtime.export.call import unless
from lnet.runtime.export.modules.axis import Axis
from lnet.runtime.export.nodes import Array, Name, Named, Nodes

from .base import pair


def shares_one(op: Filters) -> bool:
    """Whether all positions share one set of filters: a convolution."""
    return pair(op.sets) == (1, 1)


def axes_of(op: Filters) -> tuple[Axis, Axis]:
    """Return rows and columns as the op's field slides along them."""
    window, sets, block = op.window, pair(op.sets), pair(op.layout.block)
    slides = (window.rows, window.columns)
    rows, columns = (
        Axis(each.extent, each.outputs, each.field, each.stride, each.before, each.dilation, *shared)
        for each, shared in zip(slides, zip(sets, block, strict=True), strict=True)
    )
    return rows, columns


def sliding(op: Filters) -> dict[str, Any]:
    """Return the arguments of a module that say how the field slides and which positions share its filters."""
    rows, columns = axes_of(op)
    given = unless((1, 1), stride=(rows.stride, columns.stride))
    given |= unless((0, 0), pad=(rows.before, columns.before))
    given |= unless((1, 1), dilation=(rows.dilation, columns.dilation))
    given |= unless(1, groups=op.layout.groups)
    if op.position_weights or shares_one(op):
        return given
    return given | {"sets": pair(op.sets)} | unless((1, 1), block=pair(op.layout.block))


def kernel(nodes: Nodes, weight: Named) -> Name:
    """Enter the one set of filters of a convolution: `[map, map of a group, field row, field column]`."""
    return nodes.parameter(weight, lambda array: array[0, 0].transpose(3, 2, 0, 1))


def filters(nodes: Nodes, weight: Named, groups: int) -> Name:
    """Enter filters with the letters `aduvcgm`."""
    return nodes.parameter(weight, lambda array: array.reshape(*array.shape[:-1], groups, -1))


def taps(axis: Axis) -> Array:
    """Return the inputs that each position sees along an axis, of those with padding: `[turn, set, block, field]`."""
    starts = np.arange(np.prod(axis.turns)).reshape(axis.turns) * axis.stride
    return starts[..., None] + np.arange(axis.field) * axis.dilation


def attributes(axes: Sequence[Axis], groups: int) -> dict[str, Any]:
    """Return the attributes of a convolution."""
    return {
        "kernel_shape": [axis.field for axis in axes],
        "strides": [axis.stride for axis in axes],
        "dilations": [axis.dilation for axis in axes],
        "group": groups,
    }
