"""The page about a run, in a real browser."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from html import escape

import jax
import numpy as np
import pytest
from chromium import needs_browser, open_page
from markupsafe import Markup
from PIL import Image
from small_run import empty

import lnet
from lnet.runtime.analysis.filters import filter_image, flat, mosaic, orientation, oriented_fraction
from lnet.runtime.analysis.history import Validations, history_of
from lnet.runtime.analysis.reconstruction import reconstructions
from lnet.runtime.analysis.report import write_report
from lnet.runtime.analysis.report.curves import accuracy_curves, loss_curves, marked, style
from lnet.runtime.analysis.report.filters import first_filters
from lnet.runtime.analysis.report.sections import SECTIONS, Section
from lnet.runtime.analysis.report.settings import settings
from lnet.runtime.process import given_back
from lnet.runtime.store.events import Validated

TEXT = """stage sense(maps) { filter: local(3, maps); pool: l2pool(2); norm: lcn(3); learn: rica(sparsity = 0.1) }
network eyes { image: input(12x12x3); V1: sense(3); V2: sense(2); both: concat([V2, V2.pool]); q: l1(weight = 0.01) }
train { data = frames("images <&>"); batch = 6; steps = 40; update = adam(rate = 0.02) }
"""


HEADINGS = ["Network", "Losses", "First-layer filters", "Reconstructions", "Throughput", "Configuration"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    (folder / "images <&>").mkdir()
    rng = np.random.default_rng(0)
    for number in range(4):
        pixels = rng.integers(0, 255, (4, 4, 3), dtype=np.uint8).repeat(5, 0).repeat(5, 1)
        Image.fromarray(pixels).save(folder / "images <&>" / f"{number}.png")
    (folder / "eyes.lnet").write_text(TEXT)
    return lnet.train(lnet.compile(folder / "eyes.lnet"), directory=folder / "run")


REPORT_ON_ITSELF = """
document.body.dataset.seen = JSON.stringify({
  pictures: [...document.images].map(i => i.complete && i.naturalWidth > 0),
  overflow: document.documentElement.scrollWidth > document.documentElement.clientWidth,
  headings: [...document.querySelectorAll('h2')].map(h => h.textContent),
  curves: document.querySelectorAll('.curve svg path').length,
  drawn: [...document.querySelectorAll('.diagram .name')].map(t => t.textContent),
  height: document.querySelector('.diagram').getBoundingClientRect().height,
  contents: [...document.querySelectorAll('nav a')].map(a => document.querySelector(a.getAttribute('href')).textContent),
  requests: performance.getEntriesByType('resource').map(r => r.name).filter(n => !n.startsWith('data:')),
});
"""


def seen_in(dom):
    return json.loads(re.search(r'data-seen="([^"]*)"', dom)[1].replace("&quot;", '"'))


@needs_browser
def test_the_page_in_a_browser(run):
    page = write_report(run)
    seen = seen_in(open_page(page, REPORT_ON_ITSELF))
    assert seen["contents"] == seen["headings"]
    assert seen["headings"] == HEADINGS
    assert len(seen["pictures"]) == 3 + 2 * 8
    assert all(seen["pictures"])
    assert not seen["overflow"]
    assert seen["curves"] > 4
    assert seen["drawn"] == ["image", "filter", "pool", "norm", "filter", "pool", "norm", "both"]
    assert seen["height"] > 100
    assert seen["requests"] == []


@needs_browser
@pytest.mark.parametrize("width", [400, 1920])
def test_the_page_is_no_wider_than_its_window(run, width):
    """No window of Chromium's is 400 pixels wide, so the page is put into a part of one that is."""
    script = f"""
        document.documentElement.style.overflow = 'hidden';
        Object.assign(document.body.style, {{ width: '{width}px', overflowX: 'auto' }});
        document.body.dataset.seen = JSON.stringify([document.body.clientWidth, document.body.scrollWidth]);
    """
    shown, needed = seen_in(open_page(write_report(run), script, max(width, 500)))
    assert shown == min(width, 1120)
    assert needed == shown


