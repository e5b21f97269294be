"""Arrays that are given to Python: trained on like the same array in a file, and shown to networks as they expect it."""

import warnings

import jax.numpy as jnp
import numpy as np
import pytest
from small_run import TEXT, furnish, plan_of

import lnet
from lnet import LnetError
from lnet.dsl.diagnostics import LnetWarning
from lnet.runtime.data.inputs import Inputs
from lnet.runtime.data.pixels import as_seen

LABELLED = TEXT.replace("V2: sense(2) }", "V2: sense(2); d: dense(3); c: cross_entropy() }")


def pixels(count=12, rows=14, columns=15, channels=1):
    rng = np.random.default_rng(3)
    return rng.integers(0, 256, (count, rows, columns, channels), dtype=np.uint8)


def assert_same(first, second):
    for name, value in first.checkpoint().params.items():
        np.testing.assert_array_equal(value, second.checkpoint().params[name])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return furnish(tmp_path)


@pytest.mark.parametrize(
    "make", [lambda p: p, lambda p: (p / 255).astype(np.float32), lambda p: p / 255, jnp.asarray]
)
@pytest.mark.parametrize("settings", ["", "crop = center, flip = false, normalize = none"])
def test_an_array_is_the_same_array_in_a_file(folder, make, settings):
    """Cut out, mirrored and normalised as `frames` says, larger than the network's input, in whatever it is given."""
    (folder / "small.lnet").write_text(
        TEXT.replace('frames("images"', f'frames("images", {settings}' if settings else 'frames("images"')
    )
    array = make(pixels())
    np.save("there.npy", np.asarray(array))
    filed = lnet.train(plan_of(folder), "there.npy", directory="filed")
    given = lnet.train(plan_of(folder), array, directory="given")
    assert_same(filed, given)
    assert filed.info["data"]["inputs"] == given.info["data"]["inputs"]


def test_a_plan_whose_file_names_no_images_takes_arrays_like_files(folder):
    (folder / "small.lnet").write_text(TEXT.replace('data = frames("images");', ""))
    np.save("there.npy", pixels())
    assert_same(
        lnet.train(plan_of(folder), "there.npy", directory="filed"),
        lnet.train(plan_of(folder), pixels(), directory="given"),
    )


@pytest.mark.parametrize("labels", [np.arange(12) % 3, ["ant", "bee", "cat"] * 4])
def test_labels_stand_beside_an_array(folder, labels):
    (folder / "small.lnet").write_text(LABELLED)
    np.savez("there.npz", images=pixels(), labels=labels)
    filed = lnet.train(plan_of(folder), "there.npz", directory="filed")
    given = lnet.train(plan_of(folder), pixels(), directory="given", labels=labels)
    assert filed.classes == given.classes
    assert_same(filed, given)


def test_a_run_on_an_array_goes_on_with_it_or_with_its_file(folder):
    (folder / "small.lnet").write_text(LABELLED)
    labels = np.arange(12) % 3
    whole = lnet.train(plan_of(folder), pixels(), directory="whole", labels=labels)
    lnet.train(plan_of(folder), pixels(), steps=8, directory="a", labels=labels)
    with pytest.raises(LnetError, match=r"E747: the run 'a' was trained on an array, and it is needed again"):
        lnet.resume("a", steps=20)
    with pytest.raises(
        LnetError, match=r"E748: the image '.3.' in memory has changed since it was first read"
    ):
        lnet.resume(
            "a",
            np.where(np.arange(12)[:, None, None, None] == 3, 9, pixels()).astype(np.uint8),
            20,
            labels=labels,
        )
    np.savez("there.npz", images=pixels(), labels=labels)
    lnet.resume("a", "there.npz", steps=14)
    assert (
        whole.info["data"]["digest"]
        == lnet.resume("a", pixels(), steps=20, labels=labels).info["data"]["digest"]
    )


def test_a_prepared_array_is_taken_as_it_is(folder):
    """Any values, any number of channels; what the network was trained on is what it was given."""
    (folder / "small.lnet").write_text(TEXT.replace("10x10x1", "10x10x4"))
    images = np.random.default_rng(0).normal(3, 2, (40, 10, 10, 4)).astype(np.float32)
    run = lnet.train(plan_of(folder), images, directory="a", prepared=True)
    assert run.info["data"]["inputs"]["mean"] == pytest.approx(3, abs=0.1)
    assert run.info["data"]["inputs"]["deviation"] == pytest.approx(2, abs=0.1)
    with pytest.raises(LnetError, match=r"E704: expected prepared images .n, 10, 10, 4., found"):
        lnet.train(plan_of(folder), images[:, 1:], directory="b", prepared=True)
    lnet.resume("a", images, steps=25)


