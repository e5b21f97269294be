"""The products of a local layer, and the kernels for each.

    forward             the layer's value                          decode: the gradient of what it reads
    input gradient      the gradient of what it reads              decode: its value
    weight gradient     the gradient of its weights                the same

There are three kinds of kernel: machine code generated for this processor and layer (native/), tiles of positions packed
into wide products for XLA (packed/), and for shared weights a convolution (convolution.py). choose.py chooses.
"""

from __future__ import annotations

from dataclasses import dataclass

from lnet.compiler.core.shapes import Size, Window

FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT = GIVES = ("forward", "input gradient", "weight gradient")
ANY_BATCH = 100
"""The batch size assumed in programs for batches of any size."""


@dataclass(frozen=True, slots=True)
class Product:
    """One product of a layer; position `i, j` uses the weights of set `i mod rows, j mod columns` of `sets`."""

    gives: str
    window: Window
    sets: Size
    maps_in: int
    maps: int
    batch: int
    precision: str = "float32"

    @property
    def untied(self) -> bool:
        return self.sets == self.window.outputs


@dataclass(frozen=True, slots=True)
class Choice:
    """A kernel for a product, its block shape, and its time: predicted, or measured on this machine."""

    form: str
    shape: tuple[int, ...]
    milliseconds: float
    measured: bool = False
