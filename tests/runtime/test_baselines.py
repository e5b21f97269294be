"""What a trained network must beat, each against its definition; and how choosy its neurons are."""

import json
import sys

import numpy as np
import pytest
from probed import furnish, look, pictures, row, set_by_hand, write

import lnet
from lnet.runtime.analysis.probe import probe_text, save_probe
from lnet.runtime.analysis.probe.result import read_probe
from lnet.runtime.analysis.probe.specificity import lifetime_sparseness, scrambled
from lnet.runtime.store.checkpoint import Checkpoint
from lnet.runtime.store.run import create_run


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return furnish(tmp_path_factory.mktemp("probe"))


@pytest.fixture(scope="module")
def run(place):
    return set_by_hand(place)


def test_baselines_stand_in_the_same_table(run, place):
    found = lnet.probe(run, place / "set", compare={"again": run}, templates=20)
    assert [(r.name, r.layer, r.neurons) for r in found.rows] == [
        ("trained", "V2.filter", 32),
        ("first stage", "V1.filter", 108),
        ("guess", "", 1),
        ("brightness", "", 1),
        ("contrast", "", 1),
        ("linear filter, raw pixels", "", 20),
        ("linear filter, normalised", "", 20),
        ("k-means", "", 20),
        ("random weights, mean of 5", "V1.filter", 108),
        ("random weights, best of 5", "V1.filter", 540),
        ("random weights, mean of 5", "V2.filter", 32),
        ("random weights, best of 5", "V2.filter", 160),
        ("again", "V1.filter", 108),
        ("again", "V2.filter", 32),
    ]
    assert row(found, "again", "V2.filter").above == row(found, "trained", "V2.filter").above
    assert len(lnet.probe(run, place / "set", baselines=False).rows) == 2


def test_a_result_of_0_1_told_untrained_networks_by_their_names_alone(run, place):
    found = lnet.probe(run, place / "set")
    assert [r.untrained for r in found.rows if r.untrained] == ["mean", "best", "mean", "best"]
    path = save_probe(run, found, "set")
    data = json.loads(path.read_text())
    for each in data["rows"]:
        del each["untrained"]
    path.write_text(json.dumps(data))
    assert read_probe(path) == found


def test_a_guess_is_the_more_frequent_class(run, place):
    for label in ("face", "distractor"):
        guess = row(lnet.probe(run, place / "set", label), "guess")
        assert guess.above.flattering.figures.accuracy == 0.6
        assert guess.above.honest.figures.accuracy == pytest.approx(0.6)
        assert guess.below is None