COLOURS = """
const colour = (node, name) => getComputedStyle(node)[name];
document.body.dataset.seen = JSON.stringify({
  page: colour(document.body, 'backgroundColor'),
  ink: colour(document.body, 'color'),
  texts: [...new Set([...document.querySelectorAll('.curve svg text')].map(node => colour(node, 'fill')))],
  ticks: [...new Set([...document.querySelectorAll('.curve svg use')].map(node => colour(node, 'stroke')))],
  grounds: [...document.querySelectorAll('.curve svg #patch_1 path')].map(node => colour(node, 'fill')),
});
"""


@needs_browser
@pytest.mark.parametrize("dark", [False, True])
def test_plots_have_the_colours_of_the_page(run, dark):
    seen = seen_in(open_page(write_report(run), COLOURS, dark=dark))
    assert (seen["page"] == "rgb(255, 255, 255)") != dark
    assert seen["texts"] == [seen["ink"]]
    assert seen["ticks"] == [seen["ink"]]
    assert set(seen["grounds"]) == {"none"}


def test_when_and_how_it_was_made(run):
    text = write_report(run).read_text()
    begun = run.events()[0].time
    assert f"begun {datetime.fromtimestamp(begun, UTC):%Y-%m-%d %H:%M} UTC, trained for " in text
    assert escape(run.info["command"], quote=True).replace("&#x27;", "&#39;") in text
    assert f"lnet {lnet.__version__}, jax " in text


def test_settings_are_in_the_words_of_the_language(run):
    rows = dict(settings(run))
    assert rows["update"] == (
        "adam(rate = 0.02, schedule = constant, stale = full, b1 = 0.9, b2 = 0.999, eps = 1e-08, rise = 0)"
    )
    assert rows["data"] == (
        'frames(path = "images <&>", size = 12x12, crop = random, flip = true, normalize = image, labels = none, '
        "exclude = none, classes = none, augment = none, views = 1)"
    )
    assert rows["staleness"] == "none"
    page = write_report(run).read_text()
    assert not re.findall(r"<td>[^<]*(?:None|True|False)\b", page)


@pytest.mark.parametrize(
    ("layer", "said", "shown"),
    [
        (
            "local(3, 2)",
            "10x10 positions, each with filters of its own, drawn where they stand. All are shown.",
            2,
        ),
        (
            "local(3, 9, share = all)",
            "10x10 positions, which share their filters. Shown: maps 0 to 7 of 9.",
            8,
        ),
        ("local(3, 1, share = tile(2))", "10x10 positions, which share 2x2 sets of filters in turn. All", 1),
        (
            "local(12, 3)",
            "1x1 positions, each with filters of its own, drawn where they stand. All are shown.",
            3,
        ),
    ],
)
def test_the_caption_says_which_filters_are_shown(layer, said, shown):
    found = first_filters(*network_of(f"network n {{ a: input(12x12x3); f: {layer}; q: l1() }}"))
    assert said in found["caption"]
    assert len(found["pictures"]) == shown


def test_of_many_positions_evenly_spaced_ones_are_shown():
    found = first_filters(*network_of("network n { a: input(140x12x2); f: local(3x3, 1); q: l1() }"))
    assert (
        "130x10 of 138x10 positions, evenly spaced; of 2 channels the strongest of each filter"
        in found["caption"]
    )


def network_of(text):
    plan = lnet.compile(lnet.parse(text))
    return plan.graph, lnet.Network(plan).params


def test_the_page_needs_nothing_else(run):
    text = write_report(run).read_text()
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", text)
    assert not re.findall(r"@import|url\((?!#|data:)", text)


def test_what_a_user_wrote_is_text(run):
    text = write_report(run).read_text()
    assert "images <&>" not in text
    assert "images &lt;&amp;&gt;" in text


