"""Register blocks for a product, and the predicted cost of each.

A block sums `rows x vectors` vectors in registers. For one step of its sum it loads `vectors` vectors and `rows` single
values, and does `rows * vectors` multiply-adds: the larger the block, the fewer loads per multiply-add. But it must fit
into the registers, and an axis that it does not divide ends with narrower blocks. The model counts the cycles of every
block, and the bytes of weights to be loaded from memory meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from math import prod

from lnet.runtime.kernels.products import FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT, Choice, Product

from .llvm_ir import Run
from .products import runs

NATIVE = "native"
ROWS = (1, 2, 3, 4, 6, 8, 12, 14, 18, 24)
VECTORS = (1, 2, 3, 4, 6)

LANES_A_CYCLE = 16
LOADS_A_CYCLE = 2
LATENCY = 4
"""Latency of an addition in cycles; the sums of a block hide each other's."""
HIDDEN = 0.9
"""Fraction of the load time hidden behind arithmetic."""
BEGIN = 8
"""Cycles of a block's prologue and epilogue, besides two for each of its vectors."""
CLOCK = 3.35e9
BANDWIDTH = 25e9
"""Bytes of weights per second; all fitted to eleven layers on two cores of a server (docs/performance.md)."""


@dataclass(frozen=True, slots=True)
class Processor:
    """The float32 lanes of a register, the number of registers, and the number of cores."""

    lanes: int
    registers: int
    cores: int


@cache
def processor() -> Processor:
    """Return this machine's processor."""
    import llvmlite.binding as llvm  # takes 40 MB, which XLA's kernels do without

    features, cores = llvm.get_host_cpu_features(), os.cpu_count() or 1
    if features.get("avx512f"):
        return Processor(16, 32, cores)
    if features.get("avx2"):
        return Processor(8, 16, cores)
    return Processor(4, 32 if features.get("neon") else 16, cores)


def choices(product: Product) -> Iterator[Choice]:
    """Yield the candidate blocks, with predicted times."""
    here = processor()
    down, across, _ = _axes(product)
    lanes = here.lanes
    while lanes > 1 and lanes >= 2 * across:
        lanes //= 2
    for vectors in VECTORS:
        for rows in ROWS:
            fits = (rows + 1) * vectors < here.registers
            if fits and rows <= down and vectors * lanes < across + lanes:
                shape = (rows, vectors, lanes)
                yield Choice(NATIVE, shape, _milliseconds(product, shape, here))


def _axes(product: Product) -> tuple[int, int, int]:
    """Return M, N and K of the micro-kernel, for one group's part of a call of a block's loops.

    N is the axis of vectors, in lanes of float32.
    """
    reads, makes = product.of_group
    line, lanes = product.window.columns.field * reads, _bytes(product) // 4
    match product.gives:
        case "forward":
            return makes, lanes * product.batch, product.window.rows.field * line
        case "input gradient":
            return makes, lanes * product.batch, line
    return line, lanes * makes, product.batch


def _bytes(product: Product) -> int:
    """Return the bytes of a number."""
    return 8 if product.precision == "float64" else 4


def _milliseconds(product: Product, shape: tuple[int, int, int], here: Processor) -> float:
    rows, vectors, lanes = shape
    down, across, steps = _axes(product)
    pairs = [(over, wide) for wide in runs(across, vectors, lanes) for over in runs(down, rows, 1)]
    cycles = sum(
        over.count * wide.count * _cycles(product.gives, steps, over.vectors, wide) for over, wide in pairs
    )
    outputs, field = product.window.outputs, product.window.field
    lines = product.layout.groups * (1 if product.gives == FORWARD else field.rows)
    computing = cycles * outputs.rows * outputs.columns * lines / (CLOCK * here.cores)
    moving = _bytes(product) * prod(product.weight_shape) / BANDWIDTH
    written = product.gives == WEIGHT_GRADIENT
    return 1e3 * (computing + moving if written else max(computing, moving))


def _cycles(gives: str, steps: int, rows: int, wide: Run) -> float:
    """Return the cycles of a block: steps at their tightest bound, prologue and epilogue."""
    arithmetic = rows * wide.vectors * max(0.5, wide.lanes / LANES_A_CYCLE)
    loads = (rows + wide.vectors) / LOADS_A_CYCLE
    if gives == INPUT_GRADIENT:  # each step ends with a store, and steps do not wait for each other
        bound = max(arithmetic, loads, 2 * wide.vectors * max(0.5, wide.lanes / LANES_A_CYCLE))
    else:
        bound = max(arithmetic, loads, LATENCY)
    return steps * (bound + 2 * (1 - HIDDEN) * loads) + 2 * rows * wide.vectors + BEGIN
