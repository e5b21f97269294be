"""Sheets whose preferences are known: filters that are gratings, classes that differ in one half."""

import shutil
import tracemalloc

import numpy as np
import pytest
from commands import lnetc

import lnet
from lnet.cli.several import runs_first
from lnet.compiler.core.shapes import Size
from lnet.runtime.analysis.gratings import (
    ORIENTATIONS,
    gratings,
    periods,
    position_weights,
    preference_of_filters,
    preference_of_responses,
    tuning,
)
from lnet.runtime.analysis.intervals import intervals
from lnet.runtime.analysis.moments import moments_of
from lnet.runtime.analysis.neighbours import neighbour_similarity, resemblance
from lnet.runtime.analysis.sheet import class_preference
from lnet.runtime.analysis.topography import orientation_field, spectrum
from lnet.runtime.data import Batch
from lnet.runtime.store.checkpoint import Checkpoint

TEXT = """network n { image: input(24x24x3); f: local(9, 2, stride = 5); p: l2pool(1); d: local(3, 1); q: l2(d) }
train { data = frames("set.npz", normalize = none); batch = 2; steps = 1 }
"""
WANTED = np.stack([np.broadcast_to(40.0 * np.arange(4), (4, 4)), 10 + 35.0 * np.indices((4, 4))[0]], -1)
"""The orientation of every filter: across columns in map 0, down rows in map 1."""


def oriented_weights():
    weight = np.zeros((4, 4, 9, 9, 3, 2), np.float32)
    window = np.hanning(11)[1:-1, None] * np.hanning(11)[None, 1:-1]
    for place, angle in np.ndenumerate(WANTED):
        waves = gratings(Size(9, 9), 3, angle, 5.0)[0] - 0.5
        weight[(*place[:2], ..., place[2])] = waves * window[..., None]
    return weight


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sheet")
    rng = np.random.default_rng(0)
    np.savez(folder / "set.npz", images=rng.random((4, 24, 24, 3), np.float32), labels=list("abab"))
    (folder / "n.lnet").write_text(TEXT)
    run = lnet.train(lnet.compile(folder / "n.lnet"), directory=folder / "run")
    params = dict(run.network().params) | {"f.weight": oriented_weights()}
    run.checkpoints.save(Checkpoint(2, params, {}))
    return run


def apart(one, other):
    """Degrees between orientations, which come again after 180."""
    return np.abs((one - other + 90) % 180 - 90)


def test_a_grating_is_named_by_its_bars():
    level, upright = gratings(Size(8, 8), 1, 0, 4), gratings(Size(8, 8), 1, 90, 4)
    np.testing.assert_allclose(level, level[:, :, :1].repeat(8, 2))
    np.testing.assert_allclose(upright, level.swapaxes(1, 2), atol=1e-6)
    rising = gratings(Size(9, 9), 1, 45, 4)[0, :, :, 0]
    np.testing.assert_allclose(np.fliplr(rising).diagonal(), rising[-1, 0], atol=1e-5)
    np.testing.assert_allclose(gratings(Size(8, 8), 3, 30, 5).mean(0), 0.5, atol=1e-6)


def test_periods_go_to_half_the_image():
    np.testing.assert_allclose(periods(Size(32, 64)), [4, 4 * 2**0.5, 8, 8 * 2**0.5, 16])
    assert periods(Size(5, 5)).tolist() == [4]


def test_filters_prefer_what_they_look_like():
    found = preference_of_filters(oriented_weights())
    assert apart(found.orientation, WANTED).max() < 3
    assert (found.selectivity > 0.6).all()
    assert (found.selectivity <= 1).all()


def test_neurons_prefer_the_gratings_that_their_filters_look_like(run):
    for layer in ("f", "p"):
        found = preference_of_responses(tuning(run.network(), layer, "none"))
        assert apart(found.orientation, WANTED).max() < 5
        assert (found.selectivity > 0.4).all()


