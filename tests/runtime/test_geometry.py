"""Dilation, groups, blocks of positions that share weights, and transposed layers: formulas, gradients, tiles, plans."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from quickly import quickly

from lnet.compiler.core.shapes import Size
from lnet.compiler.cut.partition import partition
from lnet.compiler.graph.receptive_field import receptive_field
from lnet.compiler.pipeline import compile_text
from lnet.runtime.analysis.gratings import position_weights
from lnet.runtime.engine.evaluate import batch_first, cut, layer_values, total_loss
from lnet.runtime.engine.lockstep import run_tiles
from lnet.runtime.engine.network import Network, initial_params
from lnet.runtime.engine.shard import Shard
from lnet.runtime.kernels.choose import portable

LOCAL = "network n {{ image: input(9x10x4); f: local({given}); d: {decoder}; q: squared_error(d, target = image) }}"
LOCALS = {
    "dilated": "3x2, 3, dilation = 2x3, stride = 1x2, act = tanh",
    "dilated, strided, same": "3, 2, dilation = 2, stride = 2, pad = same, bias = true, share = all",
    "grouped": "3, 6, groups = 2, bias = true, pad = 1",
    "each map alone": "2x3, 8, groups = 4, share = tile(2x3), dilation = 1x2",
    "blocks": "3, 2, share = blocks(4x3), bias = true, act = tanh, pad = 1x0",
    "blocks of all": "3, 2, share = blocks(20x2), groups = 2, dilation = 2x1",
}
DECODERS = ("decode(like = f, tied = true)", "decode(like = f)")


def checked(text, grid):
    """Compare values, loss and gradients of a network with the formulas, and those in tiles with those of the whole."""
    with jax.enable_x64(True):
        graph = compile_text(text).graph
        rng, sheet = np.random.default_rng(5), graph.input.sheet
        params = {
            name: jnp.asarray(np.asarray(value, float) + 0.1 * rng.normal(size=value.shape))
            for name, value in initial_params(graph, 0).items()
        }
        images = jnp.asarray(rng.normal(size=(sheet.height, sheet.width, sheet.maps, 2)))
        shards = [Shard(graph, partition(graph, grid), tile) for tile in range(grid.rows * grid.columns)]

        def whole(params, images):
            def loss(params):
                return total_loss(graph, params, images)[0]

            return layer_values(graph, params, images, graph.layers), *jax.value_and_grad(loss)(params)

        def in_tiles(params, images):
            return run_tiles(shards, [shard.owned(params) for shard in shards], images, None)[0]

        values, loss, gradients = quickly(whole)(params, images)
        with portable():
            by_xla = quickly(lambda *arrays: whole(*arrays))(params, images)
        seen = np.asarray(batch_first(images))
        expected = reference.values(graph, params, seen)
        for path, value in values.items():
            np.testing.assert_allclose(batch_first(value), expected[path], rtol=1e-9, atol=1e-9, err_msg=path)
        jax.tree.map(
            partial(np.testing.assert_allclose, rtol=1e-8, atol=1e-9), by_xla, (values, loss, gradients)
        )
        np.testing.assert_allclose(loss, reference.loss(graph, params, seen), rtol=1e-9)
        directions = {name: rng.normal(size=value.shape) for name, value in params.items()}
        up, down = (
            {name: np.asarray(value) + sign * 1e-5 * directions[name] for name, value in params.items()}
            for sign in (1, -1)
        )
        slope = (reference.loss(graph, up, seen) - reference.loss(graph, down, seen)) / 2e-5
        along = sum(float(np.vdot(gradients[name], directions[name])) for name in params)
        assert along == pytest.approx(slope, rel=1e-6, abs=1e-7)
        for shard, mine in zip(shards, quickly(in_tiles)(params, images), strict=True):
            for name, place in shard.programme.owned:
                part = cut(gradients[name], place)
                np.testing.assert_allclose(mine[name], part, rtol=1e-8, atol=1e-10, err_msg=name)


@pytest.mark.parametrize(("number", "given"), list(enumerate(LOCALS)))
def test_local_layers_and_their_decoders(number, given):
    """Tiles begin inside blocks, and between the inputs that a dilated field reads."""
    checked(LOCAL.format(given=LOCALS[given], decoder=DECODERS[number % 2]), Size(2, 2))


TRANSPOSED = {
    "plain": "transposed(4x3, 2, stride = 2x3)",
    "gaps": "transposed(1x2, 3, stride = 3, extra = 2x0, bias = true, act = tanh, share = all)",
    "same": "transposed(3x4, 4, stride = 2x1, pad = same, bias = true, act = tanh, groups = 2)",
    "dilated": "transposed(3, 2, stride = 2, pad = 1x0, dilation = 2x3, bias = true, share = blocks(2x3))",
    "act": "transposed(3, 4, pad = 1, act = tanh, groups = 4, share = tile(2), extra = 0)",
}


@pytest.mark.parametrize(("number", "given"), list(enumerate(TRANSPOSED)))
def test_transposed_layers(number, given):
    """Bias and activation come after the partial sums of tiles; so does what reads them, and what compares them."""
    after = ("m: squared_error(up, target = other)", "n: local(3, 2, act = tanh); q: l2()")[number % 2]
    other = "" if number % 2 else f"other: {TRANSPOSED[given][:-1]}, of = image); of: tanh(of = image); "
    text = f"network n {{ image: input(5x7x4); {other}up: {TRANSPOSED[given]}; {after} }}"
    checked(text, Size(2, 2))
    checked(text, Size(1, 1)) if given == "gaps" else None


def test_the_sizes_of_transposed_layers():
    graph = compile_text(
        """network gen {
            z: input(4x5x8)
            up: transposed(4, 3, stride = 2, pad = 1, bias = true)
            more: transposed(3x5, 4, stride = 3, pad = same, share = all, bias = true, of = z)
            odd: transposed(3, 6, stride = 2x3, dilation = 2x1, groups = 2, extra = 1x2, of = z)
            q: l2()
        }"""
    ).graph
    up, more, odd = (graph.layer(path) for path in ("up", "more", "odd"))
    assert [str(layer.sheet) for layer in (up, more, odd)] == ["8x10x3", "12x15x4", "12x17x6"]
    assert [p.shape for p in up.parameters] == [(4, 5, 4, 4, 3, 8), (8, 10, 3)]
    assert [p.shape for p in more.parameters] == [(1, 1, 3, 5, 4, 8), (1, 1, 4)]
    assert odd.parameters[0].shape == (4, 5, 3, 3, 3, 8)
    assert [layer.parameters[0].fan_in for layer in (up, more, odd)] == [2 * 2 * 8, 1 * 2 * 8, 2 * 1 * 4]
    assert up.op.multiply_adds() == 4 * 5 * 4 * 4 * 3 * 8
    assert str(receptive_field(graph, "up")) == "2x2"


def test_the_sizes_of_dilated_and_grouped_layers():
    graph = compile_text(
        """network n {
            x: input(20x20x6)
            f: local(3, 4, dilation = 2)
            g: local(3x5, 4, dilation = 3x1, pad = same, groups = 2, of = f)
            alone: local(20, 6, groups = 6, of = x)
            q: l2()
        }"""
    ).graph
    f, g, alone = (graph.layer(path) for path in ("f", "g", "alone"))
    assert [str(layer.sheet) for layer in (f, g, alone)] == ["16x16x4", "16x16x4", "1x1x6"]
    assert [str(layer.op.field_size) for layer in (f, g)] == ["5x5", "7x5"]
    assert str(receptive_field(graph, "g")) == "11x9"
    assert g.parameters[0].shape == (16, 16, 3, 5, 2, 4)
    assert alone.parameters[0].size == alone.op.multiply_adds() == 20 * 20 * 6
    assert alone.parameters[0].fan_in == 400


@pytest.mark.parametrize(
    ("share", "sets"), [("tile(2x1)", "0101"), ("blocks(2)", "0011"), ("blocks(3)", "0001")]
)
def test_which_positions_share(share, sets):
    """Beside the formula: in the values themselves, and in what pictures of filters take for a position's weights."""
    network = Network(
        compile_text(f"network n {{ x: input(4x1x1); f: local(1, 1, share = {share}); q: l2() }}")
    )
    count = network.params["f.weight"].size
    network.params["f.weight"] = np.arange(count, dtype=np.float32).reshape(-1, 1, 1, 1, 1, 1)
    expected = [float(number) for number in sets]
    np.testing.assert_array_equal(network(np.ones((1, 4, 1, 1)))["f"].ravel(), expected)
    np.testing.assert_array_equal(position_weights(network, "f").ravel(), expected)
