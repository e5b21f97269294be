"""The experiment of examples/faces, on a few made-up images: what is left out, what goes on, what the tables say."""

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lnet

FACES = Path(__file__).parents[1] / "examples" / "faces"


def write(folder, count, seed):
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for number in range(count):
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(folder / f"{number}.png")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Forty images to learn from, five of them faces, and a labelled set."""
    place = tmp_path_factory.mktemp("faces")
    write(place / "images", 40, 0)
    with open(place / "index.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("name", "kind"))
        table.writerows((f"{number}.png", "face" if number % 8 == 3 else "scene") for number in range(40))
    write(place / "test" / "face", 4, 1)
    write(place / "test" / "distractor", 6, 2)
    return place


def experiment(place, *arguments):
    command = [sys.executable, FACES / "experiment.py", "images", "--index", "index.csv", "--set", "test"]
    done = subprocess.run(
        [*map(str, (*command, *arguments))], cwd=place, capture_output=True, text=True, timeout=500
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
def test_the_experiment_and_its_controls(place):
    status, out, errors = experiment(place, "--seeds", 1, "--steps", 1, "-o", "out")
    assert status == 0, errors
    left_out = {
        arm: (place / "out" / f"{arm}-0.txt").read_text().split() for arm in ("all", "rare", "none", "others")
    }
    assert [len(names) for names in left_out.values()] == [0, 4, 5, 5]
    assert set(left_out["rare"]) < set(left_out["none"]) == {f"{number}.png" for number in range(3, 40, 8)}
    assert not set(left_out["others"]) & set(left_out["none"])
    assert lnet.open_run(place / "out/none-sought-0").samples(1).images.shape == (1, 64, 64, 3)
    table = (place / "out" / "tables.md").read_text()
    assert out.endswith(table)
    assert "### test: 4 face, 6 distractor" in table
    names = [line.split(" | ")[0].strip("| ") for line in table.splitlines() if line.startswith("| ")]
    for name in ("trained", "first stage", "k-means", "random weights, mean of 5", "no normalisation"):
        assert name in names, name
    assert names.count("autoencoder, 3 layers") == 3
    assert names[-4:] == ["all images", "sought ones rare", "none sought", "as many others left out"]
    before = sorted((path, path.stat().st_mtime_ns) for path in (place / "out").glob("*/probes/*.json"))
    assert experiment(place, "--seeds", 1, "-o", "out")[0] == 0  # all is there: nothing is made again
    assert before == sorted(
        (path, path.stat().st_mtime_ns) for path in (place / "out").glob("*/probes/*.json")
    )


def test_an_index_that_names_nothing_is_refused(place):
    status, _, errors = experiment(place, "--sought", "dog", "-o", "none")
    assert status == 1
    assert errors == "Error: no row of 'index.csv' has 'dog' in 'kind'\n"
    status, _, errors = experiment(place, "--column", "what", "-o", "none")
    assert errors == "Error: 'index.csv' has no column 'what'\n"
