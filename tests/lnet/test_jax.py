"""The layer alone in a JAX program: `lnet.jax.local` and its transpose, against the formulas of the language's layers."""

import re
from pathlib import Path

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ops.decode import decode as formula_of_decode
from ops.local import local as formula_of_local

import lnet.jax
from lnet.compiler.core.shapes import Size, Slide, Window
from lnet.compiler.ops.filters import Layout

pair = st.tuples(st.integers(1, 3), st.integers(1, 3))


@st.composite
def layers(draw):
    """Arguments, the shape of inputs and weights, and the window and layout that they mean."""
    field, stride, dilation, block = (
        draw(pair),
        draw(pair),
        draw(pair),
        draw(st.sampled_from([(1, 1), (2, 1)])),
    )
    pad, groups = draw(st.tuples(st.integers(0, 1), st.integers(0, 2))), draw(st.sampled_from([1, 1, 2]))
    slides = [
        Slide(d * (f - 1) + 1 + draw(st.integers(0, 5)), f, s, p, p, d)
        for f, s, p, d in zip(field, stride, pad, dilation, strict=True)
    ]
    window = Window(*slides)
    outputs = (window.outputs.rows, window.outputs.columns)
    most = [-(-count // width) for count, width in zip(outputs, block, strict=True)]
    sets = most if block != (1, 1) or draw(st.booleans()) else [draw(st.integers(1, count)) for count in most]
    inputs = (slides[0].extent, slides[1].extent, 2 * groups)
    named = {"stride": stride, "pad": pad, "dilation": dilation, "groups": groups, "block": block}
    return named, inputs, (*sets, *field, 2, 4), window, Layout(groups, Size(*block))


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(layers(), st.booleans())
def test_the_layer_and_its_transpose_are_those_of_the_language(layer, batch_last):
    named, inputs, shape, window, layout = layer
    rng = np.random.default_rng(1)
    x, weight = rng.normal(size=(3, *inputs)), rng.normal(size=shape)
    h = rng.normal(size=(3, window.outputs.rows, window.outputs.columns, 4))

    def laid(values):
        return jnp.asarray(np.moveaxis(values, 0, -1) if batch_last else values)

    def read(values):
        return np.moveaxis(np.asarray(values), -1, 0) if batch_last else np.asarray(values)

    with jax.enable_x64(True):
        found = read(lnet.jax.local(laid(x), jnp.asarray(weight), **named, batch_last=batch_last))
        extent = [
            slide.extent - ((slide.outputs - 1) * slide.stride + slide.span - slide.before - slide.after)
            for slide in (window.rows, window.columns)
        ]
        back = lnet.jax.local_transpose(
            laid(h),
            jnp.asarray(weight),
            **named,
            extra=tuple(max(e, 0) for e in extent),
            batch_last=batch_last,
        )
    np.testing.assert_allclose(found, formula_of_local(x, weight, window, layout), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(read(back), formula_of_decode(h, weight, window, layout), rtol=1e-9, atol=1e-9)


def test_it_trains():
    """A few steps of gradient descent towards another layer's values, compiled."""
    shape = lnet.jax.weight_shape((7, 6, 2), field=(3, 2), maps=4, stride=2, pad="same")
    assert shape == (4, 3, 3, 2, 2, 4)
    one, other, x = (
        jax.random.normal(jax.random.key(n), s) for n, s in enumerate((shape, shape, (8, 7, 6, 2)))
    )
    target = lnet.jax.local(x, other, stride=2, pad="same")

    @jax.jit
    def loss_and_step(weight):
        def loss(weight):
            return jnp.mean((lnet.jax.local(x, weight, stride=2, pad="same") - target) ** 2)

        value, gradient = jax.value_and_grad(loss)(weight)
        return value, weight - 2.0 * gradient

    first, one = loss_and_step(one)
    for _ in range(20):
        last, one = loss_and_step(one)
    assert last < 0.8 * first


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_arrays_in_half_precision_are_multiplied_so(dtype):
    rng = np.random.default_rng(1)
    x, weight = (
        jnp.asarray(rng.normal(size=(2, 4, 4, 2)), dtype),
        jnp.asarray(rng.normal(size=(3, 3, 2, 2, 2, 3)), dtype),
    )
    found = lnet.jax.local(x, weight)
    expected = lnet.jax.local(x.astype(jnp.float32), weight.astype(jnp.float32))
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, expected.astype(dtype))


def test_a_program_for_batches_of_any_size_is_exported():
    """It has XLA's kernels: those generated for this processor cannot leave the process."""
    x, weight = (
        jax.random.normal(jax.random.key(n), s) for n, s in enumerate(((3, 4, 4, 2), (3, 3, 2, 2, 2, 3)))
    )
    (batch,) = jax.export.symbolic_shape("batch")

    def gradient(x, weight):
        return jax.grad(lambda w: jnp.sum(lnet.jax.local(x, w) ** 2))(weight)

    of_any = jax.ShapeDtypeStruct((batch, *x.shape[1:]), x.dtype)
    exported = jax.export.export(jax.jit(gradient))(of_any, weight)
    again = jax.export.deserialize(exported.serialize())
    np.testing.assert_allclose(again.call(x, weight), gradient(x, weight), rtol=1e-4, atol=1e-4)


def test_the_program_of_the_document():
    text = (Path(__file__).parents[2] / "docs" / "layers.md").read_text()
    names = {"images": jnp.ones((2, 32, 32, 3))}
    exec(re.search(r"```python\n(.*?)```", text, re.DOTALL)[1], names)
    assert names["shape"] == (24, 24, 9, 9, 3, 8)
    assert names["h"].shape == (2, 24, 24, 8)


IMAGES, WEIGHT = np.ones((2, 5, 5, 3)), np.ones((3, 3, 3, 3, 3, 4))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lnet.jax.local(IMAGES[0], WEIGHT), "expected values with 4 axes, found [5, 5, 3]"),
        (
            lambda: lnet.jax.local(IMAGES, WEIGHT[0]),
            "expected 'weight' as [output row, output column, field row,",
        ),
        (lambda: lnet.jax.local(IMAGES[..., :2], WEIGHT), "is for 1 x 3 maps, and the input has 2"),
        (
            lambda: lnet.jax.local(IMAGES, WEIGHT, groups=3),
            "4 maps cannot be divided into 3 groups",
        ),
        (
            lambda: lnet.jax.local(IMAGES, WEIGHT, stride=2),
            "'weight' has 3x3 sets of weights for 2x2 positions",
        ),
        (lambda: lnet.jax.local(IMAGES, WEIGHT, block=2), "'weight' has 3x3 sets of weights for 2x2 blocks"),
        (lambda: lnet.jax.local(IMAGES[:, :2], WEIGHT), "a field of 3 rows does not fit into the 2 rows"),
        (lambda: lnet.jax.local(IMAGES, WEIGHT, pad="full"), "'valid' or 'same' as 'pad', found 'full'"),
        (lambda: lnet.jax.local(IMAGES, WEIGHT, precision="int8"), "as 'precision', found 'int8'"),
        (lambda: lnet.jax.local(IMAGES, WEIGHT, stride=(1, 0)), "expected 1 or more as 'stride', found 0"),
        (lambda: lnet.jax.local(IMAGES, WEIGHT, groups=0), "expected 1 or more as 'groups', found 0"),
        (lambda: lnet.jax.local(IMAGES.astype(int), WEIGHT.astype(int)), "floating-point numbers, found int"),
        (lambda: lnet.jax.local_transpose(IMAGES, WEIGHT), "is for 4 output maps, and the input has 3"),
        (
            lambda: lnet.jax.weight_shape((5, 5, 3), 3, 4, groups=2),
            "cannot be divided into 2 groups",
        ),
    ],
)
def test_arrays_that_do_not_fit_are_refused(call, message):
    with pytest.raises(lnet.DataError) as caught:
        call()
    assert message in str(caught.value)
    assert str(caught.value).startswith("error E716")
