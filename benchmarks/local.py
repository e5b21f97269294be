"""The untied local layer against its peers (peers.py), on the same arrays in one run: python benchmarks/local.py [WORD...]

The ceiling is a dense product of 2048. Arithmetic is counted as the formula has it, packing and padding not included.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from ceilings import dense_rate
from peers import passes_of, peers
from timing import Call, machine, medians

import lnet.jax
from lnet.compiler.core.shapes import Size, Slide, Window
from lnet.compiler.ops.filters import Layout
from lnet.runtime.kernels.ops.local import local, local_transpose


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
    dilation: int = 1
    groups: int = 1
    block: int = 1
    transposed: bool = False

    @property
    def window(self) -> Window:
        slide = Slide(self.extent, self.field, self.stride, dilation=self.dilation)
        return Window(slide, slide)

    @property
    def shared(self) -> bool:
        """Whether all positions have the same weights."""
        return self.block == self.window.outputs.rows

    @property
    def layout(self) -> Layout:
        return Layout(self.groups) if self.shared else Layout(self.groups, Size(self.block, self.block))

    @property
    def flops(self) -> float:
        """Of the forward pass; both gradients take as much again, each."""
        positions = self.window.outputs.rows**2
        return 2.0 * positions * self.field**2 * self.maps_in // self.groups * self.maps * self.batch


CASES = (
    Case("field 18, 3 to 8 maps", 64, 48, 3, 18, 8),
    Case("field 18, batch 1", 1, 48, 3, 18, 8),
    Case("field 18, batch 256", 256, 48, 3, 18, 8),
    Case("field 18, stride 2", 64, 48, 3, 18, 8, stride=2),
    Case("field 5, 32 to 32 maps", 32, 32, 32, 5, 32),
    Case("field 18, 8 to 8 maps", 64, 40, 8, 18, 8),
    Case("field 5, dilation 3, 32 to 32 maps", 32, 40, 32, 5, 32, dilation=3),
    Case("field 5, 4 groups of 8 maps", 32, 32, 32, 5, 32, groups=4),
    Case("field 5, 32 maps, each alone", 32, 32, 32, 5, 32, groups=32),
    Case("field 5, blocks of 2x2, 32 to 32 maps", 32, 32, 32, 5, 32, block=2),
    Case("field 5, shared by all positions, 32 to 32 maps", 32, 32, 32, 5, 32, block=28),
    Case("transposed, field 5, stride 2, 32 to 16 maps", 32, 35, 16, 5, 32, 2, transposed=True),
)


def main() -> None:
    print(machine())
    dense = dense_rate(2048, "float32") / 1e9
    print(f"dense product of 2048: {dense:,.0f} GFLOP/s\n")
    for case in CASES:
        if len(sys.argv) < 2 or any(word in case.name for word in sys.argv[1:]):
            report(case, dense)


def report(case: Case, dense: float) -> None:
    print(
        f"{case.name}: {case.batch} images {case.extent}x{case.extent}x{case.maps_in}, stride {case.stride}"
    )
    arrays = arrays_of(case)
    for passes, name in ((1, "forward"), (3, "forward and both gradients")):
        calls = {"lnet": ours(case, arrays, passes), FIRST: batch_first(case, arrays, passes)}
        calls |= peers(case, arrays, passes)
        if passes == 1:
            check_alike(calls)
        alone = {name: once(call) for name, call in calls.items()}
        slow = {name: took for name, took in alone.items() if took > SLOW}
        times = medians(
            {name: call for name, call in calls.items() if name not in slow}, 9 if passes == 1 else 5
        )
        times |= slow
        own = times.pop("lnet")
        rate = passes * case.flops / 1e6 / own
        print(f"  {name}: {own:.1f} ms, {rate:.0f} GFLOP/s, {rate / dense:.0%} of the dense product")
        for peer, took in sorted(times.items(), key=lambda entry: entry[1]):
            print(f"    {took / own:.1f} x faster than {peer} ({took:,.1f} ms)")
    print(flush=True)


FIRST = "lnet.jax, batch first"
SLOW = 1000.0
"""Milliseconds beyond which a peer is timed once, not in turn: meanwhile the others' arrays leave the caches, and memory."""


def once(call: Call) -> float:
    """Return the milliseconds of a call that is compiled."""
    jax.block_until_ready(call())
    began = time.perf_counter()
    jax.block_until_ready(call())
    return 1e3 * (time.perf_counter() - began)


def check_alike(calls: dict[str, Call]) -> None:
    """Raise unless all compute values of one length, in whatever order; but for tf-keras, whose weights are its own."""
    lengths = [np.linalg.norm(np.asarray(call())) for name, call in calls.items() if "keras" not in name]
    np.testing.assert_allclose(lengths, lengths[0], rtol=1e-4)


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
    images, weights, gradients = arrays
    kind = local_transpose if case.transposed else local

    def layer(x: jax.Array, w: jax.Array) -> jax.Array:
        h: jax.Array = kind(x, w, case.window, "float32", case.layout)
        return h

    read, made = (gradients, images) if case.transposed else (images, gradients)
    return passes_of(layer, passes, read, weights, made)


def batch_first(case: Case, arrays: Arrays, passes: int) -> Call:
    """The public function, with the layout that JAX programs have: it transposes what it reads and what it returns."""
    read, weights, made = (np.moveaxis(a, -1, 0) if a.ndim == 4 else a for a in arrays)
    shape = {"stride": case.stride, "dilation": case.dilation, "groups": case.groups}
    block = 1 if case.shared else case.block

    def layer(x: jax.Array, w: jax.Array) -> jax.Array:
        if case.transposed:
            return lnet.jax.local_transpose(x, w, **shape, block=block)
        return lnet.jax.local(x, w, **shape, block=block)

    return passes_of(
        layer, passes, made if case.transposed else read, weights, read if case.transposed else made
    )


if __name__ == "__main__":
    main()
