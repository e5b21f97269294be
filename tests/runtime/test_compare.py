"""`lnetc compare`: groups of runs that differ only in their seed, in a table and on a page."""

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from chromium import needs_browser, open_page
from commands import lnetc
from small_run import furnish, plan_of

import lnet
from lnet.runtime.analysis.compare.curves import band
from lnet.runtime.analysis.compare.groups import FIGURES, compare
from lnet.runtime.store.summary import summary, unlike

LOSS = re.compile(r'"(loss|V1.learn|V2.learn)": ([0-9.e+-]+)')


def copied(run, place, factor, seed, rate):
    """The run as if it had had another seed and rate, and losses so many times as large."""
    shutil.copytree(run, place)
    data = json.loads((place / "plan.json").read_text())
    data["plan"]["graph"]["training"]["seed"] = seed
    data["plan"]["graph"]["training"]["update"]["rate"] = rate
    (place / "plan.json").write_text(json.dumps(data))
    text = (place / "events.jsonl").read_text()
    (place / "events.jsonl").write_text(LOSS.sub(lambda m: f'"{m[1]}": {factor * float(m[2])}', text))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Five runs: three seeds of one rate, two of another."""
    folder = furnish(tmp_path_factory.mktemp("made"))
    plan = plan_of(folder, steps=12, batch=2, validation='frames("images")', validate_every=4)
    run = lnet.train(plan, directory=folder / "run").directory
    for seed, factor in ((1, 1.0), (2, 1.2), (3, 1.7)):
        copied(run, folder / "runs" / f"low-{seed}", factor, seed, 0.001)
    for seed, factor in ((1, 0.5), (2, 0.6)):
        copied(run, folder / "runs" / f"high-{seed}", factor, seed, 0.01)
    return folder / "runs"


@pytest.fixture
def there(runs, monkeypatch):
    monkeypatch.chdir(runs.parent)
    return runs


def test_runs_that_differ_only_in_their_seed_are_one_group(there):
    found = compare([summary(path) for path in sorted(there.iterdir())])
    assert found.differing == ("update.rate",)
    assert [(group.name, group.seeds, group.settings) for group in found.groups] == [
        ("A", "1, 2", {"update.rate": "0.01"}),
        ("B", "1, 2, 3", {"update.rate": "0.001"}),
    ]
    assert [figure.heading for figure in found.figures] == ["loss", "val. loss"]
    losses = [run.trained.loss for run in found.groups[1].runs]
    spread = found.groups[1].spread(lambda run: run.trained.loss)
    assert spread.mean == pytest.approx(np.mean(losses))
    assert spread.deviation == pytest.approx(np.std(losses, ddof=1))
    assert losses[2] == pytest.approx(1.7 * losses[0])


def test_the_table_in_a_terminal(there):
    said = lnetc("compare", "runs").output.splitlines()
    assert said[0].split() == ["group", "update.rate", "seeds", "step", "loss", "val.", "loss"]
    assert said[2].split()[:6] == ["A", "0.01", "1,", "2", "12/12", said[2].split()[5]]
    assert "±" in said[3]
    assert said[-2:] == ["A: runs/high-1, runs/high-2", "B: runs/low-1, runs/low-2, runs/low-3"]
    (one,) = json.loads(lnetc("compare", "runs/low-1", "runs/low-2", "--json").output)
    assert (one["settings"], one["figures"]["accuracy"]) == ({}, None)
    assert one["figures"]["loss"]["count"] == 2


def test_a_run_whose_settings_changed_is_a_group_of_its_own(there, tmp_path):
    shutil.copytree(there, tmp_path / "runs")
    path = tmp_path / "runs" / "low-3" / "run.json"
    info = json.loads(path.read_text())
    info["changes"] = [{"step": 8, "settings": {"batch": ["4", "2"]}}]
    path.write_text(json.dumps(info))
    said = lnetc("compare", tmp_path / "runs" / "low-2", path.parent).output
    assert "batch at step 8" in said
    assert len(compare([summary(run) for run in (path.parent, tmp_path / "runs" / "low-2")]).groups) == 2


def test_a_group_says_how_many_of_its_runs_have_a_finite_figure(there, tmp_path):
    """A run that diverged takes no part in the mean, and one that was killed at once has no loss."""
    runs = tmp_path / "runs"
    shutil.copytree(there, runs)
    for name in ("low-3", "high-1", "high-2"):
        log = runs / name / "events.jsonl"
        log.write_text(re.sub(r'"loss": [0-9.]+', '"loss": NaN', log.read_text()))
    high, low = compare([summary(path) for path in sorted(runs.iterdir())]).groups
    loss, validated = FIGURES[0], FIGURES[2]
    losses = [run.trained.loss for run in low.runs[:2]]
    assert loss.cell(low) == f"{np.mean(losses):,.4g} ± {np.std(losses, ddof=1):,.2g} (2 of 3)"
    assert loss.cell(high) == "nan (0 of 2)"
    (runs / "low-2" / "events.jsonl").write_text("")
    (low,) = compare([summary(runs / f"low-{number}") for number in (1, 2)]).groups
    assert validated.cell(low) == f"{low.runs[0].validated.loss:,.4g} (1 of 2)"


def test_parts_of_a_setting_differ_only_between_runs_that_have_it():
    found = [
        {"update": "adam", "update.b1": "0.9", "update.rate": "1", "validation": "none"},
        {"update": "sgd", "update.rate": "1", "validation": "frames", "validation.path": "a", "let.k": "3"},
        {
            "update": "adam",
            "update.b1": "0.9",
            "update.rate": "2",
            "validation": "frames",
            "validation.path": "b",
        },
    ]
    assert unlike(found) == ["update", "update.rate", "validation", "validation.path", "let.k"]


def test_bands_are_means_and_deviations_where_all_curves_are():
    short = (np.array([1.0, 3.0, 5.0]), np.array([1.0, 3.0, 5.0]))
    long = (np.array([2.0, 4.0, 8.0]), np.array([4.0, 6.0, 10.0]))
    drawn = band([short, long])
    np.testing.assert_array_equal(drawn.steps, [2, 3, 4, 5])
    np.testing.assert_allclose(drawn.mean, [3, 4, 5, 6])
    np.testing.assert_allclose(drawn.deviation, [np.sqrt(2)] * 4)
    gap = (np.array([1.0, 2.0, 3.0]), np.array([1.0, np.nan, 3.0]))
    alone = band([gap])
    np.testing.assert_array_equal(alone.steps, [1, 3])
    assert alone.deviation is None
    assert band([]) is None
    assert band([(np.array([1.0]), np.array([1.0])), (np.array([2.0]), np.array([1.0]))]) is None


def test_what_cannot_be_compared(there, tmp_path):
    assert "takes two runs" in lnetc("compare", "runs/low-1", status=2).output
    assert "takes two runs" in lnetc("compare", "runs/low-1", "runs/low-1", status=2).output
    assert "E740" in lnetc("compare", "runs", "nowhere", status=1).output
    shutil.copytree(there / "low-1", tmp_path / "cut")
    (tmp_path / "cut" / "plan.json").write_text("{")
    refused = lnetc("compare", "runs", tmp_path / "cut", "-o", tmp_path / "page.html", status=1).output
    assert "'plan.json' is damaged" in refused
    assert not (tmp_path / "page.html").exists()


def test_a_run_in_a_folder_that_cannot_be_read_is_left_out(there, tmp_path):
    for name in ("low-1", "low-2", "high-1"):
        shutil.copytree(there / name, tmp_path / "some" / name)
    (tmp_path / "some" / "high-1" / "plan.json").write_text("{")
    said = lnetc("compare", tmp_path / "some")
    assert f"'{tmp_path}/some/high-1' is left out: 'plan.json' is damaged" in said.stderr
    assert f"A: {tmp_path}/some/low-1, {tmp_path}/some/low-2" in " ".join(said.stdout.split())


def test_a_comparison_in_the_terminal_does_without_jax(there):
    program = "import sys; from lnet.cli import main; main(['compare', 'runs'], standalone_mode=False)"
    program += "; print('jax' in sys.modules, 'matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False False"


@needs_browser
@pytest.mark.parametrize("width", [400, 1920])
def test_the_page_in_a_browser(there, tmp_path, width):
    """No window of Chromium's is 400 pixels wide, so the page is put into a part of one that is."""
    page = tmp_path / "compare <&>.html"
    assert lnetc("compare", "runs", "-o", page).output.endswith(f"page: {page}\n")
    script = f"""
        document.documentElement.style.overflow = 'hidden';
        Object.assign(document.body.style, {{ width: '{width}px', overflowX: 'auto' }});
        document.body.dataset.seen = JSON.stringify({{
          shown: document.body.clientWidth,
          needed: document.body.scrollWidth,
          headings: [...document.querySelectorAll('h2')].map(h => h.textContent),
          contents: [...document.querySelectorAll('nav a')].map(
            a => document.querySelector(a.getAttribute('href')).textContent),
          curves: [...document.querySelectorAll('.curve svg')].map(svg => svg.querySelectorAll('[id^="line2d"]').length),
          bands: document.querySelectorAll('.curve svg [id^="FillBetween"], .curve svg [id^="PolyCollection"]').length,
          legend: [...document.querySelector('.curve svg').querySelectorAll('[id^="legend"] text')].map(t => t.textContent),
          rows: document.querySelectorAll('table:last-of-type tr').length,
          requests: performance.getEntriesByType('resource').map(r => r.name).filter(n => !n.startsWith('data:')),
        }});
    """
    dom = open_page(page, script, max(width, 500))
    seen = json.loads(re.search(r'data-seen="([^"]*)"', dom)[1].replace("&quot;", '"'))
    assert seen["shown"] == min(width, 1120)
    assert seen["needed"] == seen["shown"]
    assert seen["headings"] == seen["contents"] == ["Groups", "Losses", "Runs"]
    assert len(seen["curves"]) == 3
    assert all(count >= 4 for count in seen["curves"])
    assert seen["bands"] == 3 * 4
    assert seen["legend"] == ["A: update.rate = 0.01", "B: update.rate = 0.001"]
    assert seen["rows"] == 1 + 2 + 1 + 5
    assert seen["requests"] == []
