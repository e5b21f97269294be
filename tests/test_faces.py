"""The experiments of examples/faces, on a few made-up images: what is left out, what goes on, what the tables say."""

import csv
import json
import subprocess
import sys
import tarfile
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


def run(place, program, *arguments):
    command = [sys.executable, FACES / program, *arguments]
    done = subprocess.run([*map(str, command)], cwd=place, capture_output=True, text=True, timeout=500)
    return done.returncode, done.stdout, done.stderr


def experiment(place, *arguments):
    return run(place, "experiment.py", "images", "--index", "index.csv", "--set", "test", *arguments)


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
    first = lnet.open_run(place / "out/first-stage-of-none-0").network().params
    above = lnet.open_run(place / "out/none-sought-0").network().params
    for name in first:
        np.testing.assert_array_equal(above[name], first[name])
    table = (place / "out" / "tables.md").read_text()
    assert out.endswith(table)
    assert "### test: 4 face, 6 distractor" in table
    names = [line.split(" | ")[0].strip("| ") for line in table.splitlines() if line.startswith("| ")]
    for name in ("trained", "first stage", "k-means", "random weights, mean of 5", "no normalisation"):
        assert name in names, name
    assert names.count("autoencoder, 3 layers") == 3
    assert "averaged over the sheet" in names
    assert names[-4:] == ["all images", "sought ones rare", "none sought", "as many others left out"]
    before = sorted((path, path.stat().st_mtime_ns) for path in (place / "out").glob("*/probes/*.json"))
    assert experiment(place, "--seeds", 1, "-o", "out")[0] == 0  # all is there: nothing is made again
    assert before == sorted(
        (path, path.stat().st_mtime_ns) for path in (place / "out").glob("*/probes/*.json")
    )


@pytest.mark.slow
def test_the_controls_of_another_network(place):
    status, out, errors = experiment(
        place, "--network", "averaged", "--sought", "scene", "--seeds", 1, "--steps", 1, "-o", "averaged"
    )
    assert status == 0, errors
    runs = sorted(path.name for path in (place / "averaged").iterdir() if path.is_dir())
    assert runs == ["all-images-0", "as-many-others-left-out-0", "none-sought-0", "sought-ones-rare-0"]
    assert len((place / "averaged" / "none-0.txt").read_text().split()) == 35
    run = lnet.open_run(place / "averaged" / "all-images-0")
    assert run.network().params["V1.filter.weight"].shape[:2] == (1, 1)
    for name in ("random weights, mean of 5", "as many others left out"):
        assert f"| {name} | " in out


def test_an_index_that_names_nothing_is_refused(place):
    status, _, errors = experiment(place, "--sought", "dog", "-o", "none")
    assert status == 1
    assert errors == "Error: no row of 'index.csv' has 'dog' in 'kind'\n"
    status, _, errors = experiment(place, "--column", "what", "-o", "none")
    assert errors == "Error: 'index.csv' has no column 'what'\n"


def test_a_folder_of_another_experiment_is_refused(place):
    (place / "kept").mkdir()
    kept = {"network": "model", "column": "kind", "sought": "face"}
    (place / "kept" / "experiment.json").write_text(json.dumps(kept))
    status, _, errors = experiment(place, "--network", "averaged", "--sought", "scene", "-o", "kept")
    assert status == 1
    assert errors == (
        "Error: 'kept' holds an experiment with network 'model', sought 'face': choose another folder with -o\n"
    )


@pytest.mark.slow
def test_labels_on_top(place):
    with tarfile.open(place / "part.tar", "w") as archive:
        archive.add(place / "images", "part")
    with open(place / "kinds.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("name", "kind", "source"))
        kinds = ("scene", "face", "cat", "body")
        table.writerows((f"part/{n}.png", kinds[n % 4], f"photo {n // 4}@{n}") for n in range(40))
    plan = lnet.compile(FACES / "model.lnet")
    begun = lnet.train(plan, place / "images", 1, directory=place / "begun")
    arguments = ("labels.py", "*.tar", "--index", "kinds.csv", "--run", "begun", "--labels", 2, "--steps", 2)
    status, out, errors = run(place, *arguments, "-o", "labels")
    assert status == 0, errors
    lines = (place / "labels" / "labels.md").read_text().splitlines()
    assert lines[0] == "| 2 labels of each of 4 kinds | top-1 of images of other sources |"
    assert len(lines) == 6
    assert out.endswith("\n".join(lines) + "\n")
    sources = {}
    for half, count in (("2", 8), ("held-out", 20)):
        with tarfile.open(place / "labels" / f"{half}-0.tar") as archive:
            names = [name.split("/") for name in archive.getnames()]
        assert {kind for kind, _ in names} == set(kinds)
        assert all(kinds[int(name.removesuffix(".png")) % 4] == kind for kind, name in names)
        sources[half] = {int(name.removesuffix(".png")) // 4 for _, name in names}
        assert len(names) == count
    assert not sources["2"] & sources["held-out"]
    frozen, tuned = (
        lnet.open_run(place / "labels" / f"learned-without-labels-{how}-2-0").network().params
        for how in ("frozen", "all-tuned")
    )
    learned = begun.network().params
    shared = sorted(set(learned) & set(frozen))
    assert shared == sorted(set(frozen) - {"kind.weight", "kind.bias"})
    for name in shared:
        np.testing.assert_array_equal(frozen[name], learned[name])
        assert np.any(tuned[name] != frozen[name]), name


def test_labels_need_the_images_that_the_index_names(place):
    (place / "run").mkdir()
    status, _, errors = run(
        place, "labels.py", "none*.tar", "--index", "index.csv", "--run", "run", "-o", "no"
    )
    assert status == 1
    assert errors == "Error: 'none*.tar' has no '0.png', which the index names\n"
