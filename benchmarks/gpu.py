"""What the products of untied layers reach on a GPU, beside its ceilings: python benchmarks/gpu.py [-o FOLDER] [--small]

Each product runs as XLA computes it from packed tiles and as the programs of runtime/kernels/gpu do, both in the fastest
shape of the three that its cost model predicts to be best. The floor is the time to copy its weights. `--small` tries the
script where there is no GPU: tiny layers, and interpreted programs.
"""

from __future__ import annotations

import argparse
import re
import sys
from contextlib import ExitStack, redirect_stdout
from dataclasses import replace
from datetime import date
from io import TextIOBase
from math import prod
from pathlib import Path

import jax
from ceilings import copy_rate, dense_rate
from fullsize import report as full_network
from timing import machine

from lnet.compiler.core.shapes import Slide, Window
from lnet.runtime.kernels.gpu import tiles
from lnet.runtime.kernels.packed import tiling
from lnet.runtime.kernels.products import FORWARD, GIVES, Choice, Product
from lnet.runtime.training.tune import likely, times

PRECISIONS = ("float32", "tf32", "bfloat16")


def layer(
    extent: int, field: int, maps_in: int, maps: int, batch: int, stride: int = 1, pad: int = 0
) -> Product:
    slide = Slide(extent, field, stride, pad, pad)
    window = Window(slide, slide)
    return Product(FORWARD, window, window.outputs, maps_in, maps, batch)


LAYERS = {
    "first layer of the published network": layer(200, 18, 3, 8, 100),
    "field 18, 3 to 8 maps": layer(48, 18, 3, 8, 64),
    "field 18, 8 to 8 maps": layer(40, 18, 8, 8, 64),
    "field 5, 32 to 32 maps": layer(32, 5, 32, 32, 32),
    "All-TNN's first layer": layer(150, 7, 3, 36, 128, 2),
}
SMALL = {"field 3, 2 to 4 maps": layer(6, 3, 2, 4, 8)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "-o", type=Path, help="folder for a file of what is printed, named after device and day"
    )
    parser.add_argument("--small", action="store_true")
    asked = parser.parse_args()
    with ExitStack() as stack:
        if asked.o:
            name = re.sub(r"\W+", "-", jax.devices()[0].device_kind.lower())
            path = asked.o / f"{name}-{date.today()}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(redirect_stdout(Both(stack.enter_context(path.open("w")))))
        report(SMALL if asked.small else LAYERS, asked.small)


class Both(TextIOBase):
    """A stream that writes to the terminal and to a file."""

    def __init__(self, file: TextIOBase) -> None:
        self._streams = (sys.__stdout__, file)

    def write(self, text: str) -> int:
        for stream in self._streams:
            assert stream is not None
            stream.write(text)
            stream.flush()
        return len(text)


def report(layers: dict[str, Product], small: bool) -> None:
    print(machine())
    copied = copy_rate(1 << 20 if small else 1 << 28)
    print(f"copy: {copied / 1e9:,.0f} GB/s")
    for precision in PRECISIONS:
        rate = dense_rate(256 if small else 8192, precision)
        print(f"dense product, {precision}: {rate / 1e12:,.2f} TFLOP/s")
    for name, product in layers.items():
        print(f"\n{name}, batch {product.batch}: {prod(product.weight_shape):,} weights")
        print(f"  {'product':17}{'precision':11}{'floor':>9}{'packed':>9}{'gathered':>10}  ms; shape")
        for gives in GIVES:
            for precision in PRECISIONS:
                print_row(replace(product, gives=gives, precision=precision), copied, small)
    print()
    full_network(84 if small else 200, 2 if small else 100, copied)


def print_row(product: Product, copied: float, small: bool) -> None:
    floor = 1e3 * 4 * prod(product.weight_shape) / copied
    found: dict[str, tuple[float, Choice]] = {}
    for choice, took in times(product, candidates(product, small)).items():
        form = "gathered" if choice.form == tiles.PALLAS else "packed"
        if form not in found or took < found[form][0]:
            found[form] = took, choice
    packed, gathered = found["packed"], found["gathered"]
    shape = "x".join(map(str, gathered[1].shape))
    print(
        f"  {product.gives:17}{product.precision:11}{floor:9.3f}{packed[0]:9.3f}{gathered[0]:10.3f}  {shape}",
        flush=True,
    )


def candidates(product: Product, small: bool) -> list[Choice]:
    """Return, of each form, those predicted to be fastest: three, or one to try the script."""
    return list(likely([*tiling.choices(product), *tiles.choices(product)], 1 if small else 3))


if __name__ == "__main__":
    main()
