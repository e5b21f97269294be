"""Augmentations: each against its formula or another library, and what a run sees of them."""

import colorsys

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

import lnet
from lnet.compiler import augmentations
from lnet.compiler.core.shapes import Size
from lnet.runtime.analysis.report.settings import settings as report_settings
from lnet.runtime.data import augment
from lnet.runtime.data.pixels import normalize

IMAGE = np.random.default_rng(0).random((7, 9, 3)).astype(np.float32)
GREYS = (IMAGE.astype(float) @ [0.299, 0.587, 0.114])[..., None]


def done(text, *draws, image=IMAGE):
    """Return an image changed by the random numbers that a test says, together with others that are changed by others."""
    found = made(text)
    change = augment.AUGMENTED[type(found)]
    assert change.draws == len(draws)
    rows = np.array([np.full(len(draws), 0.1), draws, np.full(len(draws), 0.7)])
    several = np.stack([image[::-1], image, np.roll(image, 1, axis=1)]).transpose(0, 3, 1, 2).copy()
    alone = change.make(found, several[1:2].copy(), rows[1:2])[0]
    assert np.array_equal(change.make(found, several, rows)[1], alone)
    return alone.transpose(1, 2, 0)


def made(text):
    name, _, arguments = text.rstrip(")").partition("(")
    return augmentations.AUGMENTATIONS[name](
        *(float(a) if "." in a else int(a) for a in arguments.split(", "))
    )


def rotated(degrees):
    """By interpolation of another library; positive is counter-clockwise."""
    angle = np.deg2rad(degrees)
    y, x = np.mgrid[:7, :9] - np.array([3.0, 4.0])[:, None, None]
    at = [np.cos(angle) * y - np.sin(angle) * x + 3, np.sin(angle) * y + np.cos(angle) * x + 4]
    planes = [
        ndimage.map_coordinates(plane.astype(float), at, order=1, mode="nearest")
        for plane in IMAGE.T.swapaxes(1, 2)
    ]
    return np.stack(planes, axis=2)


def hues_turned(by):
    turned = [
        colorsys.hsv_to_rgb((h + by) % 1, s, v)
        for h, s, v in (colorsys.rgb_to_hsv(*p) for p in IMAGE.reshape(-1, 3).astype(float))
    ]
    return np.reshape(turned, IMAGE.shape)


def squared_out():
    expected = IMAGE.copy()
    expected[2:5, 6:9] = IMAGE.mean()
    return expected


@pytest.mark.parametrize(
    ("text", "draws", "expected"),
    [
        ("brightness(0.5)", [0.75], IMAGE + 0.25),
        ("contrasts(0.4)", [0.25], IMAGE.mean() + 0.8 * (IMAGE - IMAGE.mean())),
        ("saturation(0.4)", [1.0], GREYS + 1.4 * (IMAGE - GREYS)),
        ("hue(0.5)", [0.9], hues_turned(0.4)),
        ("hue(0.2)", [0.0], hues_turned(-0.2)),
        ("grey(0.3)", [0.29], np.broadcast_to(GREYS, IMAGE.shape)),
        ("grey(0.3)", [0.3], IMAGE),
        ("blur(2, 0.5)", [0.4, 0.6], ndimage.gaussian_filter(IMAGE.astype(float), (1.2, 1.2, 0), mode="nearest", radius=5)),
        ("blur(2, 0.5)", [0.5, 0.6], IMAGE),
        ("blur(2)", [0.0, 0.0], IMAGE),
        ("rotate(30)", [0.75], rotated(15)),
        ("rotate(180)", [1.0], IMAGE[::-1, ::-1]),
        ("shift(2)", [0.99, 0.25], np.pad(IMAGE, ((2, 0), (0, 1), (0, 0)), mode="edge")[:7, 1:]),
        ("cutout(3)", [0.5, 0.99], squared_out()),
    ],
)  # fmt: skip
def test_each_does_what_its_formula_says(text, draws, expected):
    found = done(text, *draws)
    assert found.shape == IMAGE.shape
    assert np.abs(found - expected).max() < 2e-6


def test_every_augmentation_is_done_by_a_function():
    assert {*augment.AUGMENTED, augmentations.Zoom} == set(augmentations.AUGMENTATIONS.values())


def zoomed(text, size, *draws, image=IMAGE):
    return augment.zoomed(made(text), image, Size(*size), np.array(draws))


def test_zoom_takes_a_share_of_the_area():
    """A quarter of an image of 12x8 is one of 6x4, cut where the numbers say; in the form of the input."""
    image = np.random.default_rng(1).random((12, 8, 3)).astype(np.float32)
    assert np.array_equal(zoomed("zoom(0.25, 0.25)", (6, 4), 0.5, 0.5, 0.5, 1.0, image=image), image[3:9, 4:])
    whole = zoomed("zoom(1.0)", (6, 4), 0.5, 0.5, 0.5, 0.5, image=image)
    planes = [
        np.asarray(Image.fromarray(image[..., k]).resize((4, 6), Image.Resampling.BILINEAR)) for k in range(3)
    ]
    assert np.allclose(whole, np.stack(planes, 2))
    halves = image.reshape(6, 2, 4, 2, 3).mean((1, 3))
    assert np.abs(whole - halves).mean() < np.abs(image[::2, ::2] - halves).mean() / 2  # antialiased


