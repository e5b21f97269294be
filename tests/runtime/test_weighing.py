"""Weights of objectives that change with a replica's steps."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quickly import quickly
from test_shard import joined, whole

import lnet
from lnet.compiler.core.shapes import Size
from lnet.compiler.cut.partition import partition
from lnet.compiler.pipeline import compile_text
from lnet.compiler.plan.plan import plan_from_json
from lnet.runtime.cluster.actors.numerics import Replica
from lnet.runtime.cluster.config import RunConfig
from lnet.runtime.engine.evaluate import total_loss
from lnet.runtime.engine.lockstep import run_tiles
from lnet.runtime.engine.shard import Shard

TEXT = """
let w = between(2, 0.5, 2, 6)
network n {
    image: input(7x6x1)
    f: local(3, 2)
    p: l2pool(2)
    a: l2(of = f, weight = w)
    b: rica(weight = between(from = 0, to = 1, start = 0, stop = 3), encode = f, pool = p)
    c: weight_l2(f, weight = between(1, 0, 4, 5))
    d: l1(of = p)
}
train { batch = 3; steps = 8; update = sgd(0.0001); checkpoint = 4 }
"""
SHARES = {
    "a": lambda t: float(np.interp(t, [2, 6], [2, 0.5])),
    "b": lambda t: min(t / 3, 1),
    "c": lambda t: float(t < 5),
    "d": lambda t: 1.0,
}
PLAIN = TEXT
for written in ("w)", "between(from = 0, to = 1, start = 0, stop = 3)", "between(1, 0, 4, 5)"):
    PLAIN = PLAIN.replace(f"weight = {written}", "weight = 1" + ")" * written.endswith("w)"))


@partial(quickly, static_argnums=0)
def terms_of(graph, params, images, done=0):
    return total_loss(graph, params, images, done=done)[1]


def expected_of(terms, step):
    return {path: SHARES[path.partition(".")[0]](step) * float(value) for path, value in terms.items()}


@pytest.mark.parametrize("step", [0, 1, 2, 3, 5, 6, 100])
def test_terms_and_gradients_are_those_of_the_weights_at_a_step_whole_and_in_tiles(step):
    with jax.enable_x64(True):
        graph, plain = compile_text(TEXT).graph, compile_text(PLAIN).graph
        params, images, _ = whole(graph)
        terms, found = terms_of(plain, params, images), terms_of(graph, params, images, step)
        wanted = expected_of(terms, step)
        assert found.keys() == wanted.keys()
        for path, value in wanted.items():
            np.testing.assert_allclose(found[path], value, rtol=1e-10, err_msg=path)
        if step not in (1, 5):
            return

        def loss(params):
            every = total_loss(plain, params, images)[1]
            return sum(SHARES[path.partition(".")[0]](step) * value for path, value in every.items())

        gradients = quickly(jax.grad(loss))(params)
        cut = partition(graph, Size(1, 2))
        shards = [Shard(graph, cut, tile) for tile in range(cut.count)]
        owned = [shard.owned(params) for shard in shards]
        mine, of_tiles = quickly(partial(run_tiles, shards))(owned, images, done=step)
        for path, value in wanted.items():
            np.testing.assert_allclose(of_tiles[path], value, rtol=1e-10, err_msg=path)
        for name, value in joined(shards, mine, params).items():
            np.testing.assert_allclose(value, gradients[name], rtol=1e-8, atol=1e-10, err_msg=name)


def test_a_run_counts_its_own_steps_and_goes_on_after_a_resumption(tmp_path):
    images = (
        np.random.default_rng(0).normal(size=(3, 7, 6, 1)).astype(np.float32)
    )  # each batch is all of them
    plan = lnet.compile(lnet.parse(TEXT))
    run = lnet.train(plan, images, directory=tmp_path / "run", prepared=True, steps=4)
    network = run.network()
    lnet.resume(run.directory, data=images, steps=8)
    losses = {event.step: event.loss for event in run.events() if event.name == "step"}
    assert losses.keys() == set(range(1, 9))
    assert losses[1] == pytest.approx(lnet.Network(plan).loss(images), rel=1e-5)
    assert losses[5] == pytest.approx(network.loss(images, step=4), rel=1e-5)
    assert losses[5] != pytest.approx(network.loss(images), rel=1e-3)
    slope = network.gradients(images, step=4)["f.weight"]
    assert np.abs(slope - network.gradients(images)["f.weight"]).max() > 0.01


def test_a_tile_of_a_cluster_takes_the_weights_of_its_replicas_step():
    plan = lnet.compile(lnet.parse(TEXT))
    config = RunConfig("run", plan.to_json(), ".", ".", None, workers=1, capacity=1)
    replica = Replica(config, Shard(plan.graph, plan.partition, 0))
    params, images, _ = whole(plan.graph)
    replica.params = {name: jnp.asarray(value, jnp.float32) for name, value in params.items()}
    images = jnp.asarray(images, jnp.float32)
    for step in (0, 5):
        talk = replica.step(images, None, {}, 40, step)
        with pytest.raises(StopIteration) as end:
            next(talk)
        _, terms = end.value.value
        expected = terms_of(plan.graph, replica.params, images, step)
        for path, value in expected.items():
            np.testing.assert_allclose(terms[path], value, rtol=1e-5)


def test_a_plan_keeps_it():
    plan = compile_text(TEXT)
    assert plan_from_json(plan.to_json()).graph == plan.graph
    assert str(plan.graph.objectives[0].change) == "between(2, 0.5, 2, 6)"