def test_a_run_that_has_only_begun(run, tmp_path):
    lnet.train(run.plan, steps=1, data=np.zeros((6, 12, 12, 3), np.float32), directory=tmp_path / "a")
    begun = lnet.open_run(tmp_path / "a")
    for path in begun.checkpoints.files().values():
        shutil.rmtree(path)
    (tmp_path / "a" / "events.jsonl").write_text("")
    text = write_report(begun).read_text()
    assert "No step has been taken yet." in text
    assert "There is no trained network to show" in text


def test_images_that_are_not_there(run, tmp_path):
    array = np.zeros((6, 12, 12, 3), np.float32)
    begun = lnet.train(run.plan, steps=1, data=array, directory=tmp_path / "a")
    text = write_report(begun).read_text()
    assert "There are no images to reconstruct: the run was trained on an array" in text


@needs_browser
def test_the_picture_of_a_plan_in_a_browser(run, tmp_path):
    from lnet.compiler.plan.picture import to_svg

    plan = lnet.compile(run.plan.source_name, workers=4)
    page = tmp_path / "plan.html"
    page.write_text(f"<body>{to_svg(plan)}</body>")
    count = "document.body.dataset.seen = [...document.querySelectorAll('.owned')].filter(r => r.getBoundingClientRect().width > 0).length"
    dom = open_page(page, count)
    assert int(re.search(r'data-seen="(\d+)"', dom)[1]) == 4 * len(plan.graph.layers)


# --- what the page shows ---------------------------------------------------------------------------------


def grating(angle, size=11, cycles=2.5):
    rows, columns = np.mgrid[:size, :size] / size
    return np.cos(2 * np.pi * cycles * (np.sin(angle) * rows + np.cos(angle) * columns))


def test_gratings_are_oriented_whatever_their_angle():
    filters = np.stack([grating(a) for a in np.linspace(0, np.pi, 12)])[..., None]
    assert orientation(filters).min() > 0.8
    assert oriented_fraction(filters)[0] == 1


def test_blobs_and_noise_are_not_oriented():
    rows, columns = np.mgrid[-5:6, -5:6]
    blob = np.exp(-(rows**2 + columns**2) / 6.0)[None, ..., None]
    noise = np.random.default_rng(7).normal(size=(1000, 11, 11, 1))
    assert oriented_fraction(blob)[0] == 0
    assert oriented_fraction(noise)[0] < 0.03


def test_a_dead_filter_is_not_oriented():
    assert oriented_fraction(np.zeros((3, 5, 5, 2)))[0] == 0


def test_filters_stand_in_their_positions():
    weight = np.zeros((2, 3, 4, 5, 1, 2))
    weight[1, 2, 0, 0, 0, 1] = 3.0
    weight[1, 2, 3, 4, 0, 1] = -1.5
    page = mosaic(weight, 1)
    assert page.shape == (2 * 5 + 1, 3 * 6 + 1, 3)
    np.testing.assert_allclose(page[6, 13], 1.0)
    np.testing.assert_allclose(page[9, 17], 0.25)
    np.testing.assert_allclose(page[1, 1], 0.5)
    assert (mosaic(weight, 0)[6, 13] == 0.5).all()
    assert flat(weight).shape == (12, 4, 5, 1)


def test_of_many_positions_some_are_shown():
    assert mosaic(np.zeros((50, 3, 2, 2, 3, 1)), 0, most=10).shape == (10 * 3 + 1, 3 * 3 + 1, 3)


def test_more_than_three_channels_show_the_strongest():
    filters = np.zeros((1, 2, 2, 5))
    filters[0, 0, 0, 4] = -2
    filters[0, 1, 1, 2] = 1
    assert filter_image(filters)[0, 0, 0].tolist() == [0, 0, 0]


def test_reconstructions_and_their_errors(run):
    images = run.samples(20).images
    network = run.network()
    found = reconstructions(network, images)
    assert [(r.objective, r.of) for r in found] == [("V1.learn", "image"), ("V2.learn", "V1.norm")]
    np.testing.assert_array_equal(found[0].target, images[:8])
    assert found[0].value.shape == images[:8].shape
    centred = images - images.mean(0)
    value = network.everything(images)["V1.learn.decode"]
    np.testing.assert_allclose(found[0].value, value[:8], atol=1e-5)
    assert found[0].error == pytest.approx(((value - images) ** 2).sum() / (centred**2).sum(), rel=1e-4)
    assert found[0].error < reconstructions(lnet.Network(run.plan), images)[0].error
    assert reconstructions(network, np.repeat(images[:1], 9, 0))[0].error == np.inf


