"""Keras 2's layers in Keras 3, on the backend of KERAS_BACKEND (JAX unless given): against formulas, and tf-keras's layers."""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import re
from itertools import product
from pathlib import Path

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from keras import ops  # noqa: E402

import lnet.keras  # noqa: E402
from lnet.keras import LocallyConnected1D, LocallyConnected2D  # noqa: E402

CLOSE = {"rtol": 1e-4, "atol": 1e-5}
CASES = [
    (LocallyConnected2D, (7, 6), {"kernel_size": (3, 2)}),
    (LocallyConnected2D, (7, 6), {"kernel_size": (3, 2), "strides": (2, 1), "padding": "same"}),
    (LocallyConnected1D, (9,), {"kernel_size": 3, "strides": 2}),
    (LocallyConnected1D, (9,), {"kernel_size": (4,), "padding": "same", "use_bias": False}),
]
ORDERS = ["channels_last", "channels_first"]


@pytest.fixture(autouse=True)
def _seed():
    keras.utils.set_random_seed(0)


def made(kind, extents, order, **named):
    """A layer of 4 filters that reads 2 channels, and 3 images."""
    shape = (*extents, 2) if order == "channels_last" else (2, *extents)
    layer = kind(4, data_format=order, bias_initializer="random_normal", **named)
    layer.build((None, *shape))
    return layer, np.random.default_rng(1).normal(size=(3, *shape)).astype(np.float32)


def read_by(layer, extents):
    """For each axis the input that each place of the field reads at each position; outside of the input there are zeros."""
    for extent, field, stride in zip(extents, layer.kernel_size, layer.strides, strict=True):
        if layer.padding == "same":
            outputs = -(-extent // stride)
            before = max((outputs - 1) * stride + field - extent, 0) // 2
        else:
            outputs, before = (extent - field) // stride + 1, 0
        yield [[position * stride + place - before for place in range(field)] for position in range(outputs)]


def expected(layer, images):
    """The formula of Keras 2, position by position."""
    kernel, *bias = (np.asarray(weight) for weight in layer.get_weights())
    first = layer.data_format == "channels_first"
    values = np.moveaxis(images, 1, -1) if first else images
    axes = list(read_by(layer, values.shape[1:-1]))
    found = np.zeros((len(values), *map(len, axes), layer.filters))
    for number, position in enumerate(np.ndindex(*map(len, axes))):
        patch = np.zeros((len(values), *layer.kernel_size, values.shape[-1]))
        for place in np.ndindex(*layer.kernel_size):
            at = [axis[p][u] for axis, p, u in zip(axes, position, place, strict=True)]
            if all(0 <= n < extent for n, extent in zip(at, values.shape[1:-1], strict=True)):
                patch[(slice(None), *place)] = values[(slice(None), *at)]
        flat = np.moveaxis(patch, -1, 1) if first else patch
        found[(slice(None), *position)] = flat.reshape(len(values), -1) @ kernel[number]
    found = np.moveaxis(found, -1, 1) if first else found
    return found + bias[0].reshape(found.shape[1:]) if bias else found


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("kind", "extents", "named"), CASES)
def test_values_are_those_of_the_formula(kind, extents, named, order):
    layer, images = made(kind, extents, order, **named)
    layer.set_weights([2 * weight for weight in layer.get_weights()])
    found = ops.convert_to_numpy(layer(images))
    np.testing.assert_allclose(found, expected(layer, images), **CLOSE)
    assert layer.compute_output_shape((None, *images.shape[1:])) == (None, *found.shape[1:])