@pytest.mark.parametrize("channels", [1, 3])
def test_zoom_of_8_bits_is_that_of_floats_rounded(channels):
    bits = np.random.default_rng(1).integers(0, 256, (40, 30, channels), np.uint8)
    for image in (bits, bits[:, ::-1]):
        draws = 0.4, 0.7, 0.2, 0.6
        small, exact = (
            zoomed("zoom(0.2, 0.9, 1.5)", (9, 11), *draws, image=i) for i in (image, image.astype(float))
        )
        assert small.dtype == np.uint8
        assert small.shape == (9, 11, channels)
        assert np.abs(small - exact).max() < 1.01  # of 255: rows and columns are rounded one after the other


def test_zoom_changes_the_form():
    """Four times the form: half as high and twice as wide, which the image is not."""
    image = np.broadcast_to(np.arange(8.0)[:, None, None], (8, 8, 1)).astype(np.float32)
    wide = zoomed("zoom(0.25, 0.25, 4.0)", (4, 4), 0.0, 1.0, 0.0, 0.0, image=image)
    assert np.ptp(wide[:, 0, 0]) < 2  # two rows of it
    high = zoomed("zoom(0.25, 0.25, 4.0)", (4, 4), 0.0, 0.0, 0.0, 0.0, image=image)
    assert np.ptp(high[:, 0, 0]) > 5  # all of its rows


AUGMENTS = "[zoom(0.3, aspect = 1.3), rotate(20, chance = 0.5), brightness(0.3), contrasts(0.5), saturation(0.5), hue(0.1), blur(1, 0.5), cutout(3)]"
NETWORK = """
network n { image: input(8x8x3); out: dense(3); learn: cross_entropy() }
train { data = frames("images.npz", normalize = none, augment = AUGMENTS); batch = 5; steps = 4; update = sgd(0.01); seed = 4 }
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(2).random((12, 10, 11, 3)).astype(np.float32)
    np.savez("images.npz", images=images, labels=np.arange(12) % 3)
    return tmp_path


def plan_with(augments, **changes):
    text = NETWORK.replace("AUGMENTS", augments)
    for old, new in changes.items():
        text = text.replace(*new) if isinstance(new, tuple) else text.replace(old, new)
    with open("n.lnet", "w") as file:
        file.write(text)
    return lnet.compile("n.lnet")


def test_a_sample_is_the_same_in_every_batch(folder):
    run = lnet.train(plan_with(AUGMENTS), directory="run")
    data = run.images()
    together = data.batch(0, 12).images
    apart = np.concatenate([data.batch(first, 1).images for first in range(12)])
    assert np.array_equal(together, apart)
    assert together.min() == 0 or together.min() > 0
    assert together.max() <= 1
    assert not np.array_equal(together, data.batch(12, 12).images)


def test_evaluation_sees_images_as_they_are(folder):
    plain, changed = (
        lnet.train(plan_with(text), directory=name) for name, text in (("a", "[]"), ("b", AUGMENTS))
    )
    central = [run.images().at(range(12)).images for run in (plain, changed)]
    assert np.array_equal(*central)
    trained = [run.images().batch(0, 12).images for run in (plain, changed)]
    assert np.abs(trained[0] - trained[1]).mean() > 0.05


def test_a_chance_is_how_often_it_happens(folder):
    data = lnet.train(plan_with("[brightness(1, chance = 0.3)]"), directory="run").images()
    plain = lnet.train(plan_with("[]"), directory="plain").images()
    same = [np.array_equal(data.batch(k, 1).images, plain.batch(k, 1).images) for k in range(400)]
    assert 0.62 < np.mean(same) < 0.78


def test_resumed_runs_see_the_same(folder):
    plan = plan_with(AUGMENTS)
    whole = lnet.train(plan, directory="whole").network().params
    lnet.train(plan, directory="part", steps=2)
    resumed = lnet.resume("part", steps=4).network().params
    assert all(np.array_equal(resumed[name], value) for name, value in whole.items())


def test_plans_keep_augmentations(folder):
    plan = plan_with(AUGMENTS)
    plan.save("n.plan")
    assert lnet.load_plan("n.plan").graph == plan.graph
    assert plan.graph.training.data.augment[0] == augmentations.Zoom(0.3, aspect=1.3)


def test_the_report_writes_them_as_the_language_does(folder):
    settings = dict(report_settings(lnet.train(plan_with(AUGMENTS), directory="run")))
    assert "augment = [zoom(from = 0.3, to = 1.0, aspect = 1.3, chance = 1.0), rotate(" in settings["data"]


def test_symmetric_is_from_minus_one_to_one():
    images = np.array([[[[0.0]], [[0.25]], [[1.0]]]], np.float32)
    assert normalize(images, "symmetric").ravel().tolist() == [-1, -0.5, 1]


@pytest.mark.parametrize(
    ("augments", "change", "message"),
    [
        ("[saturation(0.5)]", ("8x8x3", "8x8x1"), "'saturation' changes colours, and the input has 1 map"),
        ("[shift(1), zoom(0.5)]", None, "'zoom' takes the place of the random crop, so it comes first"),
        (
            "[zoom(0.5)]",
            ("normalize", "crop = center, normalize"),
            "'zoom' takes the place of the random crop",
        ),
        ("[cutout(9)]", None, "'cutout' makes a square of 9 pixels, larger than the input of 8x8"),
        ("[zoom(0.5, 0.4)]", None, "'from' of 'zoom' must not be above 'to', found 0.5 and 0.4"),
    ],
)
def test_impossible_augmentations_E518(folder, augments, change, message):
    with pytest.raises(lnet.LnetError) as caught:
        plan_with(augments, change=change) if change else plan_with(augments)
    assert [d.code for d in caught.value.diagnostics] == ["E518"]
    assert message in str(caught.value)