def test_one_orientation_alone_is_full_selectivity_and_all_alike_none():
    tuned = np.zeros((len(ORIENTATIONS), 2, 1, 3, 1))
    tuned[4, 1, 0, 0] = 2
    tuned[:, 0, 0, 1] = 3
    found = preference_of_responses(tuned)
    assert found.orientation[0, 0, 0] == pytest.approx(ORIENTATIONS[4])
    np.testing.assert_allclose(found.selectivity[0, :, 0], [1, 0, 0], atol=1e-9)


def test_shared_weights_stand_at_every_position_that_uses_them():
    text = "network n { image: input(9x8x1); f: local(3, 2, share = tile(2x3)); p: l2pool(2); q: l2(p) }"
    net = lnet.Network(lnet.compile(lnet.parse(text)))
    weights = position_weights(net, "f")
    assert weights.shape == (7, 6, 3, 3, 1, 2)
    np.testing.assert_array_equal(weights[5, 4], net.params["f.weight"][1, 1])
    assert position_weights(net, "p") is None


# --- neighbours ------------------------------------------------------------------------------------------


def test_neighbours_against_a_loop():
    vectors = np.random.default_rng(0).normal(size=(3, 4, 5, 2))
    vectors[1, 2, :, 0] = 0
    cosines = []
    for i, j, m in np.ndindex(3, 4, 2):
        for a, b in ((i + 1, j), (i, j + 1)):
            if a < 3 and b < 4:
                one, other = vectors[i, j, :, m], vectors[a, b, :, m]
                if one.any() and other.any():
                    cosines.append(one @ other / np.linalg.norm(one) / np.linalg.norm(other))
    assert neighbour_similarity(vectors)[0] == pytest.approx(np.mean(cosines))


def test_a_smooth_sheet_and_a_random_one():
    angle = np.linspace(0, np.pi, 20)[:, None] + np.zeros((20, 20))
    smooth = np.stack([np.cos(angle), np.sin(angle)], -1)[..., None]
    neighbours, random = neighbour_similarity(smooth)
    assert neighbours == pytest.approx((1 + np.cos(np.pi / 19)) / 2)
    assert random < 0.7
    noise = neighbour_similarity(np.random.default_rng(0).normal(size=(20, 20, 50, 3)))
    np.testing.assert_allclose(noise, 0, atol=0.02)


def test_without_weights_tuning_is_compared():
    tuned = np.random.default_rng(0).random((12, 3, 4, 5, 2)) + 100  # a level in common is no resemblance
    found = resemblance(None, tuned, seed=0)
    assert found.of == "correlation of tuning"
    assert abs(found.neighbours) < 0.1
    assert resemblance(None, tuned[:, :, :1, :1], seed=0) is None
    dead = resemblance(None, np.zeros((12, 3, 2, 2, 1)), seed=0)
    assert (dead.neighbours, dead.random) == (0, 0)


# --- classes ---------------------------------------------------------------------------------------------


def test_preferred_classes_against_the_whole_set(run):
    net = run.network()
    rng = np.random.default_rng(1)
    images, labels = rng.normal(size=(23, 24, 24, 3)).astype(np.float32), rng.integers(0, 3, 23)
    batches = [
        Batch(images[i : i + 6], labels[i : i + 6].astype(np.int32), ("",) * 6) for i in range(0, 23, 6)
    ]
    found = class_preference(net, "p", batches, ("a", "b", "c"))
    values = net(images)["p"].astype(np.float64)
    means = np.stack([values[labels == c].mean(0) for c in range(3)], -1)
    np.testing.assert_allclose(found.means, means, rtol=1e-4)
    np.testing.assert_array_equal(found.preferred, means.argmax(-1))
    expected = (means.max(-1) - values.mean(0)) / values.std(0)
    np.testing.assert_allclose(found.strength, expected, rtol=1e-3, atol=1e-4)
    assert sum(found.shares.values()) == pytest.approx(1)
    moments = found.moments
    for c in range(3):
        inside, rest = values[labels == c], values[labels != c]
        spread = np.sqrt((inside.var(0) + rest.var(0)) / 2)
        np.testing.assert_allclose(found.dprime[..., c], (inside.mean(0) - rest.mean(0)) / spread, rtol=1e-3)
    assert found.selective == {name: (found.dprime[..., c] >= 0.85).mean() for c, name in enumerate("abc")}
    np.testing.assert_allclose(moments.energy.activation, np.abs(values).mean(0), rtol=1e-5)
    assert moments.energy.transmission is None
    eigenvalues = np.linalg.eigvalsh(np.cov(values.reshape(23, -1).T, bias=True))
    assert moments.participation_ratio == pytest.approx(
        eigenvalues.sum() ** 2 / (eigenvalues**2).sum(), rel=1e-4
    )


