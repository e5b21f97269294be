"""Two views of each image, and the objective that compares them: rows, draws, numbers whole and in tiles, resumed runs."""

from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import objectives
import pytest
import reference
from PIL import Image
from quickly import quickly

import lnet
from lnet.compiler.augmentations import Blur, Brightness, Shift, Zoom
from lnet.compiler.core.shapes import Size
from lnet.compiler.cut.cluster_spec import Rates
from lnet.compiler.cut.cost import tile_costs, totals
from lnet.compiler.cut.deal import dealt
from lnet.compiler.cut.partition import partition
from lnet.compiler.objectives.contrast import Contrast
from lnet.compiler.pipeline import compile_text
from lnet.compiler.plan.explain import explain_data
from lnet.compiler.predict.stages import tile_stages
from lnet.compiler.settings import Frames
from lnet.runtime.analysis.images import own_images
from lnet.runtime.data import open_frames
from lnet.runtime.engine.evaluate import batch_first, batch_last, cut, layer_values, observed_loss
from lnet.runtime.engine.lockstep import run_tiles
from lnet.runtime.engine.network import initial_params
from lnet.runtime.engine.shard import Shard
from lnet.runtime.kernels.contrast import contrast
from lnet.runtime.kernels.mode import sample_numbers

TEXT = """
stage head(units) { told: dense(units, act = tanh); apart: contrast(temperature = 0.3) }
network n {
    image: input(8x8x3)
    f: local(3, 4)
    b: batchnorm(0.8); r: relu(); drop: dropout(0.25)
    near: head(5)
    far: local(6, 6, of = drop)
    whole: contrast(weight = 0.5)
    y: dense(3, of = near); q: cross_entropy()
}
train {
    data = frames("photos", labels = folder, views = 2, augment = [zoom(0.3, chance = 0.5), brightness(0.3)])
    batch = 3; steps = 4; accumulate = 2; seed = 5; update = adam(0.01); checkpoint = 2
}
"""
"""Vectors of a dense layer, whose units are dealt to the tiles, and of a local layer that one tile has."""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for number in range(11):
        where = tmp_path / "photos" / "abc"[number % 3]
        where.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (12, 10, 3), np.uint8)).save(where / f"{number:02d}.png")
    (tmp_path / "n.lnet").write_text(TEXT)
    return tmp_path


