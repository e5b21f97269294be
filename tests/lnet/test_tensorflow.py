"""The layer in TensorFlow against the layer in JAX: `make frameworks`; skipped where TensorFlow is not installed."""

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402

import lnet.jax  # noqa: E402
import lnet.tensorflow  # noqa: E402

CASES = [
    ({}, (4, 4, 3, 3, 2, 4)),
    ({"stride": 2, "pad": "same"}, (3, 3, 3, 3, 2, 4)),
    ({"dilation": (1, 2), "groups": 2}, (4, 4, 3, 2, 1, 4)),
    ({"block": 2, "pad": 1}, (3, 3, 3, 3, 2, 4)),
    ({}, (1, 1, 3, 3, 2, 4)),
]


def arrays(*shapes):
    rng = np.random.default_rng(1)
    return [rng.normal(size=shape) for shape in shapes]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(("named", "shape"), CASES, ids=str)
def test_values_and_gradients_are_those_in_jax(named, shape, compiled):
    x, weight = arrays((3, 6, 6, 2), shape)

    @tf.function(jit_compile=compiled)
    def gradients(x, weight):
        with tf.GradientTape() as tape:
            tape.watch([x, weight])
            value = lnet.tensorflow.local(x, weight, **named)
            loss = tf.reduce_sum(value**3)
        return value, tape.gradient(loss, [x, weight])

    value, found = gradients(tf.constant(x), tf.constant(weight))
    with jax.enable_x64(True):
        operands = jnp.asarray(x), jnp.asarray(weight)
        expected, back = jax.vjp(lambda x, weight: lnet.jax.local(x, weight, **named), *operands)
        slopes = back(3 * expected**2)
    np.testing.assert_allclose(value, expected, rtol=1e-9, atol=1e-9)
    for own, other in zip(found, slopes, strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-9, atol=1e-9)


def test_derivatives_are_differentiated():
    x, weight, along = (tf.constant(a) for a in arrays((2, 5, 5, 1), (3, 3, 3, 3, 1, 2), (2, 5, 5, 1)))

    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(weight)
            loss = tf.reduce_sum(lnet.tensorflow.local(x, weight) ** 3)
        return tape.gradient(loss, weight)

    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(gradient(x) ** 2)
    slope = tf.reduce_sum(tape.gradient(total, x) * along)
    step = 1e-6
    ahead, behind = (tf.reduce_sum(gradient(x + sign * step * along) ** 2) for sign in (1, -1))
    np.testing.assert_allclose(slope, (ahead - behind) / (2 * step), rtol=1e-6)


def test_a_saved_graph_has_the_layer_for_batches_of_any_size(tmp_path):
    x, weight = (a.astype(np.float32) for a in arrays((5, 6, 6, 2), (4, 4, 3, 3, 2, 4)))
    module = tf.Module()
    module.weight = tf.Variable(weight)
    module.call = tf.function(
        lambda x: lnet.tensorflow.local(x, module.weight), input_signature=[tf.TensorSpec((None, 6, 6, 2))]
    )
    tf.saved_model.save(module, tmp_path)
    loaded = tf.saved_model.load(tmp_path)
    for batch in (5, 1):
        expected = lnet.jax.local(jnp.asarray(x[:batch]), jnp.asarray(weight))
        np.testing.assert_allclose(loaded.call(x[:batch]), expected, rtol=1e-4, atol=1e-5)


def test_tensors_that_do_not_fit_are_refused():
    with pytest.raises(lnet.DataError, match="is for 1 x 3 maps, and the input has 2"):
        lnet.tensorflow.local(tf.ones((1, 6, 6, 2)), tf.ones((4, 4, 3, 3, 3, 4)))