def test_a_run_without_a_whole_checkpoint_shows_no_filters(run, tmp_path):
    """Filters as the seed has them would be taken for learned ones."""
    copy = tmp_path / "run"
    shutil.copytree(run.directory, copy)
    for path in lnet.open_run(copy).checkpoints.files().values():
        empty(path)
    page = write_report(lnet.open_run(copy)).read_text()
    assert "There is no trained network to show: no checkpoint of" in page
    assert "There is no trained network to reconstruct with." in page
    assert "filters of map" not in page


MEASURED = """
import sys
from memory import own_peak
from lnet.cli import main
main(["report", sys.argv[1]], standalone_mode=False)
print(own_peak(), sorted({"llvmlite", "dask", "distributed", "networkx", "optax"} & sys.modules.keys()))
"""


def test_a_report_takes_less_than_150_megabytes_of_its_own(run, tmp_path):
    """The first, which compiles, and the next, as a user has them. Pages of libraries, of which the system keeps as many as
    it likes, come to that: 160 and 130 MB where this was measured, so less than 300 MB in all.
    """
    command = [sys.executable, "-c", MEASURED, str(run.directory)]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "LNET_CACHE": str(tmp_path / "cache")}
    env.pop("XLA_FLAGS", None)
    for _ in range(2):
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
        mebibytes, loaded = done.stdout.splitlines()[-1].split(maxsplit=1)
        assert float(mebibytes) * 2**20 < 150e6
        assert loaded == "[]"


def test_a_program_that_writes_a_report_keeps_what_it_has_compiled(run, monkeypatch):
    monkeypatch.setattr(
        given_back, "_computes_once", False
    )  # a command that was tested here said that it does
    monkeypatch.setattr(jax, "clear_caches", None)
    assert write_report(run).exists()


def test_a_network_without_decoders_is_not_compiled_for_its_report(tmp_path, monkeypatch):
    text = "network n { image: input(4x4x3); f: local(3, 2); q: l1() } train { steps = 1; batch = 2 }"
    begun = lnet.train(lnet.compile(lnet.parse(text)), np.zeros((4, 4, 4, 3)), directory=tmp_path / "a")
    monkeypatch.setattr("lnet.runtime.analysis.report.reconstructions.Network", None)
    assert "No objective compares a decoder with a layer." in write_report(begun).read_text()


# --- a section of one's own ----------------------------------------------------------------------------------


@pytest.fixture
def enter():
    """Enter sections in the one place for as long as a test lasts."""
    before = list(SECTIONS)
    yield SECTIONS.append
    SECTIONS[:] = before


def headings_of(page):
    text = page.read_text()
    return re.findall(r'<a href="#([^"]+)">([^<]+)</a>', text), re.findall(r'<h2 id="([^"]+)">([^<]+)', text)


def test_a_section_that_is_entered_is_in_the_page_and_its_contents(run, enter):
    enter(Section("spikes", "Spikes", lambda material: Markup(f"<b>{material.run.plan.graph.name}</b>")))
    enter(Section("text", "Text", lambda material: "1 < 2"))
    enter(Section("absent", "Absent", lambda material: None))
    page = write_report(run)
    contents, headings = headings_of(page)
    assert contents == headings
    assert headings[-3:] == [("configuration", "Configuration"), ("spikes", "Spikes"), ("text", "Text")]
    assert re.search(r'<h2 id="spikes">Spikes</h2>\s*<b>eyes</b>', page.read_text())
    assert re.search(r'<h2 id="text">Text</h2>\s*1 &lt; 2', page.read_text())


def test_the_contents_are_those_of_the_sections(run):
    contents, headings = headings_of(write_report(run))
    assert contents == headings
    assert [title for _, title in headings] == HEADINGS


