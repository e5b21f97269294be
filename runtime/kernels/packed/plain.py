"""A dilated layer as plain ones side by side, and a grouped one as one for each group.

Positions that are `p` apart read every `d`-th input, so they are a layer without dilation on these inputs. With stride `s`
and dilation `d`, `p = d / gcd(s, d)`; there are `p` such layers along the axis, of stride `s / gcd(s, d)`:

    field 2, stride 1, dilation 2: position 0 reads inputs 0 2, position 1 reads 1 3, ...

    layer 0    positions 0 2 4    inputs 0 2 4 6
    layer 1    positions 1 3 5    inputs 1 3 5 7

`arranged` gives inputs, weights and outputs the axes of these layers in front: [row layers, column layers, groups, ...].
All three are linear functions that copy values or leave them out, so their transposes take results back to their places.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import gcd

import jax
import jax.numpy as jnp
from jax import lax

from lnet.compiler.core.shapes import Slide, Window
from lnet.compiler.ops.filters import PLAIN
from lnet.runtime.kernels.products import Product

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of the layer."""

    slide: Slide

    @property
    def layers(self) -> int:
        return self.slide.dilation // gcd(self.slide.stride, self.slide.dilation)

    @property
    def positions(self) -> int:
        """Positions of each layer, some beyond the sheet included."""
        return -(-self.slide.outputs // self.layers)

    @property
    def plain(self) -> Slide:
        """The slide of each layer over its own inputs."""
        stride, field = self.slide.stride * self.layers // self.slide.dilation, self.slide.field
        return Slide((self.positions - 1) * stride + field, field, stride)

    def inputs(self, x: jax.Array, axis: int) -> jax.Array:
        """Split an axis of inputs into layers and inputs."""
        slide, plain = self.slide, self.plain
        span = slide.dilation * (plain.extent - 1) + 1
        reach = (self.layers - 1) * slide.stride + span
        around = [(0, 0, 0)] * x.ndim
        around[axis] = (slide.before, reach - slide.before - slide.extent, 0)
        padded = lax.pad(x, jnp.zeros((), x.dtype), around)
        starts = [number * slide.stride for number in range(self.layers)]
        parts = [lax.slice_in_dim(padded, at, at + span, slide.dilation, axis) for at in starts]
        return jnp.stack(parts, axis)

    def outputs(self, h: jax.Array, axis: int) -> jax.Array:
        """Split an axis of outputs into layers and outputs."""
        around = [(0, 0, 0)] * h.ndim
        around[axis] = (0, self.layers * self.positions - self.slide.outputs, 0)
        padded = lax.pad(h, jnp.zeros((), h.dtype), around)
        split = padded.reshape(*h.shape[:axis], self.positions, self.layers, *h.shape[axis + 1 :])
        return jnp.swapaxes(split, axis, axis + 1)


@dataclass(frozen=True, slots=True)
class Layers:
    """The plain layers of a product."""

    product: Product

    @property
    def plain(self) -> Product:
        """The product of each of them."""
        (reads, makes), window = self.product.of_group, Window(self._rows.plain, self._columns.plain)
        return replace(
            self.product, window=window, sets=window.outputs, maps_in=reads, maps=makes, layout=PLAIN
        )

    @property
    def given(self) -> bool:
        """Whether the product is already that of one plain layer."""
        window = self.product.window
        return self.product.layout.groups == window.rows.dilation == window.columns.dilation == 1

    @property
    def count(self) -> int:
        return self._rows.layers * self._columns.layers * self.product.layout.groups

    @property
    def _rows(self) -> Axis:
        return Axis(self.product.window.rows)

    @property
    def _columns(self) -> Axis:
        return Axis(self.product.window.columns)

    # --- arrangements ---

    def inputs(self, x: jax.Array) -> jax.Array:
        return self._arranged(self._columns.inputs(self._rows.inputs(x, 0), 2), 4)

    def outputs(self, h: jax.Array) -> jax.Array:
        return self._arranged(self._columns.outputs(self._rows.outputs(h, 0), 2), 4)

    def weights(self, weight: jax.Array) -> jax.Array:
        return self._arranged(self._columns.outputs(self._rows.outputs(weight, 0), 2), 7)

    def _arranged(self, split: jax.Array, maps: int) -> jax.Array:
        """Bring layers and groups to the front; `maps` is the axis of maps that is in groups."""
        groups, shape = self.product.layout.groups, split.shape
        split = split.reshape(*shape[:maps], groups, shape[maps] // groups, *shape[maps + 1 :])
        return jnp.moveaxis(split, (0, 2, maps), (0, 1, 2))

    # --- results ---

    def each(self, function: Callable[..., jax.Array], *operands: jax.Array) -> jax.Array:
        """Apply a function to the arrays of each layer; rows of layers one after the other, to save memory."""
        side_by_side = jax.vmap(jax.vmap(function))
        found: jax.Array = lax.map(lambda arrays: side_by_side(*arrays), operands)
        return found


def back(arrange: Callable[[jax.Array], jax.Array], shape: Shape, arranged: jax.Array) -> jax.Array:
    """Return arranged values in their places in an array of this shape; what has one place twice is added up."""
    whole = jax.eval_shape(lambda: jnp.zeros(shape, arranged.dtype))
    found: jax.Array = jax.linear_transpose(arrange, whole)(arranged)[0]
    return found
