"""Maps laid out as positions, and positions as maps."""

from __future__ import annotations

import jax

from lnet.compiler.ops.depth import DepthToSpace, SpaceToDepth

from .base import LayerKernel


def depth_to_space(op: DepthToSpace, x: jax.Array) -> jax.Array:
    """`[rows, columns, maps, batch]`, a block of maps at each position, to the positions `within` of their sheet."""
    (rows, columns, maps, batch), block = x.shape, op.block
    maps //= block.rows * block.columns
    split = x.reshape(rows, columns, block.rows, block.columns, maps, batch).transpose(0, 2, 1, 3, 4, 5)
    sheet = split.reshape(rows * block.rows, columns * block.columns, maps, batch)
    here = op.within
    return sheet[here.rows.start : here.rows.stop, here.columns.start : here.columns.stop]


def space_to_depth(op: SpaceToDepth, x: jax.Array) -> jax.Array:
    """`[rows, columns, maps, batch]` to a block of maps at each position."""
    (rows, columns, maps, batch), block = x.shape, op.block
    rows, columns = rows // block.rows, columns // block.columns
    split = x.reshape(rows, block.rows, columns, block.columns, maps, batch).transpose(0, 2, 1, 3, 4, 5)
    return split.reshape(rows, columns, block.rows * block.columns * maps, batch)


KERNELS: dict[str, LayerKernel] = {
    "depth_to_space": lambda op, values, params, precision: depth_to_space(op, values[0]),
    "space_to_depth": lambda op, values, params, precision: space_to_depth(op, values[0]),
}
