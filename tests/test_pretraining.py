"""The experiment of examples/pretraining, on a few made-up images; and what only the strongest neurons pass on."""

import sys
from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from plugged import no_plugins

import lnet
from lnet.compiler.core.shapes import Sheet
from lnet.compiler.ops import OPS

PRETRAINING = Path(__file__).parents[1] / "examples" / "pretraining"


@pytest.fixture
def pays(monkeypatch):
    """The experiment with fewer rates and fewer images."""
    monkeypatch.syspath_prepend(PRETRAINING)
    import pays

    monkeypatch.setattr(pays, "WAYS", tuple(replace(way, rates=way.rates[:1]) for way in pays.WAYS))
    monkeypatch.setattr(pays, "CHOICE_LABELS", 2)
    monkeypatch.setattr(pays, "HELD", 1)
    with no_plugins():
        yield pays
    del sys.modules["pays"]


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for folder, count in ("train", 4), ("test", 2):
        for kind in "abcdefghij":
            (tmp_path / folder / kind).mkdir(parents=True)
            for number in range(count):
                image = Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8))
                image.save(tmp_path / folder / kind / f"{number}.png")
    return tmp_path


def run(pays, *arguments):
    return CliRunner().invoke(
        pays.main, ["train", "test", "--seeds", "2", "--pace", "0.2", *map(str, arguments)]
    )


@pytest.mark.slow
def test_every_way_is_tried_and_begins_where_it_says(pays, place):
    done = run(pays, "--labels", 3)
    assert done.exit_code == 0, done.output
    text = (place / "pays" / "pays.md").read_text()
    assert done.output.endswith(text)
    rows = [line.split(" | ")[0].strip("| ") for line in text.splitlines()[2:]]
    assert rows == [
        *(way.name for way in pays.WAYS),
        *(f"{way.name}, over random, all tuned" for way in pays.WAYS[2:]),
    ]
    first, kept, tuned, control = (
        lnet.open_run(place / "pays" / name).network().params
        for name in (
            "unlabelled-1",
            "learned-kept-3-labels-1-steps-rate-0.003-seed-1",
            "learned-then-all-tuned-3-labels-1-steps-rate-0.0001-seed-1",
            "random-kept-3-labels-1-steps-rate-0.003-seed-1",
        )
    )
    white = np.load(place / "pays" / "white-1.npz")["V1.white.weight"]
    np.testing.assert_array_equal(first["V1.white.weight"], white)
    for name in "V1.white.weight", "V1.filter.weight":
        np.testing.assert_allclose(kept[name], first[name], rtol=1e-6)  # lengths of 1 are made so again
        assert np.any(tuned[name] != kept[name])
        assert np.any(control[name] != kept[name])
    learned = (place / "pays" / "labelled-3-1.csv").read_text().split()
    held = (place / "pays" / "held-1.csv").read_text().split()
    assert (len(learned), len(held)) == (31, 11)
    assert set(learned) & set(held) == {"path,label"}
    before = {path: path.stat().st_mtime_ns for path in place.glob("pays/*/events.jsonl")}
    assert run(pays, "--labels", 3).exit_code == 0  # all is there: nothing is trained again
    assert before == {path: path.stat().st_mtime_ns for path in place.glob("pays/*/events.jsonl")}


def test_too_few_images_are_refused(pays, place):
    done = run(pays, "--labels", 4)
    assert done.exit_code == 1, done.output
    assert "Error: 'train/a' has fewer than 4 + 1 images\n" in done.output.replace("\\", "/")


def test_white_patches_have_no_correlations(pays):
    rng = np.random.default_rng(0)
    turned = np.linalg.qr(rng.normal(size=(108, 108)))[0]
    mixed = rng.normal(size=(4000, 108)) * np.linspace(2, 9, 108) @ turned + rng.normal(size=108)
    weights = pays.whitening(mixed).reshape(108, 108)
    correlations = np.cov(mixed @ weights, rowvar=False)
    without_mean = np.eye(108) - 1 / 108
    np.testing.assert_allclose(correlations, without_mean, atol=0.02)


@pytest.mark.parametrize(("count", "expected"), [(1, [0, 0, -5, 0]), (2, [0, 3, -5, 0]), (4, [1, 3, -5, 2])])
def test_the_strongest_neurons_pass_on_what_they_respond(pays, count, expected):
    lnet.load_plugin(PRETRAINING / "winners.py")
    x = jnp.array([1.0, 3.0, -5.0, 2.0])[None, None, :, None]
    layer = OPS["winners"](reads_sheet=Sheet(1, 1, 4), count=count)
    assert layer.value(x).ravel().tolist() == expected