@pytest.mark.parametrize(
    ("data", "how", "message"),
    [
        (pixels()[..., 0], {}, "E704: the array in 'data' has the shape [12, 14, 15]"),
        (pixels().astype(np.int64), {}, "E704: the array in 'data' holds int64"),
        (pixels().astype(np.float32), {}, "E704: the array in 'data' has values from 0 to 255"),
        (pixels(), {"labels": [0, 1]}, "E704: 'data' has 12 images but 2 labels"),
        (pixels(), {"labels": [{}] * 12}, "E716: expected a label for each image, an integer or a text"),
        (pixels(), {"labels": ["a", float("nan")] * 6}, "the label of image 1 is nan"),
        (pixels(), {"labels": np.array(["a", "b", None] * 4)}, "the label of image 2 is None"),
        (np.ma.masked_equal(pixels(), 7), {}, "as 'data', found an array with "),
        (
            pixels(),
            {"labels": np.ma.masked_equal(np.arange(12), 7)},
            "as labels, found an array with 1 masked value",
        ),
        (pixels() / 255 + np.float32(1e-6), {}, "hint: cut off what rounding leaves beyond 0..1: np.clip("),
        (np.full((12, 9, 9, 1), np.nan), {}, "E704: the array in 'data' has values that are not finite"),
        (np.full((12, 9, 9, 1), np.inf), {}, "hint: leave such images out, or put a number in the place of"),
        (pixels()[:0], {}, "E702: there are no images in memory"),
        (
            ["a.png", "b.png"],
            {},
            "E716: expected a path or images [n, rows, columns, channels] as 'data', found texts",
        ),
        ({"a": 1}, {}, "as 'data', found dict of object"),
        ([[1], [1, 2]], {}, "as 'data', found no array"),
        (
            "images",
            {"labels": [0] * 6},
            "E716: 'labels' belongs to an array of images, found the path 'images'",
        ),
        (None, {"prepared": True}, "E716: 'prepared' belongs to an array of images, found no data"),
    ],
)
def test_what_is_no_array_of_images_is_refused_before_a_directory_is_made(folder, data, how, message):
    with pytest.raises(LnetError) as caught:
        lnet.train(plan_of(folder), data, directory="a", **how)
    assert message in str(caught.value)
    assert not (folder / "a").exists()


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"validation": pixels().astype(int)}, "E704: the array in 'validation' holds int64"),
        ({"validation": ["a"]}, "as 'validation', found texts"),
        (
            {"validation_labels": [1]},
            "E716: 'validation_labels' belongs to an array of images, found no validation\n"
            " = hint: lnet.train(plan, validation=images, validation_labels=labels)",
        ),
    ],
)
def test_messages_name_the_argument_that_is_wrong(folder, how, message):
    with pytest.raises(LnetError) as caught:
        lnet.train(plan_of(folder), pixels(), directory="a", **how)
    assert message in str(caught.value)


# --- networks --------------------------------------------------------------------------------------------------------


NORMAL = Inputs(0.0, 1.0)


def network(text=TEXT, inputs=NORMAL):
    plan = lnet.compile(lnet.parse(text))
    return lnet.Network(plan, inputs=inputs)