def test_brightness_and_contrast(run, tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(100, 110, (40, 8, 8), dtype=np.uint8)
    images[:15] += 40
    images[15:25, ::2] += 80
    for name, sought in (("brightness", slice(0, 25)), ("contrast", slice(15, 25))):
        positive = np.zeros(40, bool)
        positive[sought] = True
        folder = write(tmp_path / name, images, positive)
        assert row(lnet.probe(run, folder), name).above.flattering.figures.accuracy == 1


def test_untrained_networks_are_those_of_five_seeds(run, place):
    found = lnet.probe(run, place / "set")
    singles = []
    for seed in range(5):
        plan = lnet.compile(place / "eyes.lnet", set={"train.seed": seed})
        untrained = create_run(place / f"untrained-{seed}", plan, run.info["data"], {})
        untrained.checkpoints.save(Checkpoint(0, lnet.Network(plan).params.arrays, {}))
        singles.append(row(lnet.probe(untrained, place / "set", baselines=False), "trained", "V2.filter"))
    mean, best = (row(found, f"random weights, {how} of 5", "V2.filter") for how in ("mean", "best"))
    accuracies = [single.above.flattering.figures.accuracy for single in singles]
    assert mean.above.flattering.figures.accuracy == pytest.approx(np.mean(accuracies))
    assert best.above.flattering.figures.accuracy == max(accuracies)
    honest = max(singles, key=lambda single: single.above.honest.chosen).above.honest
    assert best.above.honest == honest
    assert mean.above.honest.figures.accuracy == pytest.approx(
        np.mean([single.above.honest.figures.accuracy for single in singles])
    )


def test_a_template_is_a_cosine_with_a_training_image(run, place):
    found = row(lnet.probe(run, place / "set", templates=12), "linear filter, raw pixels")
    patches = run.images(normalize="none").batch(0, 12)
    images, positive = pictures()
    flat, vectors = images.reshape(100, -1) / 255, patches.images.reshape(12, -1)
    cosines = flat @ vectors.T / np.linalg.norm(flat, axis=1)[:, None] / np.linalg.norm(vectors, axis=1)
    cosines = cosines.astype(np.float32)
    low, high = cosines.min(0), cosines.max(0)
    accuracy = np.array(
        [((cosines > low + k / 21 * (high - low)) == positive[:, None]).mean(0) for k in range(1, 21)]
    )
    assert found.above.flattering.figures.accuracy == pytest.approx(accuracy.max(), abs=0.011)
    best = np.flatnonzero(accuracy.max(0) >= accuracy.max() - 0.011)
    assert found.above.flattering.neuron in {patches.names[k] for k in best}


def test_templates_go_through_the_networks_own_normalisation(place):
    from lnet.runtime.analysis.probe.baselines import first_read

    (place / "retina.lnet").write_text(
        "network n { image: input(8x8x1); retina: lcn(3); f: local(3, 2); g: local(3, 2) }"
    )
    assert first_read(lnet.compile(place / "retina.lnet").graph) == "retina"
    assert first_read(lnet.compile(place / "eyes.lnet").graph) == "image"


def test_centroids_are_where_images_are():
    from lnet.runtime.analysis.probe.baselines import centroids_of

    rng = np.random.default_rng(0)
    places = np.array([[0, 0, 9], [0, 9, 0], [9, 0, 0]], np.float32)
    batches = (
        places[rng.integers(0, 3, 60)] + rng.normal(0, 0.1, (60, 3)).astype(np.float32) for _ in range(5)
    )
    found = centroids_of(batches, 3, 1)
    distance = np.linalg.norm(found[:, None] - places, axis=2)
    assert set(distance.argmin(1)) == {0, 1, 2}
    assert distance.min(1).max() < 0.1


def test_without_scikit_learn_a_row_says_so(run, place, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.cluster", None)
    empty = row(lnet.probe(run, place / "set"), "k-means")
    assert empty.above is None
    assert "pip install 'lnetc[probe]'" in empty.note


def test_without_training_images_rows_say_so(run, place):
    plan = lnet.compile(place / "eyes.lnet")
    alone = create_run(
        place / "alone",
        plan,
        {"base": str(place / "gone"), "images": 0, "in_memory": False, "classes": None},
        {},
    )
    alone.checkpoints.save(Checkpoint(1, run.network().params.arrays, {}))
    found = lnet.probe(alone, place / "set")
    for name in ("linear filter, raw pixels", "linear filter, normalised", "k-means"):
        assert row(found, name).note == "there is no file or folder 'train'"
    assert "there is no file or folder 'train'" in probe_text(found)
    moved = lnet.probe(alone, place / "set", data=place / "train", templates=10)
    assert row(moved, "linear filter, raw pixels").neurons == 10
    with pytest.raises(lnet.LnetError, match="E701: there is no file or folder"):
        lnet.probe(alone, place / "set", data=place / "nowhere")


# --- specificity -----------------------------------------------------------------------------------------


def test_scrambled_phases_leave_the_spectrum():
    images = np.random.default_rng(0).random((3, 9, 8, 3)).astype(np.float32)
    found = scrambled(images, 1)
    np.testing.assert_allclose(
        np.abs(np.fft.fft2(found, axes=(1, 2))), np.abs(np.fft.fft2(images, axes=(1, 2))), atol=1e-4
    )
    np.testing.assert_allclose(found.mean((1, 2)), images.mean((1, 2)), rtol=1e-5)
    assert np.abs(found - images).mean() > 0.1
    assert np.abs(found - scrambled(images, 2)).mean() > 0.1


def test_scrambled_phases_do_not_depend_on_the_batch():
    images = np.random.default_rng(0).random((6, 9, 8, 3)).astype(np.float32)
    in_halves = np.concatenate([scrambled(images[:3], 1), scrambled(images[3:], 1)])
    np.testing.assert_array_equal(scrambled(images, 1), in_halves)
    noise = [
        np.fft.fft2(scrambled(i[None], 1)[0], axes=(0, 1)) / np.fft.fft2(i, axes=(0, 1)) for i in images[:2]
    ]
    assert np.abs(noise[0] - noise[1]).mean() > 0.1


def test_a_detector_of_one_pixel_does_not_care_for_scrambled_images(run, place):
    """It answers the mean brightness, which is neither what positives nor what negatives have there."""
    first = row(look(run, place / "set"), "first stage")
    images, positive = pictures()
    unit = images[:, 3, 4] / 255
    shown = scrambled((images[positive] / np.float32(255))[..., None], 0)
    answers = shown[:, 3, 4, 0].mean()
    one, zero = unit[positive].mean(), unit[~positive].mean()
    assert first.scrambled == pytest.approx((answers - zero) / (one - zero), rel=1e-3)
    assert first.scrambled < 0.9


def test_lifetime_sparseness(run, place):
    responses = np.array([[0, 0, 0, 5.0], [1, 1, -1, 1], [0, 0, 0, 0]])
    found = lifetime_sparseness(np.abs(responses).sum(1), (responses**2).sum(1), 4)
    np.testing.assert_allclose(found, [1, 0, np.nan])
    first = row(look(run, place / "set"), "first stage")
    values = run.network()(pictures()[0][..., None] / np.float32(255))["V1.filter"][:, 2, 3, 1].astype(float)
    expected = lifetime_sparseness(np.abs(values).sum(), (values**2).sum(), 100)
    assert sum(first.sparseness) == 1
    assert first.sparseness.index(1) == int(expected * len(first.sparseness))
