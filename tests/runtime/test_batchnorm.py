"""Batch normalisation: gradients of its formula, whole and in tiles, and running values that batches move; in float64."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import ops
import pytest
import reference
from ops.norm import batchnorm_in_training
from quickly import quickly

from lnet.compiler.core.shapes import Size
from lnet.compiler.cut.cost import tile_costs, totals
from lnet.compiler.cut.partition import partition
from lnet.compiler.cut.schedule import schedule
from lnet.compiler.pipeline import compile_text
from lnet.runtime.engine import running
from lnet.runtime.engine.evaluate import batch_first, cut, layer_values, observed_loss
from lnet.runtime.engine.exchanges import exchanges
from lnet.runtime.engine.lockstep import run_tiles
from lnet.runtime.engine.network import initial_params
from lnet.runtime.engine.shard import Shard
from lnet.runtime.engine.updates import named_state, update_rule
from lnet.runtime.kernels.mode import sample_numbers
from lnet.runtime.training import rates
from lnet.runtime.training.trainer import training_step

TEXT = """
network n {
    image: input(7x5x3)
    f: local(3, 4)
    a: batchnorm(0.9)
    r: relu()
    p: l2pool(2)
    d: dense(9)
    b: batchnorm(0.8, eps = 0.1, scale = false)
    t: tanh()
    y: dense(3)
    q: cross_entropy(); s: l1(of = p)
}
train { batch = 4; update = sgd(rate = 0.1, momentum = 0.9) }
"""


def made(seed=0):
    graph, rng = compile_text(TEXT).graph, np.random.default_rng(seed)
    params = {
        name: jnp.asarray(np.abs(np.asarray(value, float) + 0.3 * rng.normal(size=value.shape)))
        for name, value in initial_params(graph, 0).items()
    }
    images = jnp.asarray(rng.normal(size=(7, 5, 3, 4)))
    return graph, params, images, jnp.asarray([0, 2, 1, 1])


def gradients_of(graph, params, images, labels):
    @quickly
    def gradients(params):
        loss = partial(
            observed_loss, graph, images=images, labels=labels, targets=None, samples=sample_numbers(0, 4)
        )
        return jax.grad(lambda p: loss(params=p), has_aux=True)(params)

    return gradients(params)


def batch_values(graph, params, images, path):
    """Mean and variance of each map of what a layer reads, by the formula."""
    found = reference.values(graph, params, np.asarray(batch_first(images)))
    seen = found[graph.layer(path).reads[0]]
    return seen.reshape(-1, seen.shape[3]).mean(0), seen.reshape(-1, seen.shape[3]).var(0)


def test_gradients_are_those_of_the_formula_whole_and_in_tiles(monkeypatch):
    monkeypatch.setitem(ops.FORMULAS, "batchnorm", batchnorm_in_training)
    with jax.enable_x64(True):
        graph, params, images, labels = made()
        gradients, (terms, observed) = gradients_of(graph, params, images, labels)
        rng, step, batch = np.random.default_rng(1), 1e-6, np.asarray(batch_first(images))
        for name in ("f.weight", "a.scale", "a.shift", "b.shift", "d.weight"):
            way = rng.normal(size=params[name].shape)
            ahead, behind = (
                reference.loss(graph, params | {name: params[name] + by * way}, batch, np.asarray(labels))
                for by in (step, -step)
            )
            slope = (ahead - behind) / (2 * step)
            np.testing.assert_allclose(
                np.sum(gradients[name] * way), slope, rtol=1e-6, atol=1e-8, err_msg=name
            )
        for path in "ab":
            mean, variance = batch_values(graph, params, images, path)
            np.testing.assert_allclose(observed[f"{path}.mean"], mean, rtol=1e-10, atol=1e-12)
            np.testing.assert_allclose(observed[f"{path}.variance"], variance, rtol=1e-10)
            assert not np.any(gradients[f"{path}.mean"]), "no gradient moves it"
        parts = partition(graph, Size(2, 2))
        shards = [Shard(graph, parts, tile) for tile in range(parts.count)]
        step = quickly(partial(run_tiles, shards))
        owned = [shard.owned(params) for shard in shards]
        found, of_tiles = step(owned, images, labels, None, sample_numbers(0, 4))
        for path, term in terms.items():
            np.testing.assert_allclose(of_tiles[path], term, rtol=1e-10, err_msg=path)
        for shard, mine in zip(shards, found, strict=True):
            for name, place in shard.programme.owned:
                part = cut({**gradients, **observed}[name], place)
                np.testing.assert_allclose(mine[name], part, rtol=1e-8, atol=1e-10, err_msg=name)


def test_a_step_moves_the_running_values_and_frozen_ones_stay(monkeypatch):
    graph, params, images, labels = made()
    params = {name: jnp.asarray(value, jnp.float32) for name, value in params.items()}
    images = jnp.asarray(images, jnp.float32)
    rule = update_rule(graph)
    assert not any("mean" in name or "variance" in name for name in named_state(rule.init(params)))
    assert totals(graph, partition(graph, Size(1, 1))).parameters == sum(v.size for v in params.values())
    with monkeypatch.context() as patched:
        patched.setitem(ops.FORMULAS, "batchnorm", batchnorm_in_training)
        mean, variance = batch_values(graph, params, images, "a")
    before = {name: np.array(value) for name, value in params.items()}
    after, _, _, finite = training_step(graph, rule)(
        params, rule.init(params), images, labels, None, sample_numbers(0, 4)
    )
    assert finite
    np.testing.assert_allclose(after["a.mean"], 0.9 * before["a.mean"] + 0.1 * mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(after["a.variance"], 0.9 * before["a.variance"] + 0.1 * variance, rtol=1e-5)
    held = replace(graph, frozen=("a",))
    params = {name: jnp.asarray(value) for name, value in before.items()}
    rule = update_rule(held)
    after, _, _, _ = training_step(held, rule)(
        params, rule.init(params), images, labels, None, sample_numbers(0, 4)
    )
    for name in ("a.mean", "a.variance", "a.scale"):
        np.testing.assert_array_equal(after[name], before[name])
    assert np.any(after["b.mean"] != before["b.mean"])


def test_frozen_ones_normalise_by_running_values_in_tiles_too():
    with jax.enable_x64(True):
        graph, params, images, labels = made()
        graph = replace(graph, frozen=("a", "b"))
        samples = sample_numbers(0, 4)
        both = quickly(
            lambda p: (layer_values(graph, p, images), layer_values(graph, p, images, samples=samples))
        )
        expected, trained = both(params)
        for path in ("a", "b"):
            np.testing.assert_allclose(trained[path], expected[path], rtol=1e-12)
        gradients, (terms, observed) = gradients_of(graph, params, images, labels)
        assert not observed
        parts = partition(graph, Size(2, 2))
        shards = [Shard(graph, parts, tile) for tile in range(parts.count)]
        step = quickly(partial(run_tiles, shards))
        found, of_tiles = step([shard.owned(params) for shard in shards], images, labels, None, samples)
        for path, term in terms.items():
            np.testing.assert_allclose(of_tiles[path], term, rtol=1e-10, err_msg=path)
        for shard, mine in zip(shards, found, strict=True):
            for name, place in shard.programme.owned:
                part = cut(gradients[name], place)
                np.testing.assert_allclose(mine[name], part, rtol=1e-8, atol=1e-10, err_msg=name)


def test_tiles_send_each_other_one_total_for_a_whole_batch():
    """Two maps' sums and squares from three other tiles, and their gradients, for however many images."""
    text = "network n { image: input(9x7x2); b: batchnorm(); q: l2() } train { batch = %d; accumulate = 2 }"
    for batch in (4, 40):
        graph = compile_text(text % batch).graph
        parts = partition(graph, Size(2, 2))
        assert {cost.dense for cost in tile_costs(graph, parts)} == {2 * 2 * 2 * 3 * 2 * 4}
        sent = exchanges(graph, parts, schedule(graph, parts, 0), batch)
        values = {shape for shapes in sent.values() for shape in shapes if len(shape) == 4}
        assert values == {(1, 1, 2, 1)}