def test_prepare_makes_what_the_network_was_trained_on():
    net = network()
    found = lnet.prepare(pixels(), net)
    assert found.shape == (12, 10, 10, 1)
    np.testing.assert_array_equal(found, as_seen(list(pixels()), net.graph.frames, "float32"))
    np.testing.assert_allclose(found, lnet.prepare(pixels() / 255, net), atol=1e-5)
    mixed = lnet.prepare([pixels()[0], pixels(1, 30, 40, 3)[0]], net)
    np.testing.assert_array_equal(mixed[0], found[0])
    assert mixed.shape == (2, 10, 10, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net(found)


def test_the_samples_of_a_run_are_its_images_prepared(folder):
    (folder / "small.lnet").write_text(TEXT.replace('"images"', '"images", crop = center, flip = false'))
    run = lnet.train(plan_of(folder), pixels(), steps=1, directory="a")
    net = run.network()
    np.save("there.npy", pixels())
    batch = run.samples(5, "there.npy")
    numbers = [int(name.partition("[")[2][:-1]) for name in batch.names]
    np.testing.assert_array_equal(batch.images, lnet.prepare(pixels()[numbers], net))


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (
            np.zeros((2, 10, 10, 1), np.uint8),
            "the images are uint8, and the network was trained on prepared ones of mean 0",
        ),
        (np.zeros((2, 10, 10, 1), np.int64), "the images are int64"),
        (
            np.full((2, 10, 10, 1), 200.0),
            "100% of the images' values are more than 8 standard deviations off the mean",
        ),
        (np.where(np.arange(200).reshape(2, 10, 10, 1) < 3, 9.0, 0.0), "2% of the images' values"),
        (np.full((2, 10, 10, 1), np.nan), "100% of the images' values"),
    ],
)
@pytest.mark.parametrize("ask", ["call", "neuron", "loss", "gradients"])
def test_images_that_were_not_prepared_are_said_where_they_are_shown(images, said, ask):
    net = network()
    asked = {"call": net, "neuron": net["V1.pool[0, 0, 0]"], "loss": net.loss, "gradients": net.gradients}[
        ask
    ]
    with pytest.warns(LnetWarning) as caught:
        asked(images)
    assert [said in str(each.message) for each in caught] == [True]
    assert "lnet.prepare(images, net) makes images so" in str(caught[0].message)
    assert caught[0].filename == __file__


def test_images_like_those_of_training_are_not_warned_of():
    few = np.where(np.arange(200).reshape(2, 10, 10, 1) < 2, 9.0, 0.0)  # 1 %, not more
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network()(few)
        network(inputs=None)(np.full((2, 10, 10, 1), 200.0))  # nobody knows


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (
            lambda n: n(np.zeros((10, 10, 1))),
            "expected images [batch, 10, 10, 1], prepared as in training, found [10, 10, 1]",
        ),
        (lambda n: n(np.zeros((10, 10, 1))), "hint: one image is a batch of one: images[None]"),
        (lambda n: n(np.zeros((2, 64, 64, 1))), "hint: lnet.prepare(images, net) scales and normalises"),
        (lambda n: n([["a"]]), "prepared as in training as the network's input, found texts"),
        (lambda n: lnet.prepare(np.zeros((4, 4)), n), "E704: the array in 'images' has the shape [4, 4]"),
        (
            lambda n: lnet.prepare(np.full((1, 10, 10, 1), 2.0), n),
            "E704: the array in 'images' has values from 2 to 2",
        ),
        (
            lambda n: lnet.prepare("images", n),
            "E716: expected [n, rows, columns, channels] as 'images', found texts",
        ),
        (lambda n: n.loss(np.zeros((2, 10, 10, 1))), "E716: the objective 'c' needs labels"),
        (
            lambda n: n.loss(np.zeros((2, 10, 10, 1)), [1]),
            "E716: expected a label for each of 2 images, [2], found [1]",
        ),
        (
            lambda n: n.loss(np.zeros((2, 10, 10, 1)), [0, 3]),
            "expected labels from 0 to 2, for 'c' reads 3 values, found 3",
        ),
        (lambda n: n.gradients(np.zeros((2, 10, 10, 1)), [0, -1]), "found -1"),
        (
            lambda n: n.loss(np.zeros((2, 10, 10, 1)), [0.5, 1]),
            "E716: expected the numbers of classes as labels, found float64",
        ),
    ],
)
def test_mistakes_say_what_is_expected_and_what_was_found(ask, message):
    with pytest.raises(LnetError) as caught:
        ask(network(LABELLED))
    assert message in str(caught.value)


def test_sets_that_a_run_keeps_the_name_of_are_paths(folder):
    run = lnet.train(plan_of(folder), steps=1, directory="a")
    asked = (
        lambda: lnet.draw(run, ["V1.pool[0,0,0]"], data=pixels()),
        lambda: lnet.probe(run, pixels()),
        lambda: lnet.invariance(run, "V1.pool[0,0,0]", pixels()),
    )
    for ask in asked:
        with pytest.raises(LnetError, match="E716: expected the path of a set of images, found ndarray"):
            ask()
