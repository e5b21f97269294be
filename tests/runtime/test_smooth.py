"""`smooth` over unit sheets and over the sheets of single maps: value, gradient, tiles, and what tiles send each other."""

from contextlib import nullcontext
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from quickly import quickly

from lnet.compiler.core.shapes import Size
from lnet.compiler.cut.partition import partition
from lnet.compiler.cut.weights import weight_messages
from lnet.compiler.pipeline import compile_text
from lnet.runtime.engine.evaluate import cut, total_loss
from lnet.runtime.engine.lockstep import run_tiles
from lnet.runtime.engine.shard import Shard
from lnet.runtime.kernels.choose import portable


def network(rows, columns, maps, smooth, bias="true"):
    return compile_text(
        f"network n {{ image: input({rows}x{columns}x2); f: local(1, {maps}, bias = {bias}); {smooth} }}"
    ).graph


def parameters(graph, seed=0):
    rng = np.random.default_rng(seed)
    return {p.name: jnp.asarray(rng.normal(size=p.shape)) for p in graph.parameters}


def loss(graph, params):
    return total_loss(graph, params, images_of(graph))[0]


loss_alone = quickly(loss, static_argnums=0)


def images_of(graph):
    sheet = graph.input.sheet
    return jnp.zeros((sheet.height, sheet.width, sheet.maps, 1))


def in_tiles(shards, graph, params):
    """Gradients of each tile, and the loss of all."""
    found, terms = run_tiles(shards, [shard.owned(params) for shard in shards], images_of(graph))
    return found, sum(terms.values())


def drawn(rng):
    wrap, bias = rng.choice(["true", "false"], 2)
    return f"smooth(of = f, neighbours = {rng.choice([4, 8])}, wrap = {wrap}, bias = {bias})"


LONG = [pytest.param(seed, marks=pytest.mark.long) for seed in range(4, 16)]


@pytest.mark.parametrize("seed", [*range(4), *LONG])
def test_values_and_gradients_whole_and_in_tiles(seed):
    """Two terms of one layer, on a sheet of any size in tiles of any number, more than it has positions even."""
    rng = np.random.default_rng(seed)
    rows, columns, *tiles = (int(number) for number in (*rng.integers(1, 6, 2), *rng.integers(1, 4, 2)))
    maps = rng.choice(["3", "1x2", "2x1", "2x3", "3x2", "3x3"][rows * columns == 1 :])
    with jax.enable_x64(True):
        graph = network(rows, columns, maps, f"one: {drawn(rng)}; other: {drawn(rng)}")
        params, parts = parameters(graph), partition(graph, Size(*tiles))
        shards = [Shard(graph, parts, tile) for tile in range(parts.count)]

        @quickly  # one program for all tiles compiles in less time than one for each
        def both(params):
            return jax.value_and_grad(partial(loss, graph))(params), in_tiles(shards, graph, params)

        (value, gradients), (found, total) = both(params)
        formula = reference.loss(graph, params, np.zeros((1, rows, columns, 2)))
        assert float(value) == pytest.approx(formula, rel=1e-9)
        assert float(total) == pytest.approx(formula, rel=1e-9)
        for shard, mine in zip(shards, found, strict=True):
            for name, place in shard.programme.owned:
                np.testing.assert_allclose(mine[name], cut(gradients[name], place), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(
    ("rows", "columns", "maps", "smooth"),
    [
        (1, 3, "3x5", "smooth(of = f, neighbours = 8, wrap = true, bias = true)"),
        (2, 3, "1x19", "smooth(of = f, neighbours = 8, wrap = true)"),
        (4, 5, "21", "smooth(of = f, neighbours = 8, wrap = true, bias = true)"),
        (3, 2, "2x9", "smooth(of = f)"),
    ],
)
def test_code_for_this_processor_gives_what_xla_gives(rows, columns, maps, smooth):
    graph = network(rows, columns, maps, f"q: {smooth}")
    params = parameters(graph)
    found = []
    for context in (nullcontext(), portable()):
        with context:
            both = jax.value_and_grad(partial(loss, graph))
            assert ("ffi_call" in str(jax.make_jaxpr(both)(params))) == isinstance(context, nullcontext)
            found.append(quickly(both)(params))
    (value, gradients), (expected, gradients_expected) = found
    assert float(value) == pytest.approx(float(expected), rel=1e-6)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, gradients_expected[name], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(("maps", "neighbours"), [("2x3", 8), ("2", 4)])
def test_a_gradient_is_that_of_the_formula(maps, neighbours):
    with jax.enable_x64(True):
        graph = network(2, 3, maps, f"q: smooth(of = f, neighbours = {neighbours}, wrap = true, bias = true)")
        params = parameters(graph)
        gradients = quickly(jax.grad(partial(loss, graph)))(params)
        rng = np.random.default_rng(1)
        step = {name: 1e-5 * rng.normal(size=value.shape) for name, value in params.items()}

        def at(sign):
            moved = {name: value + sign * step[name] for name, value in params.items()}
            return reference.loss(graph, moved, np.zeros((1, 2, 3, 2)))

        expected = sum(float((gradients[name] * step[name]).sum()) for name in params)
        assert (at(1) - at(-1)) / 2 == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("maps", "smooth", "units"),
    [
        ("4x3", "smooth(of = f)", {(0, 1): 2 * 4, (0, 2): 3 * 3}),
        ("4x3", "smooth(of = f, neighbours = 8)", {(0, 1): 2 * 4, (0, 2): 3 * 3, (0, 3): 1}),
        ("4x3", "smooth(of = f, wrap = true)", {(1, 0): 2 * 4, (2, 0): 3 * 3}),
        ("12", "smooth(of = f, neighbours = 8)", {(0, 1): 2 * 12, (0, 2): 3 * 12, (0, 3): 12}),
    ],
)
def test_only_the_units_at_borders_are_sent(maps, smooth, units):
    """A sheet of 4 x 6 positions in 2 x 2 tiles, so 2 x 3 positions in each; a unit has 2 weights."""
    graph = network(4, 6, maps, f"q: {smooth}")
    sent = {
        (m.receiver, m.sender): m.values // 2 for m in weight_messages(graph, partition(graph, Size(2, 2)))
    }
    assert {ways: sent[ways] for ways in units} == units
    assert len(sent) == {"": 4, ", neighbours = 8": 5, ", wrap = true": 8}[smooth[13:-1]]


