"""The neuron test on networks whose best neuron is known, because its weights were set by hand."""

import html
import json
import re
import shutil
import subprocess
import sys
import tarfile

import numpy as np
import pytest
from chromium import needs_browser, open_page
from click.testing import CliRunner
from PIL import Image

import lnet
from lnet.cli import main
from lnet.runtime.analysis.probe import probe_text, read_probes, save_probe
from lnet.runtime.analysis.probe.specificity import lifetime_sparseness, scrambled
from lnet.runtime.analysis.report import write_report
from lnet.runtime.checkpoint import Checkpoint
from lnet.runtime.run import create_run

TEXT = """stage sense(maps) { filter: local(3, maps) }
network eyes { image: input(8x8x1); V1: sense(3); V2: sense(2) }
train { data = frames("train", normalize = none, crop = center, flip = false); batch = 30 }
"""
POSITIVES, NEGATIVES = 40, 60
BRIGHT = 36, 6
"""Positives and negatives whose pixel (3, 4) is bright: held against it, 36 + 54 of 100 are told rightly."""


def pictures():
    """Return noise `[n, 8, 8]` of which one pixel says more than all others, and which are positives."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (POSITIVES + NEGATIVES, 8, 8), dtype=np.uint8)
    positive = np.arange(len(images)) < POSITIVES
    images[:, 3, 4] = rng.integers(0, 60, len(images))
    bright = np.r_[: BRIGHT[0], POSITIVES : POSITIVES + BRIGHT[1]]
    images[bright, 3, 4] = rng.integers(200, 256, len(bright))
    return images, positive


def write(folder, images, positive, names=("face", "distractor")):
    for name in names:
        (folder / name).mkdir(parents=True)
    for number, (pixels, sought) in enumerate(zip(images, positive, strict=True)):
        Image.fromarray(pixels).save(folder / names[0 if sought else 1] / f"{number:03}.png")
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("probe")
    images, positive = pictures()
    write(folder / "set", images, positive)
    write(folder / "train", images[:20], positive[:20])
    with tarfile.open(folder / "faces.tar", "w") as archive:
        archive.add(folder / "set", ".")
    (folder / "eyes.lnet").write_text(TEXT)
    return folder


@pytest.fixture(scope="module")
def run(place):
    """V1 passes pixel (3, 4) on as neuron [2, 3, 1], V2 the negative of that as [1, 2, 0]; all else is silent."""
    plan = lnet.compile(place / "eyes.lnet")
    params = {p.name: np.zeros(p.shape, np.float32) for p in plan.graph.parameters}
    params["V1.filter.weight"][2, 3, 1, 1, 0, 1] = 2.0
    params["V2.filter.weight"][1, 2, 1, 1, 1, 0] = -3.0
    data = {"base": str(place), "images": 20, "classes": None, "in_memory": False}
    run = create_run(place / "run", plan, data, {})
    run.checkpoints.save(Checkpoint(12, params, {}))
    return run


def row(probe, name, layer=None):
    (found,) = [r for r in probe.rows if name in (r.name, r.layer) and layer in (None, r.layer)]
    return found


def look(*arguments, **options):
    """Probe the network alone, which is quick."""
    return lnet.probe(*arguments, **options, baselines=False)


def refused(message, *arguments, **options):
    with pytest.raises(lnet.LnetError, match=message):
        lnet.probe(*arguments, **options)


def lnetc(*arguments, status=0):
    result = CliRunner().invoke(main, list(map(str, arguments)))
    assert result.exit_code == status, result.output
    assert "Traceback" not in result.output
    return result


# --- the neuron test -------------------------------------------------------------------------------------


def test_the_neuron_set_by_hand_is_found(run, place):
    found = look(run, place / "set")
    assert [(r.name, r.layer) for r in found.rows] == [("trained", "V2.filter"), ("first stage", "V1.filter")]
    assert (found.label, found.against, found.positives, found.negatives) == ("face", "distractor", 40, 60)
    assert (found.step, found.sources) == (12, 100)
    first = row(found, "V1.filter")
    assert first.neurons == 6 * 6 * 3
    assert first.above.flattering.neuron == "V1.filter[2, 3, 1]"
    assert first.above.flattering.figures.accuracy == pytest.approx(0.9)
    assert first.above.flattering.figures.balanced == pytest.approx((36 / 40 + 54 / 60) / 2)
    second = row(found, "V2.filter")
    assert second.below.flattering.neuron == "V2.filter[1, 2, 0]"
    assert second.below.flattering.figures.accuracy == pytest.approx(0.9)
    assert second.above.flattering.figures.accuracy == pytest.approx(0.6)
    assert second.below.flattering.figures.roc_area == pytest.approx(first.above.flattering.figures.roc_area)


def test_every_accuracy_is_as_by_definition(place):
    """All neurons of a network with random weights, threshold by threshold, with all responses at once."""
    plan = lnet.compile(place / "eyes.lnet", set={"train.seed": 5})
    run = create_run(place / "random", plan, {"base": str(place), "in_memory": False, "classes": None}, {})
    network = lnet.Network(plan)
    run.checkpoints.save(Checkpoint(1, network.params.arrays, {}))
    found = row(look(run, place / "set"), "V2.filter")
    images, positive = pictures()
    values = network(images[..., None] / np.float32(255))["V2.filter"]
    best = np.zeros(values.shape[1:])
    for k in range(1, 21):
        low, high = values.min(0), values.max(0)
        above = values > low + np.float32(k / 21) * (high - low)
        best = np.maximum(best, (above == positive[:, None, None, None]).mean(0))
    assert found.above.flattering.figures.accuracy == pytest.approx(best.max())
    where = np.unravel_index(best.argmax(), best.shape)
    assert found.above.flattering.neuron == "V2.filter[{}, {}, {}]".format(*where)
    assert found.distribution == tuple(np.histogram(best, 200, (0, 1))[0])
    chosen = values[(slice(None), *where)]
    bins = np.histogram(chosen[positive], 40, (chosen.min(), chosen.max()))[0]
    assert found.responses.positives == tuple(bins)


def test_the_honest_figure_is_of_images_that_nothing_was_chosen_on(place, run):
    found = look(run, place / "set", seed=3)
    honest = row(found, "V1.filter").above.honest
    assert honest.neuron == "V1.filter[2, 3, 1]"
    images, positive = pictures()
    from lnet.runtime.analysis.probe.scores import first_half

    names = sorted(("face" if p else "distractor", n) for n, p in enumerate(positive))
    order = np.array([n for _, n in names])
    half = first_half(np.arange(100), positive[order], 3)
    other = order[~half]
    told = 2 * images[other, 3, 4] / 255 > honest.threshold
    assert honest.figures.accuracy == pytest.approx((told == positive[other]).mean())
    assert honest.low.accuracy < honest.figures.accuracy < honest.high.accuracy


def test_an_archive_gives_what_a_folder_gives(run, place):
    one, other = (look(run, place / name) for name in ("set", "faces.tar"))
    assert one.rows == other.rows


def test_what_cannot_be_decoded_is_left_out(run, place, tmp_path):
    images, positive = pictures()
    broken = write(tmp_path / "set", images, positive)
    for name in ("face/000.png", "distractor/099.png"):
        (broken / name).write_bytes(b"no image")
    found = look(run, broken)
    assert (found.positives, found.negatives, found.skipped) == (39, 59, 2)
    figures = row(found, "V1.filter").above.flattering.figures
    assert figures.accuracy == pytest.approx((35 + 53) / 98)


MEMORY = """
import resource, sys
import jax.numpy as jnp, numpy as np
from lnet.runtime.analysis.probe.labelled import LabelledSet
from lnet.runtime.analysis.probe.sweep import Gallery
from lnet.runtime.analysis.probe.testing import Trial

