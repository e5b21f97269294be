"""Local layers whose positions share weights: convolutions, one for each set of weights.

Along an axis, the positions of one set are a convolution that begins at the first of them: positions of `tile(k)` with `k`
times the layer's stride, those of a block with the stride itself.

    stride 1, tile(2):    position   0 1 2 3 4        set 0: 0 2 4    reads from input 0 in steps of 2
                          set        0 1 0 1 0        set 1: 1 3      reads from input 1 in steps of 2

    stride 1, blocks(2):  position   0 1 2 3 4        set 0: 0 1      reads from input 0 in steps of 1
                          set        0 0 1 1 2        set 1: 2 3      reads from input 2 in steps of 1

The sets are taken one after the other by `lax.map`, so that compiled size does not depend on their number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import lax

from lnet.compiler.core.shapes import Slide

from .products import Product, exactness, rounded

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Axis:
    """One axis: position `i` uses set `(i + lead) // block mod sets`."""

    slide: Slide
    sets: int
    block: int
    lead: int

    @property
    def used(self) -> int:
        """How many of the sets, from the first, have positions."""
        return min(self.sets, (self.slide.outputs + self.lead - 1) // self.block + 1)

    @property
    def count(self) -> int:
        """Positions of a set, some beyond the sheet included."""
        return self.block if self.block > 1 else -(-self.slide.outputs // self.sets)

    @property
    def stride(self) -> int:
        """Inputs from one position of a set to the next."""
        return self.slide.stride * (1 if self.block > 1 else self.sets)

    @property
    def step(self) -> int:
        """Inputs from a set's first position to that of the next set."""
        return self.slide.stride * self.block

    @property
    def reach(self) -> int:
        """Inputs that the positions of a set read."""
        return (self.count - 1) * self.stride + self.slide.span

    @property
    def padding(self) -> tuple[int, int, int]:
        before = self.slide.before + self.lead * self.slide.stride
        return before, (self.used - 1) * self.step + self.reach - before - self.slide.extent, 0


def forward(x: jax.Array, weight: jax.Array, product: Product, shape: Shape) -> jax.Array:
    """`[rows, columns, maps in, batch]` to `[output rows, output columns, maps, batch]`."""
    rows, columns = _axes(product)
    around = [rows.padding, columns.padding, (0, 0, 0), (0, 0, 0)]
    padded = lax.pad(x, jnp.zeros((), x.dtype), around)

    def one_set(scanned: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
        row, column, kernel = scanned
        start = (row * rows.step, column * columns.step, 0, 0)
        seen = lax.dynamic_slice(padded, start, (rows.reach, columns.reach, *padded.shape[2:]))
        return _convolve(seen, kernel, (rows, columns), product)

    weight = weight[: rows.used, : columns.used]
    first, second = (i.reshape(-1) for i in jnp.indices(weight.shape[:2]))
    h = lax.map(one_set, (first, second, weight.reshape(-1, *weight.shape[2:])))
    return _in_places(h, rows, columns)


def input_gradient(h: jax.Array, weight: jax.Array, product: Product, shape: Shape) -> jax.Array:
    """`[output rows, output columns, maps, batch]` to `[rows, columns, maps in, batch]`."""
    inputs = (product.window.rows.extent, product.window.columns.extent, product.maps_in, h.shape[-1])
    return _transpose(lambda x: forward(x, weight, product, shape), inputs, h)


def weight_gradient(x: jax.Array, h: jax.Array, product: Product, shape: Shape) -> jax.Array:
    """Inputs and the gradients of outputs to the gradient of `[kr, kc, field rows, field columns, maps in, maps]`."""
    return _transpose(lambda weight: forward(x, weight, product, shape), product.weight_shape, h)


def _transpose(function: Callable[[jax.Array], jax.Array], shape: Shape, gradients: jax.Array) -> jax.Array:
    """Return the gradient of a linear function of one array."""
    _, transpose = jax.vjp(function, jnp.zeros(shape, gradients.dtype))
    gradient: jax.Array = transpose(gradients)[0]
    return gradient


def _axes(product: Product) -> tuple[_Axis, _Axis]:
    window, sets, layout = product.window, product.sets, product.layout
    return (
        _Axis(window.rows, sets.rows, layout.block.rows, layout.lead.rows),
        _Axis(window.columns, sets.columns, layout.block.columns, layout.lead.columns),
    )


def _convolve(x: jax.Array, kernel: jax.Array, axes: tuple[_Axis, _Axis], product: Product) -> jax.Array:
    result = jnp.result_type(x, kernel)
    x, kernel = rounded(product.precision, x, kernel)
    return lax.conv_general_dilated(
        x.astype(result),
        kernel.astype(result),
        [axis.stride for axis in axes],
        "VALID",
        rhs_dilation=[axis.slide.dilation for axis in axes],
        dimension_numbers=("HWCN", "HWIO", "HWCN"),
        feature_group_count=product.layout.groups,
        precision=exactness(product.precision),
    )


def _in_places(h: jax.Array, rows: _Axis, columns: _Axis) -> jax.Array:
    """`[sets, rows, columns, ...]` to the sheet: sets alternate, or their blocks stand side by side."""
    grid = h.reshape(rows.used, columns.used, *h.shape[1:])
    order = [axis for pair in ((rows, (0, 2)), (columns, (1, 3))) for axis in _order(*pair)]
    grid = jnp.transpose(grid, (*order, 4, 5))
    sheet = grid.reshape(grid.shape[0] * grid.shape[1], grid.shape[2] * grid.shape[3], *grid.shape[4:])
    return sheet[_inside(rows), _inside(columns)]


def _order(axis: _Axis, places: tuple[int, int]) -> tuple[int, int]:
    of_sets, of_positions = places
    return (of_sets, of_positions) if axis.block > 1 else (of_positions, of_sets)


def _inside(axis: _Axis) -> slice:
    return slice(axis.lead, axis.lead + axis.slide.outputs)