def double_precision(graph, rows=6):
    """Parameters, images, labels and sample numbers of a batch, in float64."""
    rng, sheet = np.random.default_rng(1), graph.input.sheet
    params = {
        name: jnp.asarray(np.asarray(value, float) + 0.1 * rng.normal(size=value.shape))
        for name, value in initial_params(graph, 0).items()
    }
    images = jnp.asarray(rng.normal(size=(sheet.height, sheet.width, sheet.maps, rows)))
    return params, images, jnp.asarray(np.arange(rows) // 2 % 3), jnp.asarray(sample_numbers(12, rows))


# --- images ----------------------------------------------------------------------------------------------

WINDOWS = {"crop": "random", "flip": True}
WHOLE = {"crop": "center", "flip": False}
AUGMENTED = (Zoom(0.3, chance=0.5), Shift(2), Brightness(0.3), Blur(1.0, 0.5))


def opened(views, **arguments):
    frames = Frames("photos", Size(8, 8), normalize="none", labels="folder", views=views, **arguments)
    return open_frames(frames, 3, Path(), 4, cache_bytes=0)


@pytest.mark.parametrize(
    "arguments", [WINDOWS, WHOLE | {"augment": AUGMENTED[1:]}, WINDOWS | {"augment": AUGMENTED}]
)
def test_views_are_rows_one_after_the_other_that_draw_for_themselves(folder, arguments):
    once, twice = opened(1, **arguments), opened(2, **arguments)
    one, two = once.batch(0, 20), twice.batch(0, 20)
    np.testing.assert_array_equal(two.images[::2], one.images)
    same = [np.array_equal(*two.images[2 * k : 2 * k + 2]) for k in range(20)]
    assert sum(same) < 3
    for found, single in (
        (two.labels, one.labels),
        (two.names, one.names),
        (two.places, one.places),
        (two.checksums, one.checksums),
    ):
        np.testing.assert_array_equal(found, np.repeat(single, 2))
    apart = [twice.batch(number, 1) for number in range(20)]
    np.testing.assert_array_equal(np.concatenate([batch.images for batch in apart]), two.images)
    np.testing.assert_array_equal(twice.batch(1, 3, every=5).images[2:4], apart[6].images)
    np.testing.assert_array_equal(twice.batch(0, 20, views=1).images, one.images)
    central = [data.at(range(11)).images for data in (once, twice)]
    np.testing.assert_array_equal(*central)


def test_flips_of_both_views_are_independent(folder):
    data = opened(2, crop="center", flip=True)
    plain = data.at(range(11)).images
    batch = data.batch(0, 400)
    mirrored = ~np.array(
        [np.array_equal(row, plain[p]) for row, p in zip(batch.images, batch.places, strict=True)]
    )
    both = Counter(map(tuple, mirrored.reshape(-1, 2).tolist()))
    assert min(both.values()) > 60, "each of the four in a quarter of the images"
    assert len(both) == 4


def test_an_image_is_decoded_once_for_both_views(folder, monkeypatch):
    data, loaded = opened(2, **WINDOWS), Counter()
    load = data.catalog.load
    monkeypatch.setattr(data.catalog, "load", lambda place: loaded.update([place]) or load(place))
    data.batch(0, 11)
    assert loaded == dict.fromkeys(range(11), 1)


# --- numbers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "scale", "temperature"), [(4, 1.0, 0.5), (10, 1e3, 0.02), (6, 1e-5, 0.1)])
def test_contrast_and_its_gradient_are_those_of_the_formula(rows, scale, temperature):
    rng, term = np.random.default_rng(rows), Contrast(temperature)
    values, ways = scale * rng.normal(size=(rows, 1, 1, 7)), scale * rng.normal(size=(3, rows, 1, 1, 7))

    def formula(x):
        return objectives.contrast(term, [x], [], None)

    with jax.enable_x64(True):
        with_slope = quickly(jax.value_and_grad(partial(contrast, temperature=temperature)))
        found, slope = with_slope(batch_last(jnp.asarray(values)))
        np.testing.assert_allclose(found, formula(values), rtol=1e-10)
        for way in ways:
            ahead, behind = formula(values + 1e-6 * way), formula(values - 1e-6 * way)
            np.testing.assert_allclose(jnp.sum(batch_last(way) * slope), (ahead - behind) / 2e-6, rtol=1e-6)
    single = contrast(batch_last(jnp.asarray(values, jnp.float32)), temperature)
    np.testing.assert_allclose(single, formula(values), rtol=1e-3)


def test_tiles_compute_what_the_whole_network_does():
    with jax.enable_x64(True):
        graph = compile_text(TEXT).graph
        params, images, labels, samples = double_precision(graph)

        @quickly
        def whole_step(params):
            def loss(params):
                return observed_loss(graph, params, images, labels, None, samples)

            return jax.grad(loss, has_aux=True)(params)

        expected, (terms, observed) = whole_step(params)
        parts, cut_graph = partition(graph, Size(2, 3)), dealt(graph, Size(2, 3))
        assert "near.told" in cut_graph.lines
        assert cut_graph.objectives[0].reads == ("near.told vector",)
        shards = [Shard(graph, parts, tile) for tile in range(parts.count)]
        step = quickly(partial(run_tiles, shards))
        found, of_tiles = step([shard.owned(params) for shard in shards], images, labels, None, samples)
        for path, term in terms.items():
            np.testing.assert_allclose(of_tiles[path], term, rtol=1e-10, err_msg=path)
        for shard, mine in zip(shards, found, strict=True):
            for name, place in shard.programme.owned:
                part = cut((expected | observed)[name], place)
                np.testing.assert_allclose(mine[name], part, rtol=1e-8, atol=1e-12, err_msg=name)


def test_dropout_draws_for_each_view_and_batchnorm_counts_both():
    with jax.enable_x64(True):
        graph = compile_text(TEXT).graph
        params, images, labels, samples = double_precision(graph)
        twins = jnp.repeat(images[..., ::2], 2, axis=-1)

        @quickly
        def trained(params):
            observed = observed_loss(graph, params, images, labels, None, samples)[1][1]
            return layer_values(graph, params, twins, samples=samples), observed

        values, observed = trained(params)
        np.testing.assert_array_equal(values["r"][..., ::2], values["r"][..., 1::2])
        first, second = (np.asarray(values["drop"][..., view::2]) == 0 for view in (0, 1))
        assert 0.1 < np.mean(first != second) < 0.4
        seen = reference.values(graph, params, np.asarray(batch_first(images)))["f"]
        np.testing.assert_allclose(observed["b.mean"], seen.mean((0, 1, 2)), rtol=1e-9)
        np.testing.assert_allclose(observed["b.variance"], seen.var((0, 1, 2)), rtol=1e-9)


# --- plans -----------------------------------------------------------------------------------------------

PLAIN = """
network n { image: input(9x9x1); f: local(3, 2); p: l2pool(2); d: dense(4); q: l2() }
train { data = frames("x"%s); batch = %d; accumulate = 2 }
"""


def test_a_batch_in_two_views_costs_what_twice_the_batch_does(tmp_path):
    plans = []
    for views, batch in ((", views = 2", 4), ("", 8)):
        (tmp_path / "n.lnet").write_text(PLAIN % (views, batch))
        plans.append(lnet.compile(tmp_path / "n.lnet", workers=4))
    two, one = map(explain_data, plans)
    assert (two["batch"], two["views"], one["batch"], one["views"]) == (4, 2, 8, 1)
    for part in ("layers", "tiles", "workers", "totals"):
        assert two[part] == one[part], part
    assert two["decoding"]["window"] == one["decoding"]["window"]
    assert two["decoding"]["alone"] == one["decoding"]["alone"] / 2
    rates = Rates({"local": 1e6, "l2pool": 1e6, "dense": 1e6, "lcn": 1e6}, 1e6, 1e3, 0.01, 1e9, "here")
    for twice, once in zip(*(tile_stages(plan, rates) for plan in plans), strict=True):
        if twice.part == "images":
            assert twice.seconds == tuple(each / 2 for each in once.seconds)
        else:
            assert twice == once
    training = replace(plans[0].graph.training, steps=0, epochs=2.0)
    assert training.lasting(20, 1).steps == 5, "an epoch is of images, not of views"
    text = plans[0].explain()
    assert "bytes of activations at a batch of 4 in 2 views" in text
    assert "multiply-adds forward for one view of an image" in text


def test_similarities_of_large_batches_count_as_memory():
    contrasted = PLAIN.replace("q: l2()", "q: contrast()")
    one, two = (compile_text(text % (", views = 2", 50)) for text in (PLAIN, contrasted))
    more = 100 * 100 * 4
    assert (
        totals(two.graph, two.partition).batch_bytes - totals(one.graph, one.partition).batch_bytes
        == 2 * more
    )
    one, two = (tile_costs(plan.graph, partition(plan.graph, Size(1, 3))) for plan in (one, two))
    assert [b.activations - a.activations for a, b in zip(one, two, strict=True)][:2] == [0, 0]
    assert two[2].activations - one[2].activations >= more


# --- runs ------------------------------------------------------------------------------------------------


def test_a_run_trains_on_both_views_and_resumes_to_the_bit(folder):
    plan = lnet.compile("n.lnet")
    plan.save("n.plan")
    assert lnet.load_plan("n.plan").graph == plan.graph
    whole = lnet.train(plan, directory="whole")
    graph, params, images = plan.graph, initial_params(plan.graph, 5), whole.images()
    losses = []
    for number in range(2):
        batch, samples = images.batch(3 * number, 3), jnp.asarray(sample_numbers(6 * number, 6))
        rows, labels = batch_last(jnp.asarray(batch.images)), jnp.asarray(batch.labels)
        losses.append(observed_loss(graph, params, rows, labels, None, samples)[1][0])
    first, *_, last = (event for event in whole.events() if event.name == "step")
    for path, found in (first.terms | first.accuracies).items():
        np.testing.assert_allclose(found, np.mean([each[path] for each in losses]), rtol=1e-5, err_msg=path)
    assert (last.step, last.images) == (4, 24)
    data = next(event for event in whole.events() if event.name == "data")
    assert "11 images in 'photos', 6 a step in 2 views, 2.18 passes" in data.message
    lnet.train(plan, directory="part", steps=2)
    resumed = lnet.resume("part", steps=4).network().params
    for name, value in whole.network().params.items():
        np.testing.assert_array_equal(resumed[name], value, err_msg=name)
    shown = next(iter(own_images(whole, 4)))
    np.testing.assert_array_equal(shown.images, images.batch(0, 4).images[::2])
    assert_pairs_are_asked_for(whole)


def assert_pairs_are_asked_for(run):
    net, batch = run.network(), run.samples(2)
    assert np.isfinite(net.loss(batch.images, batch.labels))
    for rows in (2, 3):
        with pytest.raises(
            lnet.LnetError, match=rf"E716: 'near.apart' compares views: .* found {rows} images"
        ):
            net.loss(batch.images[:rows], batch.labels[:rows])


class Items:
    """Samples that are arrays by name."""

    def __len__(self):
        return 6

    def __getitem__(self, number):
        return {"x": np.zeros((8, 8, 3))}


def test_images_in_memory_have_views_and_arrays_have_none(folder):
    plan = lnet.compile("n.lnet", set={"train.steps": 1})
    images = np.random.default_rng(0).random((6, 9, 10, 3))
    run = lnet.train(plan, images, labels=np.arange(6) % 3, directory="run")
    assert next(event for event in run.events() if event.name == "step").images == 6
    for data in (lnet.Arrays(images[:, :8, :8]), Items()):
        with pytest.raises(
            lnet.LnetError, match=r"E716: 'frames\(...\)' in the file has two views of each image"
        ):
            lnet.train(plan, data, directory="arrays")