class Units:
    sheet = None
    def respond(self, images):
        return {"units": jnp.asarray(images[:, 0, 0, 0]) * jnp.linspace(-1, 1, 4000)[:, None]}
    def name(self, group, unit):
        return str(unit)

class Images:
    def __init__(self, images):
        self.gallery = Gallery(images)
    def run(self, subject, look):
        result = None
        for first in range(0, COUNT, 100):
            numbers = np.arange(first, first + 100)
            found = look.look(subject.respond((numbers / COUNT).astype(np.float32).reshape(-1, 1, 1, 1)), numbers)
            result = found if result is None else look.join(result, found)
        return result

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

for COUNT in (200, 10_000):
    sources = np.arange(COUNT)
    images = LabelledSet("", None, "", "", sources, sources % 10 > 6, sources)
    Trial(Images(images), sources % 2 == 0, 0).rows(Units())
    print(peak())
"""


def test_memory_does_not_grow_with_images_times_neurons():
    """10,000 images by 4,000 neurons are 160 MB of float32, which nothing ever holds."""
    command = [sys.executable, "-c", MEMORY]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    few, many = map(float, done.stdout.split())
    assert many - few < 60


# --- the set ---------------------------------------------------------------------------------------------


def test_any_label_against_any(run, place, tmp_path):
    images, positive = pictures()
    write(tmp_path, images, positive, ("cat", "dog"))
    write(tmp_path, images[:10], np.ones(10, bool), ("bird", "fish"))
    found = look(run, tmp_path, "cat")
    assert (found.positives, found.negatives, found.against) == (40, 70, "rest")
    found = look(run, tmp_path, "dog", "cat")
    assert (found.positives, found.negatives, found.label, found.against) == (60, 40, "dog", "cat")


def test_of_two_labels_the_rarer_is_sought(run, tmp_path):
    images, positive = pictures()
    found = look(run, write(tmp_path, images, positive, ("cat", "dog")))
    assert (found.label, found.against) == ("cat", "dog")


def test_a_distractor_is_never_sought(run, tmp_path):
    images, positive = pictures()
    found = look(run, write(tmp_path, images, positive, ("distractor", "face")))
    assert (found.label, found.positives) == ("face", 60)


def test_three_labels_need_one_to_be_named(run, tmp_path):
    images, positive = pictures()
    write(tmp_path, images, positive, ("cat", "dog"))
    write(tmp_path, images[:3], np.ones(3, bool), ("bird", "fish"))
    (tmp_path / "fish").rmdir()
    refused("E770: the images in .* have 3 labels", run, tmp_path)
    refused("'bird' \\(3 images\\), 'cat' \\(40 images\\), 'dog' \\(60 images\\)", run, tmp_path)
    refused("E770: no image in .* has the label 'cta'", run, tmp_path, "cta")
    refused("did you mean 'cat'", run, tmp_path, "dog", "cta")
    refused("E770: two labels are needed", run, tmp_path, "dog", "dog")


def test_images_without_labels(run, place, tmp_path):
    refused("E701: there is no file or folder", run, place / "nowhere")
    (tmp_path / "one" / "face").mkdir(parents=True)
    Image.new("L", (8, 8)).save(tmp_path / "one" / "face" / "0.png")
    refused("E770: two labels are needed", run, tmp_path / "one")
    for number in range(3):
        Image.new("L", (8, 8)).save(tmp_path / f"{number}.png")
    refused(r"E707: labels are the names of folders, and '0\.png'", run, tmp_path)


# --- sources ---------------------------------------------------------------------------------------------


def test_sources_from_names(run, place):
    """Ten numbers in a row are one photo."""
    found = look(run, place / "set", sources=[r"/(\d\d)\d"])
    assert found.sources == 10


def test_sources_from_a_table(run, place, tmp_path):
    _, positive = pictures()
    lines = ["file,name,photo"]
    for number, sought in enumerate(positive):
        folder = "face" if sought else "distractor"
        lines.append(f"faces.tar,{folder}/{number:03}.png,person {number // 4}@{number}")
        lines.append(f"other.tar,{folder}/{number:03}.png,nobody")
    table = tmp_path / "sets.csv"
    table.write_text("\n".join(lines))
    arguments = run, place / "faces.tar", "face"
    assert look(*arguments, sources=[f"{table}:photo"]).sources == 100
    assert look(*arguments, sources=[f"{table}:photo", "[^@]*"]).sources == 25
    refused("E771: the table .* has no column 'source'", *arguments, sources=[str(table)])
    refused("E771: the table .* has two sources for", run, place / "set", sources=[f"{table}:photo"])
    short = [line.replace("faces.tar,face/", "").replace("faces.tar,distractor/", "") for line in lines[1::2]]
    table.write_text("\n".join(["file,photo", *short]))
    assert look(*arguments, sources=[f"{table}:photo"]).sources == 100
    table.write_text("\n".join(lines[:-2]))
    refused("E771: the table .* lacks 1 of 100 images", *arguments, sources=[f"{table}:photo"])
    table.write_text("")
    refused("E771: the table .* is empty", *arguments, sources=[str(table)])
    refused("E771: the table 'none.csv' cannot be read", *arguments, sources=["none.csv"])
    refused("E771: '\\(' is no regular expression", *arguments, sources=["("])
    refused("E771: 'zz' matches nothing in 'distractor/040", *arguments, sources=["zz"])


def test_halves_need_sources(run, place):
    refused(
        "E772: halves need two sources of images with 'face' at least",
        run,
        place / "set",
        sources=["^[a-z]+"],
    )


# --- baselines -------------------------------------------------------------------------------------------


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
    assert distance.min(1).max() < 4


def test_without_scikit_learn_a_row_says_so(run, place, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.cluster", None)
    empty = row(lnet.probe(run, place / "set"), "k-means")
    assert empty.above is None
    assert "pip install 'lnet[probe]'" in empty.note


def test_without_training_images_rows_say_so(run, place):
    plan = lnet.compile(place / "eyes.lnet")
    alone = create_run(place / "alone", plan, {"base": str(place / "gone"), "in_memory": False}, {})
    alone.checkpoints.save(Checkpoint(1, run.network().params.arrays, {}))
    found = lnet.probe(alone, place / "set")
    for name in ("linear filter, raw pixels", "linear filter, normalised", "k-means"):
        assert row(found, name).note == "there is no file or folder 'train'"
    assert "there is no file or folder 'train'" in probe_text(found)
    moved = lnet.probe(alone, place / "set", data=place / "train", templates=10)
    assert row(moved, "linear filter, raw pixels").neurons == 10
    refused("E701: there is no file or folder", alone, place / "set", data=place / "nowhere")


# --- specificity -----------------------------------------------------------------------------------------


def test_scrambled_phases_leave_the_spectrum():
    images = np.random.default_rng(0).random((3, 9, 8, 3)).astype(np.float32)
    found = scrambled(images, 1)
    np.testing.assert_allclose(
        np.abs(np.fft.fft2(found, axes=(1, 2))), np.abs(np.fft.fft2(images, axes=(1, 2))), atol=1e-4
    )
    np.testing.assert_allclose(found.mean((1, 2)), images.mean((1, 2)), rtol=1e-5)
    assert np.abs(found - images).mean() > 0.1
    assert np.abs(found[0] - scrambled(images[::-1], 1)[0]).mean() > 0.1


def test_a_detector_of_one_pixel_does_not_care_for_scrambled_images(run, place):
    """It answers the mean brightness, which is neither what positives nor what negatives have there."""
    first = row(look(run, place / "set"), "first stage")
    images, positive = pictures()
    unit = images[:, 3, 4] / 255
    order = np.array([n for _, n in sorted((0 if not p else 1, n) for n, p in enumerate(positive))])
    batches = [order[k : k + 30] for k in range(0, 100, 30)]
    shown = [scrambled((images[b] / np.float32(255))[..., None], 0) for b in batches[:-1]]
    padded = np.pad((images[batches[-1]] / np.float32(255))[..., None], ((0, 20), (0, 0), (0, 0), (0, 0)))
    shown.append(scrambled(padded, 0)[:10])
    answers = np.concatenate(shown)[:, 3, 4, 0][positive[order]].mean()
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


# --- what else can be wrong ------------------------------------------------------------------------------


def test_a_network_that_diverged(run, place):
    params = dict(run.network().params)
    params["V1.filter.weight"] = np.full_like(params["V1.filter.weight"], np.nan)
    broken = create_run(place / "broken", run.plan, run.info["data"], {})
    broken.checkpoints.save(Checkpoint(3, params, {}))
    refused("E773: 'V1.filter' has responses that are not finite", broken, place / "set")


def test_layers_and_steps_that_are_not_there(run, place):
    named = look(run, place / "set", layers=["V2", "image"])
    assert [r.layer for r in named.rows] == ["image", "V2.filter", "V1.filter"]
    refused("E720: there is no layer 'V9'", run, place / "set", layers=["V9"])
    refused("E741: the run .* has no checkpoint at step 5", run, place / "set", step=5)


# --- the command and what it keeps -----------------------------------------------------------------------


def test_the_command(run, place, monkeypatch):
    monkeypatch.chdir(place)
    shown = lnetc("probe", "run", "set").stdout
    assert "set: 40 face and 60 distractor from 100 sources" in shown
    assert "V1.filter[2, 3, 1]" in shown
    data = json.loads(lnetc("probe", "run", "set", "--json").stdout)
    assert data["rows"][1]["above"]["flattering"]["figures"]["accuracy"] == pytest.approx(0.9)
    kept = read_probes(run)
    assert kept["set"] == lnet.probe("run", "set")
    assert (place / "run" / "probes" / "set.json").is_file()
    assert "E770" in lnetc("probe", "run", "set", "--label", "dog", status=1).stderr


def test_a_damaged_result(run, place):
    save_probe(run, look(run, place / "set"), "bad")
    path = run.directory / "probes" / "bad.json"
    path.write_text(path.read_text()[:100])
    with pytest.raises(lnet.LnetError, match=r"E774: '.*bad\.json' is no result of a probe"):
        read_probes(run)
    path.unlink()


SEEN = """
document.body.dataset.seen = JSON.stringify({
  rows: [...document.querySelectorAll('.probe tr')].map(r => [...r.children].map(c => c.textContent)),
  pictures: [...document.querySelectorAll('.curve svg')].map(s => s.getBoundingClientRect().height),
  words: [...document.querySelectorAll('.curve svg text')].map(t => t.textContent),
  overflow: document.documentElement.scrollWidth > document.documentElement.clientWidth,
});
"""


@needs_browser
def test_a_report_shows_what_was_found(run, place, tmp_path):
    shutil.copytree(run.directory, tmp_path / "run", ignore=shutil.ignore_patterns("probes"))
    copy = lnet.open_run(tmp_path / "run")
    save_probe(copy, lnet.probe(run, place / "set", templates=9), "<faces>")
    page = write_report(copy)
    dom = open_page(page, SEEN)
    seen = json.loads(html.unescape(re.search(r'data-seen="([^"]*)"', dom)[1]))
    shown = {(cells[0], cells[2]): cells for cells in seen["rows"]}
    assert shown["first stage", "V1.filter[2, 3, 1]"][3] == "90.0"
    assert shown["random weights, mean of 5", "V2.filter"]
    assert len(seen["pictures"]) == 3
    assert min(seen["pictures"]) > 100
    assert "response of V1.filter[2, 3, 1]" in seen["words"]
    assert {"face", "distractor", "trained, V2.filter"} <= set(seen["words"])
    assert not seen["overflow"]
    assert "&lt;faces&gt;" in page.read_text()