@pytest.mark.parametrize("implementation", [2, 3])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("kind", "extents", "named"), [CASES[1], CASES[3]])
def test_kernels_of_the_other_implementations_are_taken(kind, extents, named, order, implementation):
    """Implementation 2 has a weight for each input and output; 3 has those that are used, by output and then input."""
    layer, images = made(kind, extents, order, **named, implementation=implementation)
    axes, bias = list(read_by(layer, extents)), layer.get_weights()[1:]
    outputs = tuple(map(len, axes))
    full = np.random.default_rng(2).normal(size=(*extents, 2, *outputs, 4)).astype(np.float32)
    used = np.zeros(full.shape, bool)
    for at, position in product(np.ndindex(*extents), np.ndindex(*outputs)):
        reads = all(n in axis[p] for n, axis, p in zip(at, axes, position, strict=True))
        used[(*at, slice(None), *position)] = reads
    flat = np.tensordot(
        np.moveaxis(images, 1, -1) if order == "channels_first" else images, full * used, len(extents) + 1
    )
    rank = len(extents)
    ins, outs = [*range(rank), rank], [*range(rank + 1, 2 * rank + 1), 2 * rank + 1]
    if order == "channels_first":
        ins, outs, flat = [ins[-1], *ins[:-1]], [outs[-1], *outs[:-1]], np.moveaxis(flat, -1, 1)
    kernel = (
        full.transpose(ins + outs)
        if implementation == 2
        else full.transpose(outs + ins)[used.transpose(outs + ins)]
    )
    layer.set_weights([kernel, *bias])
    offset = bias[0].reshape(flat.shape[1:]) if bias else 0
    np.testing.assert_allclose(ops.convert_to_numpy(layer(images)), flat + offset, **CLOSE)


@keras.saving.register_keras_serializable("test")
class Recipe(keras.layers.Layer):
    """What Keras 3's users write instead: patches, and one contraction."""

    def build(self, shape):
        rows, columns = shape[1] - 2, shape[2] - 2
        self.kernel = self.add_weight(shape=(rows * columns, 9 * shape[3], 4))
        self.bias = self.add_weight(shape=(rows, columns, 4))

    def call(self, images):
        patches = ops.image.extract_patches(images, 3, strides=1)
        rows, columns = patches.shape[1:3]
        kernel = ops.reshape(self.kernel, (rows, columns, *self.kernel.shape[1:]))
        return ops.einsum("nijk,ijkm->nijm", patches, kernel) + self.bias


def test_it_trains_as_the_recipe_does():
    images = np.random.default_rng(1).normal(size=(24, 6, 6, 2)).astype(np.float32)
    models = [
        keras.Sequential([keras.Input((6, 6, 2)), layer, keras.layers.ReLU(), keras.layers.Flatten()])
        for layer in (LocallyConnected2D(4, 3), Recipe())
    ]
    models[1].set_weights(models[0].get_weights())
    losses = []
    for model in models:
        model.compile(keras.optimizers.Adam(0.01), "mse")
        done = model.fit(
            images, np.ones((24, 64), np.float32), batch_size=10, epochs=4, shuffle=False, verbose=0
        )
        losses.append(done.history["loss"])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
    np.testing.assert_allclose(models[0].get_weights()[0], models[1].get_weights()[0], rtol=1e-3, atol=1e-4)
    assert losses[0][-1] < 0.9 * losses[0][0]


@pytest.mark.parametrize("shape", [(2, 2), (5, 5, 2, 3, 3, 5)])
def test_kernels_of_other_layers_are_refused_by_keras(shape):
    layer, _ = made(LocallyConnected2D, (5, 5), "channels_first", kernel_size=3)
    with pytest.raises(ValueError, match="not compatible with provided weight shape"):
        layer.set_weights([np.ones(shape), np.ones((3, 3, 4))])
    with pytest.raises(ValueError, match="expecting 0 weights"):
        LocallyConnected2D(4, 3).set_weights([np.ones(shape)])


def test_a_model_is_saved_and_loaded(tmp_path):
    layers = [
        LocallyConnected2D(
            4, 3, strides=2, padding="same", activation="relu", kernel_regularizer="l2", bias_initializer="ones",
            activity_regularizer="l1", kernel_constraint="max_norm", implementation=2,
        ),
        keras.layers.Reshape((9, 4)),
        LocallyConnected1D(3, 2, use_bias=False, bias_regularizer="l1", bias_constraint="non_neg", data_format="channels_first"),
    ]  # fmt: skip
    model = keras.Sequential([keras.Input((6, 5, 2)), *layers])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    images = np.random.default_rng(1).normal(size=(3, 6, 5, 2)).astype(np.float32)
    np.testing.assert_array_equal(loaded.predict(images, verbose=0), model.predict(images, verbose=0))
    assert [layer.get_config() for layer in loaded.layers] == [layer.get_config() for layer in model.layers]
    assert model.layers[0].implementation == 2
    assert model.layers[0].kernel_constraint is not None
    loaded(images)
    assert len(loaded.losses) == 2, "of the kernel and of the activity"