def test_moments_keep_their_digits_far_from_zero(run):
    """Responses with a large level in common: variances are those of the differences."""
    net = run.network()
    images = 1e4 + np.random.default_rng(3).normal(size=(12, 24, 24, 3))
    values = net(images)["f"].astype(np.float64)
    batches = [Batch(images[i : i + 5], None, ("",) * 5) for i in range(0, 12, 5)]
    found = moments_of(net, "f", batches)
    np.testing.assert_allclose(found.variance, values.var(0), rtol=1e-6)


def test_memory_does_not_grow_with_images(run):
    """Of 100 batches hardly more is held than of 10: less than one byte for each response."""
    net, rng = run.network(), np.random.default_rng(0)

    def held(count):
        def batches():
            for _ in range(count):
                yield Batch(
                    rng.random((8, 24, 24, 3), np.float32), np.arange(8, dtype=np.int32) % 3, ("",) * 8
                )

        tracemalloc.start()
        moments_of(net, "image", batches(), 3)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    held(2)
    few, many = held(10), held(100)
    assert many - few < 90 * 8 * 24 * 24 * 3, (few, many)


def test_classes_without_images_have_no_dprime(run):
    images = np.random.default_rng(4).normal(size=(6, 24, 24, 3)).astype(np.float32)
    batch = Batch(images, np.array([0, 2, 2, 0, 2, 2], np.int32), ("",) * 6)
    found = class_preference(run.network(), "p", [batch], ("a", "b", "c"))
    assert np.isnan(found.dprime[..., 1]).all()
    assert np.isfinite(found.dprime[..., [0, 2]]).all()
    assert found.selective["b"] == 0


def test_what_is_kept(run):
    data = run.directory.parent / "set.npz"
    view = lnet.sheet_view(run, "f", data)
    assert view.by == "filters"
    with np.load(view.record.files["npz"], allow_pickle=False) as file:
        np.testing.assert_allclose(file["orientation"], view.preference.orientation, rtol=1e-6)
        assert file["class_means"].shape == (4, 4, 2, 2)
        assert file["classes"].tolist() == ["a", "b"]
    before = {name: path.read_bytes() for name, path in view.record.files.items()}
    again = lnet.sheet_view(run, "f", data)
    pictures = ("orientation.png", "arrangement.png", "classes.png", "dprime.png", "energy.png")
    assert [again.record.files[name].read_bytes() for name in pictures] == [before[name] for name in pictures]
    deeper = lnet.sheet_view(run, "d")
    assert (deeper.by, deeper.classes) == ("responses to gratings", None)
    assert deeper.resemblance.of == "cosine of weights"


def test_untrained_networks_stand_beside(run):
    view = lnet.sheet_view(run, "p", run.directory.parent / "set.npz", untrained=3)
    assert {name: len(shares) for name, shares in view.untrained.items()} == {"a": 3, "b": 3}
    assert view.record.figures["untrained"] == {name: list(shares) for name, shares in view.untrained.items()}
    said = lnetc("sheet", run.directory, "p", run.directory.parent / "set.npz", "--untrained", 2).output
    assert "class   preferred   selective" in said
    assert "(participation ratio)" in said
    assert (
        "name one behind the layer" in lnetc("sheet", run.directory, "p", "--untrained", 2, status=2).output
    )


