"""Kernels against the formulas in float64, at every kind of geometry; and what their programs must not grow with."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lnet.compiler.shapes import Interval, Region, Slide, Window
from lnet.runtime.kernels import local
from lnet.runtime.kernels.initial import initial_weight
from lnet.runtime.kernels.packing import pack, patches, unpack
from lnet.runtime.kernels.tiling import CPU, FORWARD, INPUT_GRADIENT, Choice, Product, predicted, tile_by

relaxed = settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))


@st.composite
def slides(draw, largest=11):
    field, stride = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    before, after = draw(st.integers(0, 2)), draw(st.integers(0, 2))
    extent = draw(st.integers(max(1, field - before - after), largest))
    return Slide(extent, field, stride, before, after)


windows = st.builds(Window, slides(), slides())
tiles = st.sampled_from([1, 2, 3, 4, 8])


def arrays(window, maps_in, maps, batch, dtype=np.float32):
    rng = np.random.default_rng(0)
    outputs, field = window.outputs, window.field
    x = rng.normal(size=(window.rows.extent, window.columns.extent, maps_in, batch))
    w = rng.normal(size=(outputs.rows, outputs.columns, field.rows, field.columns, maps_in, maps))
    h = rng.normal(size=(outputs.rows, outputs.columns, maps, batch))
    return tuple(jnp.asarray(a, dtype) for a in (x, w, h))


def first(value):
    return np.moveaxis(np.asarray(value, float), -1, 0)


def close(found, expected, bound=1e-4):
    scale = np.abs(expected).max() or 1.0
    np.testing.assert_allclose(found, expected, rtol=0, atol=bound * scale)


@relaxed
@given(
    windows,
    st.integers(1, 3),
    st.integers(1, 3),
    st.sampled_from([1, 2, 5]),
    tiles,
    tiles,
    st.sampled_from(FORWARD),
)
def test_all_three_products(window, maps_in, maps, batch, tile_rows, tile_columns, form):
    """Whatever the tiling, sizes that no tile divides included."""
    x, w, h = arrays(window, maps_in, maps, batch)
    tiling = tile_by(window, tile_rows, tile_columns)
    expected = reference.local(first(x), np.asarray(w, float), window)
    close(first(local._forward(x, w, Choice(form, tiling, 0.0), "float32")), expected)
    expected = reference.decode(first(h), np.asarray(w, float), window)
    close(first(local._input_gradient(h, w, tiling, "float32")), expected)
    close(
        np.asarray(local._weight_gradient(x, h, w, tiling, "float32")),
        weight_gradient(first(x), first(h), window),
    )


def weight_gradient(x, h, window):
    """Sum over images of patch times slope, position by position."""
    padded = np.pad(
        x,
        (
            (0, 0),
            (window.rows.before, window.rows.after),
            (window.columns.before, window.columns.after),
            (0, 0),
        ),
    )
    outputs, field = window.outputs, window.field
    gradient = np.zeros((outputs.rows, outputs.columns, field.rows, field.columns, x.shape[-1], h.shape[-1]))
    for i in range(outputs.rows):
        for j in range(outputs.columns):
            top, left = i * window.rows.stride, j * window.columns.stride
            patch = padded[:, top : top + field.rows, left : left + field.columns]
            gradient[i, j] = np.einsum("buvc,bm->uvcm", patch, h[:, i, j])
    return gradient


@relaxed
@given(windows, tiles, tiles)
def test_unpack_is_the_transpose_of_pack(window, tile_rows, tile_columns):
    """`<pack(w), p> = <w, unpack(p)>` for any packed p."""
    tiling = tile_by(window, tile_rows, tile_columns)
    rng = np.random.default_rng(1)
    shape = (tiling.rows.tile, window.outputs.columns, window.field.rows, window.field.columns, 2, 3)
    w = jnp.asarray(rng.normal(size=shape), jnp.float32)
    packed = pack(w, tiling)
    p = jnp.asarray(rng.normal(size=packed.shape), jnp.float32)
    assert float(jnp.vdot(packed, p)) == pytest.approx(
        float(jnp.vdot(w, unpack(p, tiling, 2))), rel=1e-3, abs=1e-3
    )


@pytest.mark.parametrize("layer", [local.untied, local.untied_transpose])
def test_gradients_of_layers_are_those_of_autodiff_on_the_formula(layer):
    window = Window(Slide(9, 3, 2, 1, 1), Slide(8, 2, 1))
    x, w, h = arrays(window, 2, 3, 4)
    value, other = (x, h) if layer is local.untied else (h, x)

    def loss(v, w):
        return jnp.vdot(layer(v, w, window), other)

    gradients = jax.grad(loss, argnums=(0, 1))(value, w)
    for number, array in enumerate((value, w)):
        direction = np.random.default_rng(2).normal(size=array.shape)
        ends = []
        for sign in (1, -1):
            moved = [np.asarray(value, float), np.asarray(w, float)]
            moved[number] = moved[number] + sign * 1e-4 * direction
            formula = reference.local if layer is local.untied else reference.decode
            ends.append((formula(first(moved[0]), moved[1], window) * first(other)).sum())
        slope = float((np.asarray(gradients[number], float) * direction).sum())
        assert slope == pytest.approx((ends[0] - ends[1]) / 2e-4, rel=1e-3, abs=1e-2)


def test_half_precision_rounds_operands_only():
    window = Window(Slide(12, 5), Slide(12, 5))
    x, w, _ = arrays(window, 2, 4, 8)
    full, half = (local.untied(x, w, window, precision) for precision in ("float32", "bfloat16"))
    assert half.dtype == jnp.float32
    error = float(jnp.linalg.norm(half - full) / jnp.linalg.norm(full))
    assert 1e-4 < error < 1e-2


def equations(jaxpr):
    """Count the equations of a traced program, inner ones included."""
    count = 0
    for equation in jaxpr.eqns:
        count += 1
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                count += equations(inner)
    return count


def test_programs_do_not_grow_with_positions(monkeypatch):
    """With the same tiles, that is: how many positions a tile has is what a program's size depends on."""
    monkeypatch.setattr(
        local, "choose", lambda product: Choice(product.forms[0], tile_by(product.window, 2, 2), 0.0)
    )

    def program(extent):
        window = Window(Slide(extent, 5), Slide(extent, 5))
        shape = (extent - 4, extent - 4, 5, 5, 2, 3)

        def both(x, w):
            h, back = jax.vjp(lambda x, w: local.untied(x, w, window), x, w)
            return back(h)

        x = jax.ShapeDtypeStruct((extent, extent, 2, 7), jnp.float32)
        return equations(jax.make_jaxpr(both)(x, jax.ShapeDtypeStruct(shape, jnp.float32)).jaxpr)

    assert program(40) == program(160)