def test_a_section_that_makes_no_text_is_refused_by_name(run, enter):
    enter(Section("spikes", "Spikes", lambda material: {"spikes": 3}))
    with pytest.raises(TypeError, match="the section 'spikes' is not text, but dict"):
        write_report(run)


def test_two_sections_with_one_anchor_are_refused_by_name(run, enter):
    enter(Section("losses", "Other losses", lambda material: ""))
    with pytest.raises(ValueError, match="there are 2 sections 'losses'"):
        write_report(run)


def test_a_section_has_an_anchor_that_links_lead_to():
    with pytest.raises(ValueError, match="the section 'Spikes' has 'My Spikes' as an anchor"):
        Section("My Spikes", "Spikes", lambda material: "")


VALIDATED = """network n { image: input(4x1x1); t: target(1); k: dense(3, of = image); learn: cross_entropy(); y: dense(1, of = image)
    fit: mean_squared_error(y, target = t); small: weight_l2(k) }
train { data = arrays("seen.npz", labels = "k", targets = "t"); validation = arrays("unseen.npz"); validate_every = 2
    keep_best = loss; steps = 8; batch = 5; update = sgd(0.05) }
"""


@pytest.fixture(scope="module")
def validated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("validated")
    rng = np.random.default_rng(0)
    for name, count in (("seen", 20), ("unseen", 9)):
        arrays = {"x": rng.normal(size=(count, 4)), "k": np.arange(count) % 3, "t": rng.normal(size=count)}
        np.savez(folder / f"{name}.npz", **arrays)
    (folder / "n.lnet").write_text(VALIDATED)
    return lnet.train(lnet.compile(folder / "n.lnet"), directory=folder / "run")


def labels_in(svg):
    return [text for text in re.findall(r"<text[^>]*>([^<]*)</text>", svg) if re.search("[a-z]", text)]


def test_curves_of_validations_stand_beside_those_of_training(validated):
    history = history_of(validated.events())
    losses = ["learn", "fit", "small", "learn, validation", "fit, validation"]
    assert labels_in(loss_curves(history)) == ["step", "loss", *losses]
    named = ["learn top-1", "learn top-1, validation"]
    assert labels_in(accuracy_curves(history)) == ["step", "share of the images", *named]
    np.testing.assert_array_equal(history.validations.at, [2, 4, 6, 8])
    alone = replace(history, validations=Validations())
    for shown, marks in ((history, 4 + 1), (alone, 0)):  # of four validations, and in the legend
        found = re.findall(r'<use [^>]*style="fill: (#1f77b4|#ff7f0e)', loss_curves(shown))
        assert [found.count(colour) for colour in ("#1f77b4", "#ff7f0e")] == [marks, marks]


def test_many_validations_have_marks_apart_up_to_the_last():
    for count in (1, 40, 41, 1000):
        first, every = marked(style(0), count)["markevery"]
        marks = range(first, count, every)
        assert marks[-1] == count - 1
        assert min(count, 20) <= len(marks) <= 40


def test_the_page_says_what_validations_found(validated):
    page = write_report(validated).read_text()
    found = [event for event in validated.events() if isinstance(event, Validated)]
    newest, best = found[-1], [event for event in found if event.best][-1]
    assert f"last validation, on 9 images: step 8, loss {newest.loss:.4g}, learn top-1 " in page
    assert f"parameters kept in &#39;best&#39;: step {best.step}, loss {best.loss:.4g}" in page
    rows = dict(re.findall(r"<tr><td>(learn|fit|small)</td>(.*?)</tr>", page, re.S))
    last = {name: re.findall(r'"figure">([^<]*)<', row)[2] for name, row in rows.items()}
    shown = {name: f"{value:.4g}" for name, value in newest.objectives.items()}
    assert last == {**shown, "small": "-"}


def test_a_page_without_validations_does_not_speak_of_them(run):
    assert "validation" not in write_report(run).read_text().split('id="losses"')[1].split("<h2")[0]