def test_over_seeds_every_figure_has_an_interval(run):
    """Three runs whose first filters are noise, and only noise: the interval is Student's."""
    folder, data = run.directory.parent, run.directory.parent / "set.npz"
    for number in range(3):
        shutil.copytree(run.directory, folder / f"seed-{number}")
        noise = np.random.default_rng(number).normal(size=(4, 4, 9, 9, 3, 2)).astype(np.float32)
        other = lnet.open_run(folder / f"seed-{number}")
        params = dict(other.network().params) | {"f.weight": noise}
        other.checkpoints.save(Checkpoint(3, params, {}))
    places = [folder / f"seed-{number}" for number in range(3)]
    found = lnet.sheet_over_seeds([lnet.open_run(place) for place in places], "f", data, untrained=2)
    alone = [lnet.sheet_view(lnet.open_run(place), "f", data).record.figures for place in places]
    for name, figure in (
        ("selectivity", lambda f: f["selectivity"]),
        ("selective.a", lambda f: f["selective"]["a"]),
        ("costs.transmission", lambda f: f["costs"]["transmission"]),
        ("arrangement.roughness", lambda f: f["arrangement"]["roughness"]),
    ):
        values = np.array([figure(each) for each in alone])
        interval = found.figures[name]
        assert interval.values == pytest.approx(values)
        half = 4.302653 * values.std(ddof=1) / 3**0.5
        assert (interval.low, interval.high) == pytest.approx((values.mean() - half, values.mean() + half))
    assert found.untrained["a"].values == pytest.approx(
        lnet.sheet_view(lnet.open_run(places[2]), "f", data, untrained=2).untrained["a"]
    )
    assert "wrap" not in found.figures
    said = lnetc("sheet", *places, "f", data, "--untrained", 2)
    assert "f: 3 runs; intervals over their seeds" in said.output
    assert set(found.record.files) == {"selective.png", "npz"}
    assert "E784" in lnetc("sheet", places[0], places[0], "f", status=1).stderr
    assert "'fi' is no run" in lnetc("sheet", places[0], "fi", "f", data, status=2).stderr
    assert "there is no layer behind" in lnetc("sheet", *places, status=2).stderr


def test_runs_with_their_best_parameters_are_runs_too(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name / "best").mkdir(parents=True)
        (tmp_path / name / "run.json").touch()
    runs = [tmp_path / "a", tmp_path / "a/best", tmp_path / "b"]
    assert runs_first([*map(str, runs), "best", "set"]) == (runs, ["best", "set"])


def test_a_single_run_has_no_interval():
    lone = intervals([{"one": 2.0, "flag": True, "none": None, "deep": {"x": 1}}])
    assert {name: (each.mean, each.low) for name, each in lone.items()} == {
        "one": (2.0, None),
        "deep.x": (1.0, None),
    }


def test_the_arrangement_of_known_filters(run):
    """Orientation is linear across the sheet: no pinwheels; every orientation is met within some units."""
    found = lnet.sheet_view(run, "f").arrangement
    assert (found.sheets, found.wrap, found.pinwheels) == (2, False, 0)
    assert found.roughness < 0.9


def test_the_arrays_of_an_arrangement_are_kept(run):
    view = lnet.sheet_view(run, "f")
    with np.load(view.record.files["npz"], allow_pickle=False) as file:
        assert not file["pinwheels"].any()
        assert file["pinwheels"].shape == (3, 3, 2)
        assert file["entropy"].shape == (1, 2)
        level = spectrum(
            orientation_field(view.preference.orientation[..., 1], view.preference.selectivity[..., 1])
        )
        np.testing.assert_allclose(file["spectrum_power"][:, 1], level.power, rtol=1e-5)
        np.testing.assert_allclose(file["spectrum_frequency"], level.frequency, rtol=1e-6)
        assert np.nanmean(file["cluster_radius"]) == pytest.approx(view.arrangement.cluster_radius)
