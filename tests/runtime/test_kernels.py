"""Kernels against the formulas in float64, at every kind of geometry, each way that products are done; and what programs must not grow with."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ops import windows as formula_windows
from ops.decode import decode as formula_of_decode
from ops.local import local as formula_of_local
from ops.local import set_of
from quickly import quickly

from lnet.compiler.core.shapes import Size, Slide, Window
from lnet.compiler.ops.filters import PLAIN, Layout
from lnet.runtime.kernels import multiply
from lnet.runtime.kernels.choose import portable
from lnet.runtime.kernels.gpu.tiles import PALLAS
from lnet.runtime.kernels.native import products as native
from lnet.runtime.kernels.native.blocks import NATIVE
from lnet.runtime.kernels.native.products import Block, Geometry, runs
from lnet.runtime.kernels.ops import local
from lnet.runtime.kernels.packed.moves import pack, patches, unpack
from lnet.runtime.kernels.packed.tiling import PACKED, TURNED, tile_by
from lnet.runtime.kernels.products import (
    FORWARD,
    GIVES,
    INPUT_GRADIENT,
    WEIGHT_GRADIENT,
    Choice,
    Product,
)

relaxed = settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
compiled = settings(relaxed, max_examples=10)  # each example is compiled anew, which takes seconds


@st.composite
def slides(draw, largest=11):
    field, stride = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    before, after = draw(st.integers(0, 2)), draw(st.integers(0, 2))
    dilation = draw(st.sampled_from([1, 1, 2, 3, 4]))
    extent = draw(
        st.integers(max(1, dilation * (field - 1) + 1 - before - after), largest + dilation * field)
    )
    return Slide(extent, field, stride, before, after, dilation)


windows = st.builds(Window, slides(), slides())
tiles = st.sampled_from([1, 2, 3, 4, 8])
groups = st.sampled_from([1, 1, 2, 3])


@st.composite
def layouts(draw, window):
    """Sets of weights, and the layout of a layer, as of a whole sheet or of a tile of it."""
    outputs = window.outputs
    how, of_groups = draw(st.sampled_from(["none", "tile", "blocks"])), draw(groups)
    if how == "none":
        return outputs, Layout(of_groups)
    a, b = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    if how == "tile":
        return Size(a, b), Layout(of_groups)
    lead = Size(draw(st.integers(0, a - 1)), draw(st.integers(0, b - 1)))
    more = draw(st.integers(0, 2))  # of a tile: sets that its positions do not use
    sets = Size(-(-(outputs.rows + lead.rows) // a) + more, -(-(outputs.columns + lead.columns) // b) + more)
    return sets, Layout(of_groups, Size(a, b), lead)


def product(window, maps_in, maps, batch, sets=None, layout=PLAIN, precision="float32"):
    """A product of a layer whose maps are those of one group."""
    maps_in, maps = maps_in * layout.groups, maps * layout.groups
    return Product(FORWARD, window, sets or window.outputs, maps_in, maps, batch, precision, layout)


def arrays(window, maps_in, maps, batch, sets=None, dtype=np.float32, layout=PLAIN):
    rng = np.random.default_rng(0)
    outputs, of = window.outputs, product(window, maps_in, maps, batch, sets, layout)
    x = rng.normal(size=(window.rows.extent, window.columns.extent, of.maps_in, batch))
    w = rng.normal(size=of.weight_shape)
    h = rng.normal(size=(outputs.rows, outputs.columns, of.maps, batch))
    return tuple(jnp.asarray(a, dtype) for a in (x, w, h))


def first(value):
    return np.moveaxis(np.asarray(value, float), -1, 0)


def close(found, expected, bound=1e-4):
    scale = np.abs(expected).max() or 1.0
    np.testing.assert_allclose(found, expected, rtol=0, atol=bound * scale)


def operands_of(x, w, h):
    return {FORWARD: (x, w), INPUT_GRADIENT: (h, w), WEIGHT_GRADIENT: (x, h)}


def check(of, x, w, h, forms, shapes, bound=1e-4):
    """Compare the three products, done in given forms and shapes, with the formulas."""

    @quickly
    def products(given):
        return {
            gives: multiply.WAYS[forms[gives], gives](*given[gives], of, shapes[gives]) for gives in GIVES
        }

    found = products(operands_of(x, w, h))
    wide = np.asarray(w, float)
    close(first(found[FORWARD]), formula_of_local(first(x), wide, of.window, of.layout), bound)
    close(first(found[INPUT_GRADIENT]), formula_of_decode(first(h), wide, of.window, of.layout), bound)
    close(np.asarray(found[WEIGHT_GRADIENT]), weight_gradient(first(x), first(h), of), bound)


def weight_gradient(x, h, of):
    """Sum over images, and over the positions of a set, of patch times gradient; each group alone."""
    gradient, groups = np.zeros(of.weight_shape), of.layout.groups
    for i, j, patch in formula_windows.patches(x, of.window):
        maps = zip(np.split(patch, groups, -1), np.split(h[:, i, j], groups, -1), strict=True)
        parts = [np.einsum("buvc,bm->uvcm", seen, given) for seen, given in maps]
        gradient[set_of(i, j, gradient, of.layout)] += np.concatenate(parts, -1)
    return gradient


blocks_of = st.tuples(st.sampled_from([1, 2, 3, 5]), st.integers(1, 3), st.sampled_from([1, 2, 4, 8, 16]))


@relaxed
@given(
    st.data(),
    windows,
    st.integers(1, 3),
    st.integers(1, 19),
    st.sampled_from([1, 2, 5, 19, 37]),
    st.tuples(*[blocks_of] * 3),
)
def test_native_products(data, window, maps_in, maps, batch, shapes):
    """Whatever the blocks, sizes that none divides included."""
    sets, layout = data.draw(layouts(window))
    of = product(window, maps_in, maps, batch, sets, layout)
    x, w, h = arrays(window, maps_in, maps, batch, sets, layout=layout)
    check(of, x, w, h, dict.fromkeys(GIVES, NATIVE), dict(zip(GIVES, shapes, strict=True)))


@compiled
@given(
    windows,
    st.integers(1, 3),
    st.integers(1, 3),
    st.sampled_from([1, 2, 5]),
    tiles,
    tiles,
    st.sampled_from([PACKED, TURNED]),
    groups,
)
def test_packed_products(window, maps_in, maps, batch, tile_rows, tile_columns, form, in_groups):
    """Whatever the tiling, sizes that no tile divides included."""
    of = product(window, maps_in, maps, batch, layout=Layout(in_groups))
    x, w, h = arrays(window, maps_in, maps, batch, layout=of.layout)
    forms = {FORWARD: form, INPUT_GRADIENT: PACKED, WEIGHT_GRADIENT: PACKED}
    check(of, x, w, h, forms, dict.fromkeys(GIVES, (tile_rows, tile_columns)))


tiles_of_gpu = st.tuples(
    st.integers(1, 3),
    st.sampled_from([1, 2, 4, 5]),
    st.integers(1, 5),
    st.sampled_from([16, 32]),
    st.sampled_from([16, 32]),
    st.just(4),
)


@compiled
@given(
    windows,
    st.integers(1, 3),
    st.integers(1, 5),
    st.sampled_from([1, 5, 19]),
    groups,
    st.tuples(*[tiles_of_gpu] * 3),
)
def test_gathered_products(window, maps_in, maps, batch, in_groups, shapes):
    """The programs of a GPU, interpreted: whatever the tiles, sizes that none divides included."""
    of = product(window, maps_in, maps, batch, layout=Layout(in_groups))
    x, w, h = arrays(window, maps_in, maps, batch, layout=of.layout)
    check(of, x, w, h, dict.fromkeys(GIVES, PALLAS), dict(zip(GIVES, shapes, strict=True)))


@compiled
@given(st.data(), windows, st.integers(1, 3), st.integers(1, 3), st.sampled_from([1, 2, 5]))
def test_products_as_convolutions(data, window, maps_in, maps, batch):
    sets, layout = data.draw(layouts(window))
    of = product(window, maps_in, maps, batch, sets, layout)
    x, w, h = arrays(window, maps_in, maps, batch, sets, layout=layout)
    check(of, x, w, h, dict.fromkeys(GIVES, "convolution"), dict.fromkeys(GIVES, ()))


@relaxed
@given(st.data(), windows, st.integers(1, 9), st.sampled_from([3, 37]), blocks_of, blocks_of)
def test_blocks_change_no_bits(data, window, maps, batch, one, other):
    """Every sum has one order, so that what is measured on a machine, or predicted there, never changes a run."""
    sets, layout = data.draw(layouts(window))
    of = product(window, 2, maps, batch, sets, layout)
    x, w, h = arrays(window, 2, maps, batch, sets, layout=layout)

    @quickly
    def products(given):
        return [
            {gives: multiply.WAYS[NATIVE, gives](*given[gives], of, shape) for gives in GIVES}
            for shape in (one, other)
        ]

    jax.tree.map(np.testing.assert_array_equal, *products(operands_of(x, w, h)))


def test_native_products_in_double_precision():
    """Far closer to the formula than float32 can be."""
    window = Window(Slide(9, 3, 2, 1, 1), Slide(8, 2, 1))
    with jax.enable_x64(True):
        x, w, h = arrays(window, 2, 9, 21, dtype=np.float64)
        of, shapes = product(window, 2, 9, 21), dict.fromkeys(GIVES, (3, 2, 16))
        check(of, x, w, h, dict.fromkeys(GIVES, NATIVE), shapes, bound=1e-13)


def test_a_layer_large_enough_for_all_threads_and_large_pages():
    """Several tasks, results of more than a page of 2 MiB; random places, because the formula is slow."""
    window = Window(Slide(40, 11), Slide(36, 11))
    x, w, h = arrays(window, 4, 9, 70)
    of = product(window, 4, 9, 70)
    gradient = np.asarray(multiply.WAYS[NATIVE, WEIGHT_GRADIENT](x, h, of, (6, 1, 8)))
    value = np.asarray(multiply.WAYS[NATIVE, FORWARD](x, w, of, (4, 2, 16)))
    assert gradient.nbytes > 4 << 20
    for i, j in np.random.default_rng(1).integers(0, 26, size=(20, 2)):
        patch = np.asarray(x[i : i + 11, j : j + 11], float)
        close(gradient[i, j], np.einsum("uvcb,mb->uvcm", patch, np.asarray(h[i, j], float)))
        close(value[i, j], np.einsum("uvcb,uvcm->mb", patch, np.asarray(w[i, j], float)))


def test_native_products_called_from_many_threads_at_once():
    """More callers than XLA has threads: nobody waits for a helper that never comes, and all get the same bits."""
    window = Window(Slide(20, 5), Slide(20, 5))
    x, w, h = arrays(window, 3, 8, 32)

    @jax.jit
    def both(x, w, h):
        value, back = jax.vjp(lambda x, w: local.local(x, w, window), x, w)
        return value, back(h)

    expected = jax.tree.leaves(both(x, w, h))
    with ThreadPoolExecutor(16) as pool:
        for found in pool.map(lambda _: jax.tree.leaves(both(x, w, h)), range(200)):
            for a, b in zip(found, expected, strict=True):
                np.testing.assert_array_equal(a, b)


@given(st.integers(1, 300), st.integers(1, 6), st.sampled_from([1, 2, 4, 8, 16]))
def test_runs_cover_an_axis_once(extent, vectors, lanes):
    covered = [
        place
        for run in runs(extent, vectors, lanes)
        for number in range(run.count)
        for place in range(run.start + number * run.length, run.start + (number + 1) * run.length)
    ]
    assert covered == list(range(extent))


@compiled
@given(windows, tiles, tiles)
def test_unpack_is_the_transpose_of_pack(window, tile_rows, tile_columns):
    """`<pack(w), p> = <w, unpack(p)>` for any packed p."""
    tiling = tile_by(window, tile_rows, tile_columns)
    rng = np.random.default_rng(1)
    shape = (tiling.rows.tile, window.outputs.columns, window.field.rows, window.field.columns, 2, 3)
    w = jnp.asarray(rng.normal(size=shape), jnp.float32)
    packed = jax.eval_shape(lambda w: pack(w, tiling), w)
    p = jnp.asarray(rng.normal(size=packed.shape), jnp.float32)

    @quickly
    def both(w, p):
        return jnp.vdot(pack(w, tiling), p), jnp.vdot(w, unpack(p, tiling, 2))

    one, other = both(w, p)
    assert float(one) == pytest.approx(float(other), rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("layer", [local.local, local.local_transpose])
def test_gradients_of_layers_are_those_of_autodiff_on_the_formula(layer):
    window = Window(Slide(9, 3, 2, 1, 1), Slide(8, 2, 1))
    x, w, h = arrays(window, 2, 3, 4)
    value, other = (x, h) if layer is local.local else (h, x)

    def loss(v, w):
        return jnp.vdot(layer(v, w, window), other)

    gradients = jax.grad(loss, argnums=(0, 1))(value, w)
    for number, array in enumerate((value, w)):
        direction = np.random.default_rng(2).normal(size=array.shape)
        ends = []
        for sign in (1, -1):
            moved = [np.asarray(value, float), np.asarray(w, float)]
            moved[number] = moved[number] + sign * 1e-4 * direction
            formula = formula_of_local if layer is local.local else formula_of_decode
            ends.append((formula(first(moved[0]), moved[1], window) * first(other)).sum())
        slope = float((np.asarray(gradients[number], float) * direction).sum())
        assert slope == pytest.approx((ends[0] - ends[1]) / 2e-4, rel=1e-3, abs=1e-2)


def without_low_bits(array, bits):
    """Round to so many bits of mantissa, halves to even."""
    mantissas, exponents = np.frexp(np.asarray(array, float))
    return np.ldexp(np.rint(mantissas * 2.0 ** (bits + 1)) / 2.0 ** (bits + 1), exponents)


SHAPES = {NATIVE: (2, 2, 8), PACKED: (2, 2), PALLAS: (2, 2, 4, 16, 16, 4), "convolution": ()}


@pytest.mark.parametrize(("precision", "bits"), [("tf32", 10), ("bfloat16", 7), ("float16", 10)])
@pytest.mark.parametrize("of", SHAPES)
def test_a_precision_rounds_operands_only(of, precision, bits):
    """The result is float32, and that of rounded operands: not of rounded sums."""
    window = Window(Slide(12, 5), Slide(12, 5))
    x, w, _ = arrays(window, 2, 4, 8)
    half = multiply.WAYS[of, FORWARD](x, w, product(window, 2, 4, 8, precision=precision), SHAPES[of])
    assert half.dtype == jnp.float32
    x, w = (without_low_bits(array, bits) for array in (x, w))
    close(first(half), formula_of_local(first(x), w, window), 1e-6)


@pytest.mark.parametrize("of", [NATIVE, PACKED])
def test_programs_do_not_grow_with_positions(of, monkeypatch):
    """With the same pieces, that is: a program's size depends on them. Nor does the text of native products."""
    monkeypatch.setattr(
        multiply, "choose", lambda product: Choice(of, (2, 2, 4)[: 3 if of == NATIVE else 2], 0.0)
    )

    def program(extent):
        window = Window(Slide(extent, 5), Slide(extent, 5))
        shape = (extent - 4, extent - 4, 5, 5, 2, 3)

        def both(x, w):
            h, back = jax.vjp(lambda x, w: local.local(x, w, window), x, w)
            return back(h)

        x = jax.ShapeDtypeStruct((extent, extent, 2, 7), jnp.float32)
        lowered = jax.jit(both).lower(x, jax.ShapeDtypeStruct(shape, jnp.float32))
        return lowered.as_text().count("\n")

    def texts(extent):
        side = extent - 4
        geometry = Geometry(extent, extent, 2, 7, 5, 5, 3, 1, 1, side, side, (side, side))
        writers = (native.forward, native.input_gradient, native.weight_gradient)
        return [write(geometry, Block(2, 2, 4), "float32")[0].text().count("\n") for write in writers]

    assert program(40) == program(160)
    assert texts(40) == texts(160)


