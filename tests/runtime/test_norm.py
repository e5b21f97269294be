"""Normalisations against their formulas: gradients by finite differences, and tiles of any number alike; in float64."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from quickly import quickly

from lnet.compiler.core.shapes import Size
from lnet.compiler.cut.deal import dealt
from lnet.compiler.cut.partition import partition
from lnet.compiler.ops.totals import Totals
from lnet.compiler.pipeline import compile_text
from lnet.runtime.engine.evaluate import batch_first, cut, total_loss
from lnet.runtime.engine.lockstep import run_tiles
from lnet.runtime.engine.network import initial_params
from lnet.runtime.engine.shard import Shard

SHEETS = """
network n {
    image: input(7x5x4)
    a: layernorm(groups = 2)
    f: local(3, 6, act = tanh)
    b: layernorm(groups = 3, scale = unit, shift = map)
    g: local(2, 3)
    c: layernorm(maps, eps = 0.1, of = g)
    q: l1(of = a); r: l2pool(2, of = b); s: l1(of = r); t: l1(of = c)
}
"""
LINES = """
network n {
    image: input(5x5x2)
    d: dense(15, act = tanh)
    a: layernorm(groups = 5)
    e: dense(7)
    b: layernorm(scale = map, shift = none)
    q: cross_entropy(b); r: l1(of = a)
}
"""
DECODED = """
network n {
    image: input(6x5x2)
    f: local(3, 4)
    x: decode()
    a: layernorm(eps = 0.1)
    d: dense(3, of = x)
    q: l1(of = a); r: l2(of = d)
}
"""


def made(text, seed=0):
    """A network with random parameters, images `[row, column, map, batch]` and labels."""
    graph = compile_text(text).graph
    rng = np.random.default_rng(seed)
    params = {
        name: jnp.asarray(np.asarray(value, float) + 0.3 * rng.normal(size=value.shape))
        for name, value in initial_params(graph, 0).items()
    }
    sheet = graph.input.sheet
    images = jnp.asarray(rng.normal(size=(sheet.height, sheet.width, sheet.maps, 3)))
    return graph, params, images, jnp.asarray(rng.integers(0, 3, 3))


@pytest.mark.parametrize(
    ("text", "tiles"),
    [(SHEETS, Size(2, 2)), (LINES, Size(3, 2)), (DECODED, Size(1, 3))],
    ids=["sheets", "lines", "decoded"],
)
def test_gradients_are_those_of_the_formula_whole_and_in_tiles(text, tiles):
    with jax.enable_x64(True):
        graph, params, images, labels = made(text)

        @quickly
        def whole(params):
            return jax.grad(lambda p: total_loss(graph, p, images, labels), has_aux=True)(params)

        gradients, terms = whole(params)
        assert_slopes(graph, params, images, labels, gradients)
        parts = partition(graph, tiles)
        shards = [Shard(graph, parts, tile) for tile in range(parts.count)]
        step = quickly(partial(run_tiles, shards))
        found, of_tiles = step([shard.owned(params) for shard in shards], images, labels)
        for path, term in terms.items():
            np.testing.assert_allclose(of_tiles[path], term, rtol=1e-10, err_msg=path)
        for shard, mine in zip(shards, found, strict=True):
            for name, place in shard.programme.owned:
                part = cut(gradients[name], place)
                np.testing.assert_allclose(mine[name], part, rtol=1e-8, atol=1e-10, err_msg=name)


def assert_slopes(graph, params, images, labels, gradients):
    """Compare gradients with finite differences of the formula, along one way for each parameter."""
    rng, step, batch = np.random.default_rng(1), 1e-6, np.asarray(batch_first(images))
    for name, value in params.items():
        way = rng.normal(size=value.shape)
        ahead, behind = (
            reference.loss(graph, params | {name: value + by * way}, batch, np.asarray(labels))
            for by in (step, -step)
        )
        slope = (ahead - behind) / (2 * step)
        np.testing.assert_allclose(np.sum(gradients[name] * way), slope, rtol=1e-6, atol=1e-7, err_msg=name)


def test_only_sums_cross_the_tiles():
    """What tiles send for a normalisation over all positions grows with the groups, not with the sheet."""
    graph = compile_text("network n { image: input(12x12x6); a: layernorm(groups = 3); q: l1() }").graph
    cut_graph = dealt(graph, Size(2, 2))
    totals = [layer for layer in cut_graph.layers if isinstance(layer.op, Totals)]
    assert [layer.path for layer in totals] == ["a sums", "a squares"]
    assert {str(layer.sheet) for layer in totals} == {"1x1x3"}
    assert not partition(graph, Size(2, 2)).messages