def test_a_torus_of_one_row_of_tiles_sends_columns_only():
    graph = network(4, 6, "4x3", "q: smooth(of = f, neighbours = 8, wrap = true)")
    sent = weight_messages(graph, partition(graph, Size(1, 2)))
    assert sorted((m.sender, m.receiver, m.values // 2) for m in sent) == [(0, 1, 16), (1, 0, 16)]


@pytest.mark.parametrize("wrap", ["true", "false"])
@pytest.mark.parametrize("maps", ["3x3", "9"])
def test_one_constant_vector_is_perfectly_smooth(maps, wrap):
    graph = network(3, 2, maps, f"q: smooth(of = f, wrap = {wrap}, neighbours = 8)")
    ones = {name: jnp.ones(value.shape) for name, value in parameters(graph).items()}
    assert float(loss_alone(graph, ones)) == pytest.approx(0, abs=1e-6)


def test_maps_that_differ_are_smooth_without_a_patch_and_rough_with_one():
    """Weights that are the same at all positions, and random over maps."""
    values = {}
    for maps in ("9", "3x3"):
        graph = network(4, 4, maps, "q: smooth(of = f)", bias="false")
        one = np.random.default_rng(0).normal(size=(1, 1, 1, 1, 2, 9))
        values[maps] = float(loss_alone(graph, {"f.weight": jnp.broadcast_to(one, (4, 4, 1, 1, 2, 9))}))
    assert values["9"] == pytest.approx(0, abs=1e-6)
    assert values["3x3"] > 0.3


@pytest.mark.parametrize("wrap", [True, False])
def test_all_tnn_is_half_of_it(wrap):
    """The spatial loss of All-TNN (Lu et al. 2023): `(1 - mean cosine) / 2` over pairs below and to the right."""
    graph = network(3, 4, "4x4", f"q: smooth(of = f, wrap = {str(wrap).lower()}, bias = true)")
    params = parameters(graph)
    weight, bias = (np.asarray(params[f"f.{role}"], float) for role in ("weight", "bias"))
    vectors = np.concatenate([weight.reshape(3, 4, 2, 16), bias[:, :, None]], 2)
    units = vectors.reshape(3, 4, 3, 4, 4).transpose(0, 3, 1, 4, 2).reshape(12, 16, 3)
    units /= np.linalg.norm(units, axis=2, keepdims=True)
    pairs = [(units * np.roll(units, -1, axis)).sum(2) for axis in (0, 1)]
    if not wrap:
        pairs = [pairs[0][:-1], pairs[1][:, :-1]]
    cosine = np.concatenate([pair.ravel() for pair in pairs]).mean()
    assert float(loss_alone(graph, params)) / 2 == pytest.approx((1 - cosine) / 2, rel=1e-5)
