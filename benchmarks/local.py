"""The untied local layer against its peers, on the same arrays in one run: python benchmarks/local.py

Peers: `jax.lax.conv_general_dilated_local`, and the usual recipe of PyTorch, unfold and bmm, where torch is installed. The
ceiling is a dense product of 2048. Arithmetic is counted as the formula has it, packing and padding not included.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from timing import Call, jitted, machine, medians

from lnet.compiler.core.shapes import Size, Slide, Window
from lnet.compiler.ops.filters import Layout
from lnet.runtime.kernels.ops.local import local, local_transpose

os.environ.setdefault(
    "OMP_WAIT_POLICY", "passive"
)  # or threads of one peer, waiting busily, slow the next one down
try:
    import torch
except ImportError:
    torch = None  # type: ignore[assignment,unused-ignore]


@dataclass(frozen=True)
class Case:
    """A square layer; positions of a `block` share weights, a `transposed` one goes from its positions to the sheet."""

    name: str
    batch: int
    extent: int
    maps_in: int
    field: int
    maps: int
    stride: int = 1
    peers: bool = True
    dilation: int = 1
    groups: int = 1
    block: int = 1
    transposed: bool = False

    @property
    def window(self) -> Window:
        slide = Slide(self.extent, self.field, self.stride, dilation=self.dilation)
        return Window(slide, slide)

    @property
    def layout(self) -> Layout:
        return Layout(self.groups, Size(self.block, self.block))

    @property
    def flops(self) -> float:
        """Of the forward pass; both gradients take as much again, each."""
        positions = self.window.outputs.rows**2
        return 2.0 * positions * self.field**2 * self.maps_in // self.groups * self.maps * self.batch


CASES = (
    Case("field 18, 3 to 8 maps", 64, 48, 3, 18, 8),
    Case("field 18, batch 1", 1, 48, 3, 18, 8),
    Case("field 18, batch 256", 256, 48, 3, 18, 8, peers=False),
    Case("field 18, stride 2", 64, 48, 3, 18, 8, stride=2),
    Case("field 5, 32 to 32 maps", 32, 32, 32, 5, 32),
    Case("field 18, 8 to 8 maps", 64, 40, 8, 18, 8, peers=False),
    Case("field 5, dilation 3, 32 to 32 maps", 32, 40, 32, 5, 32, dilation=3),
    Case("field 5, 4 groups of 8 maps", 32, 32, 32, 5, 32, peers=False, groups=4),
    Case("field 5, 32 maps, each alone", 32, 32, 32, 5, 32, peers=False, groups=32),
    Case("field 5, blocks of 2x2, 32 to 32 maps", 32, 32, 32, 5, 32, peers=False, block=2),
    Case("transposed, field 5, stride 2, 32 to 16 maps", 32, 35, 16, 5, 32, 2, peers=False, transposed=True),
)


def main() -> None:
    print(machine())
    dense = dense_rate()
    print(f"dense product of 2048: {dense:,.0f} GFLOP/s\n")
    for case in CASES:
        if len(sys.argv) < 2 or any(word in case.name for word in sys.argv[1:]):
            report(case, dense)


def dense_rate() -> float:
    matrix = jax.random.normal(jax.random.key(0), (2048, 2048))
    return float(2 * 2048**3 / 1e6 / medians({"": jitted(jnp.matmul, matrix, matrix)})[""])


def report(case: Case, dense: float) -> None:
    print(
        f"{case.name}: {case.batch} images {case.extent}x{case.extent}x{case.maps_in}, stride {case.stride}"
    )
    arrays = arrays_of(case)
    for passes, name in ((1, "forward"), (3, "forward and both gradients")):
        calls = {"lnet": ours(case, arrays, passes)}
        if case.peers:
            calls |= peers(case, arrays, passes)
        times = medians(calls, 9 if passes == 1 else 5)
        own = times.pop("lnet")
        rate = passes * case.flops / 1e6 / own
        against = "".join(
            f"; {time / own:.1f} x faster than {peer} ({time:,.0f} ms)" for peer, time in times.items()
        )
        print(f"  {name}: {own:.1f} ms, {rate:.0f} GFLOP/s, {rate / dense:.0%} of the dense product{against}")
    print(flush=True)


Arrays = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]


def arrays_of(case: Case) -> Arrays:
    rng = np.random.default_rng(0)
    positions, field = case.window.outputs.rows, case.field
    sets = -(-positions // case.block)
    images = rng.normal(size=(case.extent, case.extent, case.maps_in, case.batch)).astype(np.float32)
    shape = (sets, sets, field, field, case.maps_in // case.groups, case.maps)
    weights = rng.normal(size=shape).astype(np.float32)
    gradients = rng.normal(size=(positions, positions, case.maps, case.batch)).astype(np.float32)
    return images, weights, gradients


def ours(case: Case, arrays: Arrays, passes: int) -> Call:
    images, weights, gradients = map(jnp.asarray, arrays)
    if case.transposed:
        images, gradients = gradients, images
    kind = local_transpose if case.transposed else local

    def layer(x: jax.Array, w: jax.Array) -> jax.Array:
        h: jax.Array = kind(x, w, case.window, "float32", case.layout)
        return h

    def all_passes(x: jax.Array, w: jax.Array, dh: jax.Array) -> Any:
        h, back = jax.vjp(layer, x, w)
        return h, back(dh)

    return jitted(layer, images, weights) if passes == 1 else jitted(all_passes, images, weights, gradients)


def peers(case: Case, arrays: Arrays, passes: int) -> dict[str, Call]:
    found = {"lax.conv_general_dilated_local": lax_local(case, arrays, passes)}
    if torch is not None:
        found["PyTorch unfold + bmm"] = torch_unfold(case, arrays, passes)
    return found


def lax_local(case: Case, arrays: Arrays, passes: int) -> Call:
    """The layout that the function asks for: images NHWC, weights `[rows, columns, K, maps]`, `K` with maps in first."""
    images, weights, gradients = arrays
    positions, field = weights.shape[0], case.field
    x = jnp.asarray(np.moveaxis(images, -1, 0))
    kernel = np.moveaxis(weights, 4, 2).reshape(positions, positions, -1, case.maps)
    w, dh = jnp.asarray(kernel), jnp.asarray(np.moveaxis(gradients, -1, 0))

    def layer(x: jax.Array, w: jax.Array) -> jax.Array:
        strides = (case.stride, case.stride)
        h: jax.Array = lax.conv_general_dilated_local(
            x,
            w,
            strides,
            "VALID",
            (field, field),
            rhs_dilation=(case.dilation, case.dilation),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        return h

    def all_passes(x: jax.Array, w: jax.Array, dh: jax.Array) -> Any:
        h, back = jax.vjp(layer, x, w)
        return h, back(dh)

    return jitted(layer, x, w) if passes == 1 else jitted(all_passes, x, w, dh)


def torch_unfold(case: Case, arrays: Arrays, passes: int) -> Call:
    images, weights, gradients = arrays
    positions = weights.shape[0] ** 2
    x = torch.from_numpy(np.ascontiguousarray(images.transpose(3, 2, 0, 1))).requires_grad_(passes > 1)
    kernel = weights.transpose(0, 1, 4, 2, 3, 5).reshape(positions, -1, case.maps)
    w = torch.from_numpy(np.ascontiguousarray(kernel)).requires_grad_(passes > 1)
    dh = torch.from_numpy(
        np.ascontiguousarray(gradients.reshape(positions, case.maps, case.batch).transpose(0, 2, 1))
    )

    def call() -> Any:
        patches = torch.nn.functional.unfold(x, case.field, case.dilation, stride=case.stride)
        h = torch.bmm(patches.permute(2, 0, 1), w)
        if passes > 1:
            x.grad = w.grad = None
            h.backward(dh)
        return None

    return call


if __name__ == "__main__":
    main()