@pytest.mark.parametrize("way", ["here", "portable"])
def test_nothing_is_held_that_grows_with_fields_times_positions(way):
    """What a program needs besides its arguments and results is far below the patches that unfolding would make."""
    window = Window(Slide(48, 18), Slide(48, 18))
    x, w, h = (jax.ShapeDtypeStruct(a.shape, a.dtype) for a in arrays(window, 3, 8, 64))

    def both(x, w, h):
        value, back = jax.vjp(lambda x, w: local.local(x, w, window), x, w)
        return value, back(h)

    with portable() if way == "portable" else nullcontext():
        memory = jax.jit(both).lower(x, w, h).compile().memory_analysis()
    unfolded = 31 * 31 * 18 * 18 * 3 * 64 * 4
    assert memory.temp_size_in_bytes < unfolded / 8


def test_patches_are_what_the_tiles_of_a_row_read():
    window = Window(Slide(7, 3), Slide(9, 3))
    tiling = tile_by(window, 2, 2)
    x = jnp.arange(7 * 9.0).reshape(7, 9, 1, 1)
    padded = jnp.pad(x, ((0, 0), (0, tiling.columns.width - 9), (0, 0), (0, 0)))
    found = patches(padded, jnp.int32(1), tiling).reshape(tiling.columns.tiles, 4, 4)
    np.testing.assert_array_equal(found[1], np.asarray(x[2:6, 2:6, 0, 0]))
    last = patches(padded, jnp.int32(2), tiling).reshape(tiling.columns.tiles, 4, 4)
    np.testing.assert_array_equal(
        last[0], np.asarray(x[3:7, 0:4, 0, 0]), "the last row of tiles ends with the sheet"
    )