def test_weights_are_drawn_as_keras_2_does():
    """Glorot's bound counts positions in both fans."""
    layer = LocallyConnected2D(8, 5)
    layer.build((None, 12, 12, 3))
    kernel, bias = layer.get_weights()
    assert kernel.shape == (64, 75, 8)
    assert bias.shape == (8, 8, 8)
    bound = (6 / (64 * 75 + 64 * 8)) ** 0.5
    assert 0.99 * bound < np.abs(kernel).max() <= bound
    assert not bias.any()


def test_half_precision_is_that_of_the_operands():
    images = np.random.default_rng(1).normal(size=(3, 6, 6, 2)).astype(np.float32)
    layer = LocallyConnected2D(4, 3, dtype="mixed_bfloat16")
    value = layer(images)
    assert keras.backend.standardize_dtype(value.dtype) == "bfloat16"
    assert layer.kernel.dtype == "float32"
    np.testing.assert_allclose(
        ops.convert_to_numpy(ops.cast(value, "float32")), expected(layer, images), atol=0.02
    )


@pytest.mark.parametrize("implementation", [1, 2, 3])
def test_a_file_of_keras_2_is_loaded(tmp_path, implementation):
    """Layer and model are tf-keras's, in the file that its users have; its other implementations go by `set_weights`."""
    old = pytest.importorskip("tf_keras")
    theirs = old.layers.LocallyConnected2D(
        4, 3, strides=2, activation="tanh", implementation=implementation, bias_initializer="normal"
    )
    model = old.Sequential([old.Input((7, 7, 2)), theirs])
    images = np.random.default_rng(1).normal(size=(3, 7, 7, 2)).astype(np.float32)
    if implementation == 1:
        model.save(tmp_path / "model.h5")
        custom = {"LocallyConnected2D": LocallyConnected2D}
        ours = keras.models.load_model(tmp_path / "model.h5", custom_objects=custom, compile=False)
    else:
        ours = LocallyConnected2D.from_config(theirs.get_config())
        ours.build((None, 7, 7, 2))
        ours.set_weights(theirs.get_weights())
    np.testing.assert_allclose(ops.convert_to_numpy(ours(images)), model.predict(images, verbose=0), **CLOSE)


@pytest.mark.parametrize("order", ORDERS)
def test_the_formula_is_that_of_keras_2(order):
    old = pytest.importorskip("tf_keras")
    layer, images = made(LocallyConnected2D, (5, 4), order, kernel_size=(3, 2))
    theirs = old.layers.LocallyConnected2D(4, (3, 2), data_format=order)
    theirs.build((None, *images.shape[1:]))
    theirs.set_weights(layer.get_weights())
    np.testing.assert_allclose(theirs(images).numpy(), expected(layer, images), **CLOSE)


def test_the_program_of_the_document():
    text = (Path(__file__).parents[2] / "docs" / "layers.md").read_text()
    names = {}
    exec(re.search(r"```python\n(import keras.*?)```", text, re.DOTALL)[1], names)
    assert names["model"].output_shape == (None, 24, 24, 8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: LocallyConnected2D(4, 3, padding="causal"), "expected 'valid' or 'same' as 'padding', found 'causal'"),
        (lambda: LocallyConnected2D(4, 3, implementation=4), "expected 1, 2 or 3 as 'implementation', found 4"),
        (lambda: LocallyConnected1D(4, (3, 3)), "expected an integer or 1 of them as 'kernel_size', found (3, 3)"),
        (lambda: LocallyConnected2D(4, 3).build((None, None, 8, 2)), "found [None, None, 8, 2]"),
        (lambda: LocallyConnected1D(4, 3).build((None, 8, 8, 2)), "an input of 3 axes, with known extents"),
        (lambda: LocallyConnected2D(4, 9).build((None, 8, 8, 2)), "a field of 9 rows does not fit into the 8 rows"),
    ],
)  # fmt: skip
def test_arguments_that_do_not_fit_are_refused(call, message):
    with pytest.raises(lnet.DataError) as caught:
        call()
    assert message in str(caught.value)
