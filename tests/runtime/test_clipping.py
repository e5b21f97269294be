"""Clipping and accumulating: against formulas in double precision, in tiles of any number, and in a run."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from quickly import quickly
from test_shard import joined, whole

import lnet
from lnet.compiler.core.shapes import Size
from lnet.compiler.cut.partition import partition
from lnet.compiler.cut.partners import partners
from lnet.compiler.cut.tree import children, measured, norms, parent
from lnet.compiler.pipeline import compile_text
from lnet.runtime.engine import clipping
from lnet.runtime.engine.evaluate import total_loss
from lnet.runtime.engine.lockstep import run_tiles
from lnet.runtime.engine.shard import Receive, Shard
from lnet.runtime.engine.updates import update_rule
from lnet.runtime.kernels.mode import sample_numbers
from lnet.runtime.training.trainer import batch_sums, training_step

TEXT = """
network n {
    image: input(11x7x2)
    a: local(3, 3, bias = true, act = tanh); p: l2pool(2); b: local(2, 2, share = all); d: dense(3)
    learn: rica(encode = a, pool = p); more: l2()
}
train { batch = %s; update = sgd(0.1); %s }
"""
CLIPS = ("clip = 0.05", "clip = 1e9", "clip = each(0.02)")


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def graph_of(settings, batch=6):
    return compile_text(TEXT % (batch, settings)).graph


def gradients_of(graph, params, images):
    return quickly(jax.grad(lambda p: total_loss(graph, p, images)[0]))(params)


def expected(clip, gradients):
    """The gradients as optax clips them, all together or each alone."""
    rule = optax.clip_by_global_norm(clip.norm)
    if not clip.each:
        return rule.update(gradients, rule.init(gradients))[0]
    return {name: rule.update(value, rule.init(value))[0] for name, value in gradients.items()}


@pytest.mark.parametrize("grid", [Size(1, 3), Size(2, 2)])
def test_tiles_clip_as_one_process_does(grid):
    graph = graph_of("")
    params, images, _ = whole(graph)
    gradients, cut = gradients_of(graph, params, images), partition(graph, grid)
    shards = [Shard(graph, cut, tile) for tile in range(cut.count)]
    found, _ = quickly(partial(run_tiles, shards))([shard.owned(params) for shard in shards], images)
    names = measured(graph)
    for settings in CLIPS:
        clip = graph_of(settings).training.clip
        talks = [
            clipping.summed(tile, cut.count, clipping.squares(clip, names, each))
            for tile, each in enumerate(found)
        ]
        clipped = [clipping.clipped(clip, names, *each) for each in zip(found, settle(talks), strict=True)]
        together, wanted = joined(shards, clipped, params), expected(clip, gradients)
        alone = clipping.clipped_alone(graph_of(settings), gradients)
        for name, value in wanted.items():
            np.testing.assert_allclose(alone[name], value, rtol=1e-12, atol=1e-15)
            np.testing.assert_allclose(together[name], value, rtol=1e-8, atol=1e-12)
        same = [bool((wanted[name] == gradients[name]).all()) for name in wanted]
        assert all(same) == (settings == "clip = 1e9")


def settle(talks):
    """Move the messages of all tiles until each has returned."""
    mail, waiting, done = {}, dict.fromkeys(range(len(talks))), {}
    while waiting:
        for tile, want in list(waiting.items()):
            answer = None
            while not isinstance(want, Receive) or (want.sender, tile, want.exchange) in mail:
                if isinstance(want, Receive):
                    answer = mail.pop((want.sender, tile, want.exchange))
                elif want is not None:
                    mail[tile, want.receiver, want.exchange] = want.arrays
                try:
                    want, answer = talks[tile].send(answer), None
                except StopIteration as end:
                    done[tile] = end.value
                    del waiting[tile]
                    break
                waiting[tile] = want
    assert not mail
    return [done[tile] for tile in range(len(talks))]


@pytest.mark.parametrize("tiles", [1, 2, 9, 10, 74, 100])
def test_every_tile_is_below_its_parent_and_exchanges_with_it(tiles):
    for tile in range(1, tiles):
        assert parent(tile) < tile
        assert tile in children(parent(tile), tiles)
    assert sorted(child for tile in range(tiles) for child in children(tile, tiles)) == [*range(1, tiles)]
    found = settle([clipping.summed(tile, tiles, jnp.array([float(tile)])) for tile in range(tiles)])
    assert {float(each[0]) for each in found} == {tiles * (tiles - 1) / 2}


def test_tiles_that_add_up_norms_are_partners_and_count_their_messages():
    text = TEXT % (6, "%s")
    plain, clipping_ = (
        lnet.compile(lnet.parse(text % clip), workers=12) for clip in ("clip = none", "clip = 1")
    )
    found = partners(clipping_.graph, clipping_.partition, False)
    for tile in range(1, clipping_.partition.count):
        assert parent(tile) in found[tile]
        assert tile in found[parent(tile)]
    more = [b.messages - a.messages for a, b in zip(plain.costs, clipping_.costs, strict=True)]
    assert sum(more) == 2 * (clipping_.partition.count - 1)


def test_frozen_layers_do_not_count():
    graph = graph_of("clip = 0.05")
    frozen = replace(graph, frozen=("a", "learn"))
    params, images, _ = whole(graph)
    gradients = gradients_of(frozen, params, images)
    assert not any(gradients[name].any() for name in gradients if name.startswith(("a.", "learn.")))
    found = clipping.clipped_alone(frozen, gradients)
    assert sum(float(jnp.sum(value**2)) for value in found.values()) == pytest.approx(0.05**2)


@pytest.mark.parametrize("settings", ["clip = 1", "clip = each(1)"])
def test_a_norm_that_is_not_finite_makes_the_step_fail(settings):
    graph = graph_of(settings)
    params = {p.name: jnp.full(p.shape, 1e200) for p in graph.parameters}
    found = clipping.clipped_alone(graph, params)
    assert not any(jnp.isfinite(value).any() for value in found.values())


@pytest.mark.parametrize("clip", ["clip = none", "clip = each(0.02)"])
def test_a_step_of_several_batches_is_one_of_a_larger_batch(clip):
    """The losses here are means over images."""
    one, several = graph_of(clip, 3), graph_of(f"accumulate = 3; {clip}", 1)
    params, images, _ = whole(one)
    before = jax.tree.map(np.array, params)
    rule = update_rule(one)
    large = training_step(one, rule)(
        dict(params), rule.init(params), images, None, None, sample_numbers(0, 3)
    )
    sums = None
    params = jax.tree.map(jnp.array, before)
    for number in range(2):
        sums = batch_sums(several)(
            params, sums, images[..., number : number + 1], None, None, sample_numbers(number, 1)
        )
    small = training_step(several, rule)(
        params, rule.init(params), images[..., 2:], None, None, sample_numbers(2, 1), before=sums
    )
    for name, value in large[0].items():
        assert np.abs(value - before[name]).max() > 1e-6
        np.testing.assert_allclose(small[0][name], value, rtol=1e-10, atol=1e-13)
    for path, value in large[2].items():
        np.testing.assert_allclose(small[2][path], value, rtol=1e-10)
    assert small[3]


def test_a_batch_that_is_not_finite_spoils_the_step_of_several():
    graph = graph_of("accumulate = 2", 1)
    params, images, _ = whole(graph)
    rule, before = update_rule(graph), jax.tree.map(np.array, params)
    sums = batch_sums(graph)(
        params, None, images[..., :1].at[0, 0, 0, 0].set(jnp.inf), None, None, sample_numbers(0, 1)
    )
    after, _, _, finite = training_step(graph, rule)(
        params, rule.init(params), images[..., 1:2], None, None, sample_numbers(1, 1), before=sums
    )
    assert not finite
    jax.tree.map(np.testing.assert_array_equal, after, before)


def test_running_values_have_no_norm():
    """Tiles, the coordinator and whoever measures count the same arrays."""
    text = "network n { image: input(6x6x1); a: local(3, 2); b: batchnorm(); q: l2() } train { clip = each(0.1) }"
    graph = compile_text(text).graph
    assert len(measured(graph)) == norms(graph) == len(graph.parameters) - 2
