"""Tiles for a product on a GPU, and what the cost model predicts for each.

A tile of `down x across` positions, or inputs for the input gradient, and some `maps` sums `steps` values at a time for a
block of `images`. The larger it is, the more arithmetic it wastes outside its positions' fields; the smaller, the more
often inputs are read again. Weights are read from memory once for each block of images.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import nsmallest
from math import prod

from lnet.runtime.kernels.products import FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT, Choice, Product

from .places import Axis, blocks, size

PALLAS = "pallas"
TILES = ((1, 1), (1, 2), (1, 4), (2, 2), (2, 4), (4, 4))
STEPS = (16, 32, 64)
"""At least a quarter of the outputs: of narrower blocks ptxas spilled registers."""
IMAGES = (16, 32, 64, 128)
KEPT = 2
"""Candidates for each of them, the best: each takes a second to compile."""
WIDEST = 128
"""Outputs of a tile, and half as many where no tensor core multiplies: more of them leave no registers."""
HELD = 48
"""Sums, and places of weights, that a thread holds in registers: of more of them ptxas spilled some of 255."""
SHARED = 96 * 1024
"""Bytes of the operands of two steps of a sum, at most; a processor of the A100 has 164 KB for them."""

MEMORY = 2.65e12
"""Bytes a second that an H100 copied, with JAX 0.11.2."""
CACHE = 2.0
"""How many times as fast values are read again, from the cache: assumed."""
RATES = {"float32": 60e12, "tf32": 379e12, "bfloat16": 653e12, "float16": 653e12}
"""Operations a second of dense products there; that of float32 is about what its maker says."""


def choices(product: Product) -> Iterator[Choice]:
    """Yield the candidate tiles of an untied product, with predicted times; none for types that they are not for."""
    if product.precision not in RATES or _numbers(product) >= 2**31:
        return
    for tile in TILES:
        of_tile = (Choice(PALLAS, shape, _milliseconds(product, shape)) for shape in _shapes(product, *tile))
        yield from nsmallest(KEPT, of_tile, key=lambda choice: choice.milliseconds)


def _shapes(product: Product, down: int, across: int) -> Iterator[tuple[int, ...]]:
    widest, all_maps = WIDEST // (2 if product.precision == "float32" else 1), _maps(product)
    if down * across > 1 and size(down, across, all_maps) > widest:
        return
    maps = min(all_maps, widest)
    outputs = size(down, across, maps)
    for steps in STEPS:
        for images in IMAGES:
            warps = _warps(product, outputs, steps, images)
            fits = 2 * 4 * steps * (outputs + images) <= SHARED and images <= size(product.batch)
            if warps and fits and outputs <= 4 * steps:
                yield down, across, maps, steps, images, warps


def _maps(product: Product) -> int:
    """Return the maps of a group that a product makes."""
    reads, makes = product.of_group
    return reads if product.gives == INPUT_GRADIENT else makes


def _warps(product: Product, outputs: int, steps: int, images: int) -> int:
    """Return the warps of a program that leave a thread no more than it can hold, or 0."""
    places = outputs * steps
    sums = places if product.gives == WEIGHT_GRADIENT else outputs * images
    return next((warps for warps in (4, 8) if places + sums <= HELD * 32 * warps), 0)


def _numbers(product: Product) -> int:
    """Return the numbers of the largest array, which are counted in 32 bits."""
    inputs, outputs = product.window.inputs, product.window.outputs
    values = max(
        inputs.rows * inputs.columns * product.maps_in, outputs.rows * outputs.columns * product.maps
    )
    return max(values * product.batch, prod(product.weight_shape))


def _milliseconds(product: Product, shape: tuple[int, ...]) -> float:
    down, across, maps, steps, images, _ = shape
    rows, columns = Axis(product.window.rows), Axis(product.window.columns)
    reads, makes = product.of_group
    if product.gives in (FORWARD, WEIGHT_GRADIENT):
        tiles = blocks(rows.positions, down) * blocks(columns.positions, across)
        sums = rows.read_by(down) * blocks(columns.read_by(across) * reads, steps) * steps
    else:
        tiles = blocks(rows.plain.extent, down) * blocks(columns.plain.extent, across)
        sums = rows.readers(down) * blocks(columns.readers(across) * makes, steps) * steps
    tiles *= rows.layers * columns.layers * product.layout.groups * blocks(_maps(product), maps)
    parts = blocks(product.batch, images)
    arithmetic = 2 * tiles * sums * size(down, across, maps) * parts * images / RATES[product.precision]
    moved = 4 * prod(product.weight_shape) * (1 if product.gives == WEIGHT_GRADIENT else parts) / MEMORY
    read = 4 * tiles * sums * parts * images / (CACHE * MEMORY)
    return 1e3 * (max(arithmetic, moved) + read)