@pytest.mark.parametrize("share", [None, 0.25])
def test_an_update_of_several_batches_moves_running_values_as_each_would(share):
    """What a push carries, whatever its age: momentum^p and the weighted sum, applied once."""
    graph, rng = compile_text(TEXT).graph, np.random.default_rng(3)
    rule, params = update_rule(graph), initial_params(graph, 0)
    batches = [
        {name: jnp.asarray(rng.normal(size=v.shape), jnp.float32) for name, v in params.items()}
        for _ in "abc"
    ]
    total = None
    for gradients in batches:
        update = running.of_batch(rule.running, gradients)
        total = update if total is None else running.added(rule.running, total, update)
    at_once, _ = rule.updated(params, rule.init(params), total, share)
    for path, m in (("a", 0.9), ("b", 0.8)):
        for role in ("mean", "variance"):
            value = np.asarray(params[f"{path}.{role}"], float)
            for gradients in batches:
                value = m * value + (1 - m) * np.asarray(gradients[f"{path}.{role}"])
            np.testing.assert_allclose(at_once[f"{path}.{role}"], value, rtol=1e-5)
    np.testing.assert_allclose(total["f.weight"], sum(g["f.weight"] for g in batches), rtol=1e-6)


def test_an_update_with_running_values_is_measured():
    graph = compile_text("network n { image: input(6x6x1); a: local(3, 2); b: batchnorm(); q: l2() }").graph
    assert rates._update_seconds(graph) > 0
