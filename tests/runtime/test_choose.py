"""Which way products are done, in blocks and tiles of what shape, and what the cost models promise."""

from dataclasses import replace

import jax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_kernels import arrays

from lnet.compiler.core.shapes import Size, Slide, Window
from lnet.runtime.kernels import choose
from lnet.runtime.kernels.choose import choices, made, portable, predicted
from lnet.runtime.kernels.gpu import tiles
from lnet.runtime.kernels.gpu.tiles import PALLAS
from lnet.runtime.kernels.native import blocks
from lnet.runtime.kernels.native.blocks import NATIVE, Processor
from lnet.runtime.kernels.ops import local
from lnet.runtime.kernels.packed import tiling
from lnet.runtime.kernels.packed.tiling import PACKED, TURNED
from lnet.runtime.kernels.products import FORWARD, GIVES, INPUT_GRADIENT, Product
from lnet.runtime.training import tune

FEW = Window(Slide(48, 18), Slide(48, 18))
MANY = Window(Slide(32, 5), Slide(32, 5))


def product(gives, window, maps_in, maps, batch):
    return Product(gives, window, window.outputs, maps_in, maps, batch)


def test_native_code_is_for_this_processor_and_xla_for_others():
    layer = product(FORWARD, FEW, 3, 8, 64)
    assert predicted(layer).form == NATIVE
    with portable():
        assert predicted(layer).form in (PACKED, TURNED)
        shared = Product(FORWARD, FEW, Size(1, 1), 3, 8, 64)
        assert predicted(shared) == choose.CONVOLUTION
        assert choices(shared) == ()


def test_a_portable_program_calls_nothing_but_xla():
    x, w, _ = arrays(MANY, 2, 3, 4)

    def layer(x, w):
        return local.local(x, w, MANY)

    assert "lnet-" in jax.jit(layer).lower(x, w).as_text()
    with portable():
        assert "lnet-" not in jax.jit(lambda x, w: layer(x, w)).lower(x, w).as_text()


def test_a_gpu_has_kernels_of_its_own_which_are_used_once_they_are_measured(monkeypatch):
    """Their cost model knows another machine than XLA's: only times that were measured are compared."""
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    layer = product(INPUT_GRADIENT, FEW, 3, 8, 64)
    assert {choice.form for choice in choices(layer)} == {PACKED, PALLAS}
    assert predicted(layer).form == PACKED
    monkeypatch.setattr(tune, "_compiled", lambda product, choice, arrays: choice)
    monkeypatch.setattr(tune, "_milliseconds", lambda choice, arrays: 2.0 - (choice.form == PALLAS))
    measured = tune.measure(layer)
    assert (measured.form, measured.milliseconds) == (PALLAS, 1.0)
    shared = Product(FORWARD, FEW, Size(1, 1), 3, 8, 64)
    assert predicted(shared) == choose.CONVOLUTION


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16", "float16"])
@pytest.mark.parametrize("gives", GIVES)
def test_tiles_of_a_gpu_waste_little_and_count_in_32_bits(gives, precision):
    """Wide fields have tiles of several positions; arrays that are too large for the kernels have no tile."""
    layer = replace(product(gives, FEW, 3, 8, 64), precision=precision)
    down, across, *_ = min(tiles.choices(layer), key=lambda choice: choice.milliseconds).shape
    assert down * across > 1
    assert next(tiles.choices(product(gives, MANY, 300, 300, 64))), "maps are cut where they are many"
    large = product(gives, Window(Slide(1200, 18), Slide(1200, 18)), 8, 8, 64)
    assert list(tiles.choices(large)) == []
    assert list(tiles.choices(replace(layer, precision="float64"))) == []


@pytest.mark.parametrize("here", [Processor(16, 32, 2), Processor(8, 16, 4), Processor(4, 16, 1)])
@pytest.mark.parametrize("gives", GIVES)
def test_blocks_fit_into_registers_and_are_large(gives, here, monkeypatch):
    """On processors of any width: sums, a vector of values and a spread one all have a register."""
    monkeypatch.setattr(blocks, "processor", lambda: here)
    found = list(blocks.choices(product(gives, FEW, 3, 8, 64)))
    for choice in found:
        rows, vectors, lanes = choice.shape
        assert rows * vectors + vectors + 1 <= here.registers
        assert lanes <= here.lanes
    rows, vectors, _ = min(found, key=lambda choice: choice.milliseconds).shape
    assert rows * vectors >= 4, "one sum alone would wait for itself"


def test_narrow_batches_have_narrow_blocks():
    assert all(choice.shape[2] == 1 for choice in choices(product(FORWARD, FEW, 3, 8, 1)))


@given(st.sampled_from(GIVES), st.integers(1, 64), st.integers(1, 200), st.booleans())
@settings(deadline=None)
def test_predictions_are_positive_and_grow_with_the_batch(gives, maps, batch, xla):
    window = Window(Slide(20, 5), Slide(20, 5))
    of = tiling.choices if xla else blocks.choices
    small, large = (
        {(c.form, c.shape): c.milliseconds for c in of(product(gives, window, 3, maps, size))}
        for size in (batch, 2 * batch)
    )
    for key in small.keys() & large.keys():
        assert 0 < small[key] <= large[key]


def test_packing_is_for_narrow_products():
    def positions(window, *sizes):
        with portable():
            rows, columns = predicted(product(INPUT_GRADIENT, window, *sizes)).shape
        return rows * columns

    assert positions(MANY, 32, 32, 32) <= 4
    assert positions(FEW, 3, 8, 64) >= 8


def test_a_tile_is_never_larger_than_the_sheet():
    window = Window(Slide(6, 5), Slide(40, 5))
    with portable():
        assert predicted(product(FORWARD, window, 3, 2, 16)).shape[0] <= 2


def test_made_choices_are_what_is_traced():
    layer = product(FORWARD, MANY, 2, 3, 4)
    x, w, _ = arrays(MANY, 2, 3, 4)
    texts = set()
    for choice in (predicted(layer), max(choices(layer), key=lambda choice: choice.milliseconds)):
        with made({layer: choice}):
            texts.add(jax.jit(lambda x, w: local.local(x, w, MANY)).lower(x, w).as_text())
    assert len(texts) == 2