def test_nothing_is_held_that_grows_with_fields_times_positions():
    """What a program needs besides its arguments and results is far below the patches that unfolding would make."""
    window = Window(Slide(48, 18), Slide(48, 18))
    x, w, h = (jax.ShapeDtypeStruct(a.shape, a.dtype) for a in arrays(window, 3, 8, 64))

    def both(x, w, h):
        value, back = jax.vjp(lambda x, w: local.untied(x, w, window), x, w)
        return value, back(h)

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


# --- choices ---------------------------------------------------------------------------------------------


def test_wide_layers_with_many_maps_need_no_packing_and_narrow_ones_do():
    many = Window(Slide(32, 5), Slide(32, 5))
    few = Window(Slide(48, 18), Slide(48, 18))
    assert predicted(Product(INPUT_GRADIENT, many, 32, 32, 32)).tiling.positions <= 4
    assert predicted(Product(INPUT_GRADIENT, few, 3, 8, 64)).tiling.positions >= 8


def test_a_tile_is_never_larger_than_the_sheet():
    window = Window(Slide(6, 5), Slide(40, 5))
    choice = predicted(Product(FORWARD, window, 3, 2, 16))
    assert choice.tiling.rows.tile <= 2


@given(st.integers(1, 4096), st.sampled_from(sorted(CPU)))
def test_predictions_are_positive_and_grow_with_the_batch(width, form):
    window = Window(Slide(20, 5), Slide(20, 5))
    rates, tiling = CPU[form], tile_by(window, 2, 2)
    assert 0 < rates.milliseconds(tiling, 3, width, 64) < rates.milliseconds(tiling, 3, width, 256)


# --- initial weights -------------------------------------------------------------------------------------


def test_initial_weights_are_normal_and_their_own():
    weight = np.asarray(initial_weight(3, "V1.weight", (6, 7, 5, 5, 2, 4), 50)) * 50**0.5
    assert abs(weight.mean()) < 0.02
    assert weight.std() == pytest.approx(1, abs=0.02)
    flat = weight.reshape(42, -1)
    correlation = np.corrcoef(flat) - np.eye(42)
    assert np.abs(correlation).max() < 0.35
    for seed, name in ((4, "V1.weight"), (3, "V2.weight")):
        other = np.asarray(initial_weight(seed, name, (6, 7, 5, 5, 2, 4), 50))
        assert abs(np.corrcoef(weight.ravel(), other.ravel())[0, 1]) < 0.05


@given(st.integers(0, 5), st.integers(0, 6), st.integers(1, 6), st.integers(1, 7), st.integers(0, 2**63 - 1))
@settings(max_examples=20, deadline=None)
def test_a_part_of_the_initial_weights_is_that_part_of_the_whole(top, left, rows, columns, seed):
    shape = (6, 7, 2, 2, 1, 3)
    region = Region(Interval(top, min(6, top + rows)), Interval(left, min(7, left + columns)))
    whole = np.asarray(initial_weight(seed, "a", shape, 4))
    part = np.asarray(initial_weight(seed, "a", shape, 4, region))
    np.testing.assert_array_equal(
        part, whole[region.rows.start : region.rows.stop, region.columns.start : region.columns.stop]
    )


def test_known_initial_weights_never_change():
    """A checkpoint's run must begin with the same weights for ever: the generator's published test vector."""
    from jax.extend.random import threefry_2x32

    words = threefry_2x32(
        jnp.array([0x13198A2E, 0x03707344], jnp.uint32), jnp.array([0x243F6A88, 0x85A308D3], jnp.uint32)
    )
    assert [hex(int(word)) for word in words] == ["0xc4923a9c", "0x483df7a0"]
