"""Dropout: masks are a function of seed, layer, sample and unit, so tiles and replicas draw the same ones."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from quickly import quickly

from lnet.compiler.core.shapes import Interval, Region, Sheet, Size, whole
from lnet.compiler.cut.deal import dealt
from lnet.compiler.cut.partition import partition
from lnet.compiler.pipeline import compile_text
from lnet.runtime.engine.evaluate import cut, layer_values, total_loss
from lnet.runtime.engine.lockstep import run_tiles
from lnet.runtime.engine.network import initial_params
from lnet.runtime.engine.shard import Shard
from lnet.runtime.kernels.initial import key_of
from lnet.runtime.kernels.mode import Mode, random_words, sample_numbers

SHEET = Sheet(3, 5, 7)
NETWORK = """
network n {
    image: input(7x9x2)
    noise: dropout(0.25)
    f: local(3, 4, act = relu)
    drop: dropout(0.5)
    p: l2pool(2)
    d: dense(11, act = tanh)
    e: dropout(0.5)
    y: dense(3)
    q: cross_entropy(); r: l1(of = p)
}
train { seed = 5 }
"""


def threefry(key, counter):
    """Threefry-2x32 with 20 rounds, as Salmon et al. 2011 give it, in whole numbers."""
    mask, rotations = 2**32 - 1, [(13, 15, 26, 6), (17, 29, 16, 24)]
    keys = [*key, key[0] ^ key[1] ^ 0x1BD11BDA]
    a, b = (counter[0] + keys[0]) & mask, (counter[1] + keys[1]) & mask
    for block in range(5):
        for by in rotations[block % 2]:
            a = (a + b) & mask
            b = ((b << by | b >> (32 - by)) & mask) ^ a
        a = (a + keys[(block + 1) % 3]) & mask
        b = (b + keys[(block + 2) % 3] + block + 1) & mask
    return a, b


def words(samples, within=None, path="V1.drop", seed=3):
    return np.asarray(random_words(Mode(seed, path, samples), SHEET, within or whole(SHEET.size)))


def test_words_are_those_of_the_published_generator():
    numbers = [0, 6, 2**40 + 17]
    samples = np.concatenate([sample_numbers(number, 1) for number in numbers], axis=1)
    found, key = words(samples), [int(word) for word in key_of(3, "V1.drop noise")]
    for at, number in enumerate(numbers):
        of_sample = threefry(key, (number % 2**32, number >> 32))
        for row, column, map_ in [(0, 0, 0), (1, 4, 2), (2, 3, 6)]:
            unit = (row * SHEET.width + column) * SHEET.maps + map_
            assert found[row, column, map_, at] == threefry(of_sample, (unit, 0))[0]


def test_words_depend_on_seed_layer_sample_and_unit_alone():
    whole_batch = words(sample_numbers(10, 4))
    part = Region(Interval(1, 3), Interval(2, 5))
    np.testing.assert_array_equal(words(sample_numbers(12, 1), part)[..., 0], whole_batch[1:, 2:, :, 2])
    for other in (words(sample_numbers(14, 4)), words(sample_numbers(10, 4), path="V2.drop")):
        assert np.mean(other == whole_batch) < 0.01
    assert np.mean(words(sample_numbers(10, 4), seed=4) == whole_batch) < 0.01
    assert len(np.unique(whole_batch)) == whole_batch.size


@pytest.mark.parametrize("rate", [0, 0.2, 0.75])
def test_values_are_dropped_at_the_rate_and_keep_their_mean(rate):
    graph = compile_text(f"network n {{ image: input(40x40x8); x: dropout({rate}); q: l1() }}").graph
    images = jax.random.uniform(jax.random.key(0), (40, 40, 8, 5), minval=1, maxval=2)
    dropped = quickly(lambda images: layer_values(graph, {}, images, samples=sample_numbers(7, 5))["x"])
    found = np.asarray(dropped(images))
    kept = found != 0
    deviation = np.sqrt(rate * (1 - rate) / found.size)
    assert abs(np.mean(~kept) - rate) <= 5 * deviation
    np.testing.assert_allclose(found[kept], np.asarray(images)[kept] / (1 - rate), rtol=1e-6)
    np.testing.assert_array_equal(layer_values(graph, {}, images)["x"], images)


def test_a_loss_in_evaluation_drops_nothing():
    graph = compile_text(NETWORK).graph
    without = compile_text(NETWORK.replace("0.5", "0").replace("0.25", "0")).graph
    params, labels = initial_params(graph, 0), jnp.asarray([0, 2])

    @quickly
    def losses(images):
        evaluated = [total_loss(each, params, images, labels)[0] for each in (graph, without)]
        return *evaluated, total_loss(graph, params, images, labels, None, sample_numbers(0, 2))[0]

    evaluated, undropped, trained = losses(jax.random.normal(jax.random.key(1), (7, 9, 2, 2)))
    assert evaluated == undropped
    assert abs(trained - undropped) > 1e-3


def test_tiles_drop_the_same_units():
    with jax.enable_x64(True):
        graph, rng = compile_text(NETWORK).graph, np.random.default_rng(0)
        params = {name: jnp.asarray(value, float) for name, value in initial_params(graph, 0).items()}
        images, labels = jnp.asarray(rng.normal(size=(7, 9, 2, 3))), jnp.asarray([0, 2, 1])
        samples = jnp.asarray(sample_numbers(2**33 + 5, 3))

        @quickly
        def whole_step(params):
            return jax.grad(lambda p: total_loss(graph, p, images, labels, None, samples), has_aux=True)(
                params
            )

        expected, terms = whole_step(params)
        parts = partition(graph, Size(2, 3))
        assert {"d", "e"} <= dealt(graph, Size(2, 3)).lines, (
            "units of a dense layer are dropped where they are"
        )
        shards = [Shard(graph, parts, tile) for tile in range(parts.count)]
        step = quickly(partial(run_tiles, shards))
        found, of_tiles = step([shard.owned(params) for shard in shards], images, labels, None, samples)
        for path, term in terms.items():
            np.testing.assert_allclose(of_tiles[path], term, rtol=1e-10, err_msg=path)
        for shard, mine in zip(shards, found, strict=True):
            for name, place in shard.programme.owned:
                part = cut(expected[name], place)
                np.testing.assert_allclose(mine[name], part, rtol=1e-8, atol=1e-12, err_msg=name)


def test_a_batch_is_the_batches_of_its_samples():
    """Two replicas, or two halves of a batch, drop what one would."""
    graph = compile_text(NETWORK).graph
    params, labels = initial_params(graph, 0), jnp.asarray([0, 2, 1, 1])

    @quickly
    def losses(images):
        def loss(at, end):
            return total_loss(
                graph, params, images[..., at:end], labels[at:end], None, sample_numbers(8 + at, end - at)
            )[0]

        return loss(0, 4), (loss(0, 2) + loss(2, 4)) / 2

    at_once, of_halves = losses(jax.random.normal(jax.random.key(1), (7, 9, 2, 4)))
    np.testing.assert_allclose(at_once, of_halves, rtol=1e-6)
