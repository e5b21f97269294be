"""The neuron test on networks whose best neuron is known, because its weights were set by hand."""

import html
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from chromium import needs_browser, open_page
from commands import lnetc
from PIL import Image
from probed import furnish, look, pictures, row, set_by_hand, write

import lnet
from lnet.compiler.pipeline import compile_text
from lnet.runtime.analysis.probe import free_name, read_probes, save_probe
from lnet.runtime.analysis.probe.subjects import probed_layers
from lnet.runtime.analysis.report import write_report
from lnet.runtime.store.checkpoint import Checkpoint
from lnet.runtime.store.run import create_run


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return furnish(tmp_path_factory.mktemp("probe"))


@pytest.fixture(scope="module")
def run(place):
    return set_by_hand(place)


def refused(message, *arguments, **options):
    with pytest.raises(lnet.LnetError, match=message):
        lnet.probe(*arguments, **options)


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
    run = create_run(
        place / "random", plan, {"base": str(place), "images": 20, "in_memory": False, "classes": None}, {}
    )
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
import jax.numpy as jnp, numpy as np
from lnet.runtime.analysis.probe.labelled import LabelledSet
from lnet.runtime.analysis.probe.evaluate import Gallery
from lnet.runtime.analysis.probe.testing import Trial
from tests.memory import peak

class Units:
    sheet = None
    def respond(self, images):
        return {"units": jnp.asarray(images[:, 0, 0, 0]) * jnp.linspace(-1, 1, 4000)[:, None]}
    def name(self, group, unit):
        return str(unit)

class Images:
    def __init__(self, images):
        self.gallery = Gallery(images)
    def evaluate(self, subject, statistic):
        result = None
        for first in range(0, COUNT, 100):
            numbers = np.arange(first, first + 100)
            found = statistic.map(subject.respond((numbers / COUNT).astype(np.float32).reshape(-1, 1, 1, 1)), numbers)
            result = found if result is None else statistic.merge(result, found)
        return result

for COUNT in (200, 10_000):
    sources = np.arange(COUNT)
    images = LabelledSet("", None, "", "", sources, sources % 10 > 6, sources, (), sources)
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
    lnetc("probe", "run", "set", "--no-baselines")
    assert set(read_probes(run)) == {"set"}
    lnetc("probe", "run", "set", "--label", "distractor", "--against", "face", "--no-baselines")
    assert {name: kept.label for name, kept in read_probes(run).items()} == {
        "set": "face",
        "set-2": "distractor",
    }
    (place / "run" / "probes" / "set-2.json").unlink()


def test_a_damaged_result(run, place):
    found = look(run, place / "set")
    (run.directory / "probes").mkdir(exist_ok=True)
    damaged = run.directory / "probes" / "set.json"
    damaged.write_text("{")
    assert free_name(run, found) == "set"
    assert save_probe(run, found, "set") == damaged
    assert free_name(run, found) == "set"
    assert free_name(run, replace(found, label="distractor")) == "set-2"
    damaged.unlink()
    save_probe(run, look(run, place / "set"), "bad")
    path = run.directory / "probes" / "bad.json"
    path.write_text(path.read_text()[:100])
    with pytest.raises(lnet.LnetError, match=r"E774: '.*bad\.json' is not a result of a probe"):
        read_probes(run)
    page = write_report(run).read_text()
    assert "bad.json&#39; is not a result of a probe; " in page
    assert page.count("Responses of the best neurons") == len(list(path.parent.glob("*.json"))) - 1
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
    probed = replace(lnet.probe(run, place / "set", templates=9), against="$x_$")
    save_probe(copy, probed, "<faces>")
    page = write_report(copy)
    dom = open_page(page, SEEN)
    seen = json.loads(html.unescape(re.search(r'data-seen="([^"]*)"', dom)[1]))
    shown = {(cells[0], cells[2]): cells for cells in seen["rows"]}
    assert shown["first stage", "V1.filter[2, 3, 1]"][3] == "90.0"
    assert shown["random weights, mean of 5", "V2.filter"]
    assert len(seen["pictures"]) == 2 + 2
    assert min(seen["pictures"]) > 100
    assert "response of V1.filter[2, 3, 1]" in seen["words"]
    assert {"face", "$x_$", "trained, V2.filter"} <= set(seen["words"])
    assert not seen["overflow"]
    assert "&lt;faces&gt;" in page.read_text()


def test_stages_without_weights_are_no_rows_of_their_own():
    graph = compile_text(
        "stage compete() { norm: lcn(1); above: relu() }\n"
        "stage area() { filter: local(3, 2); one: compete(); back: decode(like = filter); norm: lcn(1, of = one) }\n"
        "network n { image: input(5x5x1); V1: area(); last: compete() }"
    ).graph
    assert probed_layers(graph) == ("V1.norm",)
    assert probed_layers(graph, ["V1.one", "last"]) == ("V1.one.above", "last.above")
