"""Sweeps: the trials of a file, taken by processes that are stopped and killed, and what they come to."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from chromium import needs_browser, open_page
from commands import lnetc
from plugged import no_plugins

import lnet
from lnet.runtime.analysis.compare.groups import compare
from lnet.runtime.analysis.track.feed import STATES
from lnet.runtime.store.events import CheckpointWritten, RunPruned, StepDone, Validated
from lnet.runtime.store.log import line_of
from lnet.runtime.store.summary import summary
from lnet.runtime.sweep.check import check
from lnet.runtime.sweep.measure import Measure
from lnet.runtime.sweep.spec import read_spec, write_spec
from lnet.runtime.sweep.study import FIRST, Study
from lnet.runtime.sweep.sweep import spec_of, work
from lnet.runtime.sweep.trial_runs import train_trial
from lnet.runtime.sweep.trials import Trial, best_first
from lnet.runtime.training.progress import Silent

TEXT = """
let sparsity = 0.1
network tiny { image: input(6x6x1); f: local(3, 2); p: l2pool(2); learn: rica(sparsity = sparsity) }
train { data = frames("images.npy"); batch = 4; steps = 20; checkpoint = 5; update = adam(rate = 0.01) }
"""
RATES = "adam(rate = {0.01, 0.1})"
WIDE = "adam(rate = 1e-3..0.1)"


def furnish(folder):
    (folder / "tiny.lnet").write_text(TEXT)
    np.save(folder / "images.npy", np.random.default_rng(0).random((12, 6, 6, 1)))
    return folder


@pytest.fixture
def there(tmp_path, monkeypatch):
    """A folder with a program and its images."""
    monkeypatch.chdir(furnish(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Three points, of which one diverges, with two seeds."""
    folder = furnish(tmp_path_factory.mktemp("swept"))
    np.save(folder / "unseen.npy", np.random.default_rng(1).random((6, 6, 6, 1)))
    rules = "{adam(rate = {0.01, 0.1}), sgd(rate = 1e9)}"
    unseen = folder / "unseen.npy"
    return lnet.sweep(
        folder / "tiny.lnet", {"train.update": rules}, folder / "sweep", seeds=2, seed=3, validation=unseen
    )


def study_of(folder, settings, **options):
    """The study of a sweep that has begun, without a trial."""
    given = {
        "seed": 0,
        "seeds": 1,
        "objective": "loss",
        "prune": True,
        "data": None,
        "validation": None,
    } | options
    return Study(folder, spec_of("tiny.lnet", settings, **given))


def test_the_mean_over_seeds_decides(swept):
    best, other, failed = swept.trials
    assert swept.best == best
    assert [swept.settings(trial)["train.update"] for trial in swept.trials] == [
        "adam(rate = 0.1)",
        "adam(rate = 0.01)",
        "sgd(rate = 1e9)",
    ]
    assert best.spread.mean < other.spread.mean
    assert (failed.state, failed.values) == ("failed", ())
    assert failed.note.startswith("E730: step ")
    for trial in (best, other):
        runs = [summary(swept.directory / trial.name / f"seed-{seed}") for seed in (3, 4)]
        (group,) = compare(runs).groups
        assert trial.values == tuple(run.validated.loss for run in runs)
        assert str(group.spread(lambda run: run.validated.loss)) == str(trial.spread)
        assert [(run.state, run.settings["seed"]) for run in runs] == [("done", "3"), ("done", "4")]
    run = lnet.open_run(swept.directory / best.name / "seed-4")
    assert run.network().params["f.weight"].shape[-1] == 2
    assert len(run.checkpoints.files()) == 1


def test_its_runs_are_listed_and_compared_as_any(swept):
    said = lnetc("runs", swept.directory).output
    assert re.search(r"trial-0000/seed-3 .* done +20/20", said)
    assert "A: " in lnetc("compare", swept.directory / "trial-0000", swept.directory / "trial-0001").output


def test_the_same_command_goes_on(swept, monkeypatch):
    """All points are tried, so nothing is trained; one that asks for another space is refused."""
    monkeypatch.chdir(swept.directory.parent)
    command = ["sweep", "tiny.lnet", "-d", "sweep", "--seed", 3, "--validation", "unseen.npy"]
    logs = {path: path.stat().st_mtime for path in swept.directory.rglob("events.jsonl")}
    said = lnetc(
        *command, "--seeds", 2, "--set", f"train.update={swept.spec.settings['train.update']}"
    ).output
    assert "3 trials, 2 done, 1 failed" in said
    assert {path: path.stat().st_mtime for path in swept.directory.rglob("events.jsonl")} == logs
    said = lnetc(
        *command, "--seeds", 3, "--set", f"train.update={RATES}", "--set", "let.sparsity=0..1", status=1
    ).stderr
    assert said == (
        "warning: some settings change what 'loss' means, so its values at different points cannot be compared: choose a "
        "measure that they leave alone, --objective accuracy or an objective's path\n"
        "error E791: there is another sweep in 'sweep'\n"
        " = note: --set train.update = {adam(rate = {0.01, 0.1}), sgd(rate = 1e9)} there, adam(rate = {0.01, 0.1}) here\n"
        " = note: --set let.sparsity = nothing there, 0..1 here\n"
        " = note: seeds: 2 there, 3 here\n"
        " = hint: go on with the one that is there: lnetc sweep sweep\n"
        " = hint: or begin another one: -d FOLDER\n"
    )
    assert (
        "keeps what it began with: leave '--set' out"
        in lnetc("sweep", "sweep", "--set", "let.a=1", status=2).output
    )


def test_what_the_command_prints(swept, monkeypatch):
    monkeypatch.chdir(swept.directory.parent)
    said = lnetc("sweep", "sweep", "-n", 0).output
    first, second = (trial.spread for trial in swept.trials[:2])
    table = [line.split() for line in said.splitlines()[5:9] if "─" not in line]
    assert table == [
        ["trial", "update", "update.adam.rate", "loss"],
        ["trial-0001", "adam", "0.1", *str(first).split()],
        ["trial-0000", "adam", "0.01", *str(second).split()],
    ]
    assert said.splitlines()[:5] + said.splitlines()[9:] == [
        "sweep of tiny.lnet in 'sweep' for the lowest mean over 2 seeds of the loss of the last validation",
        "  update: {adam, sgd(rate = 1e9)}",
        "  update.adam.rate: {0.01, 0.1}",
        "",
        "3 trials, 2 done, 1 failed",
        "page: sweep/sweep.html",
        "for ten times as many steps: lnetc run tiny.lnet --set 'train.update=adam(rate = 0.1)' "
        f"--validation {swept.directory.parent.resolve() / 'unseen.npy'} --seed 3 --steps 200",
    ]
    data = json.loads(lnetc("sweep", "sweep", "-n", 0, "--json").output)
    assert [(trial["state"], trial["settings"]["train.update"]) for trial in data["trials"]] == [
        ("done", "adam(rate = 0.1)"),
        ("done", "adam(rate = 0.01)"),
        ("failed", "sgd(rate = 1e9)"),
    ]


STEP = {"images": 4, "seconds": 0.1, "waited": 0.0}


def logged(folder, *events):
    """A folder with the log of a run."""
    (folder / "events.jsonl").write_bytes(b"".join(map(line_of, events)))
    return folder


def test_the_measures_of_a_run(there):
    """Means of the last steps, or the last validation: `accuracy` is the mean of all that are top-1."""
    terms = {"learn.reconstruction": 1.0, "learn.sparsity": 2.0}
    steps = [
        StepDone(
            step=n,
            loss=n,
            terms=terms,
            objectives={"learn": n},
            accuracies={"a top-1": n / 100, "b top-1": 0.5},
            **STEP,
        )
        for n in range(1, 61)
    ]
    tests = [
        Validated(
            step=n,
            images=9,
            loss=n,
            terms=terms,
            objectives={"learn": 7.0},
            accuracies={"a top-5": 0.9},
            seconds=1,
        )
        for n in (20, 40)
    ]
    run = logged(there, *steps[:20], tests[0], *steps[20:40], tests[1], *steps[40:])
    assert Measure("loss", validated=False).of(run) == np.mean(np.arange(11, 61))
    assert Measure("loss", validated=False).of(run, steps=10) == np.mean(np.arange(51, 61))
    assert Measure("loss", validated=True).of(run) == 40
    assert Measure("learn", validated=True).of(run) == 7
    assert Measure("learn.sparsity", validated=False).of(run) == 2
    assert Measure("a top-5", validated=True).of(run) == 0.9
    assert Measure("accuracy", validated=True).of(run) is None
    accuracy = Measure("accuracy", validated=False)
    assert accuracy.of(run) == pytest.approx(np.mean(np.arange(11, 61)) / 200 + 0.25)
    assert [Measure(name, False).maximised for name in ("loss", "learn", "accuracy", "a top-5")] == [
        False,
        False,
        True,
        True,
    ]
    best, *_ = best_first(
        [Trial(0, "done", {}, (0.2,)), Trial(1, "done", {}, (0.3,)), Trial(2, "pruned", {}, (0.9,))], accuracy
    )
    assert best.number == 1


def test_a_sweep_goes_on_from_any_working_directory(there, monkeypatch):
    (there / "more").mkdir()
    (there / "more" / "rates.lnet").write_text("let rate = 0.01\n")
    (there / "tiny.lnet").write_text('include "more/rates.lnet"\n' + TEXT)
    spec = spec_of("tiny.lnet", {"let.sparsity": "0..1"}, 0, 2, "loss", True, "images.npy", None)
    write_spec(there / "sweep", spec)
    assert read_spec(Path("sweep")) == spec
    monkeypatch.chdir(there / "more")
    found = read_spec(Path("../sweep"))
    assert found.file == "../tiny.lnet"
    assert [(file.name, file.text) for file in found.source.included] == [("rates.lnet", "let rate = 0.01\n")]
    assert found.data == str(there / "images.npy")


# --- trials, taken by processes ---------------------------------------------------------------------------------------


def test_two_processes_share_the_trials_of_one_folder(there):
    one, other = (study_of(there, {"train.update": WIDE}) for _ in range(2))
    with one.take(2) as first, other.take(2) as second:
        assert (first.number, second.number) == (0, 1)
        assert first.point != second.point
        with one.take(2) as third:
            assert third is None
        first.done([3.0])
        second.done([2.0])
    with other.take(2) as taken:
        assert taken is None
    assert one.result() == other.result()
    assert one.result().best.number == 1


def test_the_trial_of_a_process_that_has_ended_is_taken_again(there):
    one, other = (study_of(there, {"train.update": WIDE, "train.batch": "{4, 6}"}) for _ in range(2))
    with one.take(2) as lost:
        pass
    with other.take(2) as taken, one.take(2) as new:
        assert (taken.number, taken.point) == (lost.number, lost.point)
        assert new.number == 1
        assert [trial.state for trial in one.trials()] == ["running", "running"]


def test_a_trial_that_ends_each_process_has_failed(there):
    """A process that ends in order counts for nothing, and neither does one that took a step."""
    (there / "sweep").mkdir()
    study = study_of(there / "sweep", {"train.update": WIDE})

    def deaths(ends=lambda taken: None):
        with study.take(1) as taken:
            ends(taken)
        return taken.deaths

    assert [deaths(), deaths(), deaths(), deaths(lambda taken: taken.leave()), deaths(), deaths()] == [
        0,
        1,
        2,
        3,
        0,
        1,
    ]
    lnet.train(lnet.compile("tiny.lnet", set={"train.steps": 1}), directory="sweep/trial-0000/seed-0")
    assert [deaths() for _ in range(3)] == [0, 1, 2]
    (trial,) = work(study, 1, lambda run: Silent(), lambda trial, best: None).trials
    assert (trial.state, trial.note) == ("failed", "3 processes ended while they trained the same step")


def test_points_are_drawn_by_seed_and_number(there):
    """Those of two sweeps are the same, however often they were stopped, and other ones have other points."""
    points = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        (there / name).mkdir()
        study = study_of(there / name, {"train.update": WIDE}, seed=seed)
        for number in range(14):  # the first ten are of chance
            if name == "b" and number == 12:
                study = Study(there / name, study.spec)
            with study.take(14) as taken:
                taken.done([abs(np.log(taken.point["train.update.rate"] / 0.02))])
        points.append([trial.point["train.update.rate"] for trial in study.trials()])
    assert points[0] == points[1]
    assert points[0] != points[2]


def test_all_points_of_a_space_without_ranges_are_tried_once(there):
    study = study_of(there, {"train.batch": "{4, 6, 8}"})
    assert study.await_all_points() == 3
    assert Study(there, study.spec).await_all_points() == 3
    batches = []
    for _ in range(3):
        with study.take(3) as taken:
            batches.append(taken.settings["train.batch"])
            taken.done([1.0])
    assert batches == ["4", "6", "8"]
    with study.take(3) as taken:
        assert taken is None


def test_a_trial_of_which_half_the_point_is_kept_is_not_tried_anew(there):
    """A process keeps the parameters of its trial one by one while another one begins."""
    study = study_of(there, {"train.batch": "{4, 6}", "train.steps": "{20, 30}"})
    assert study.await_all_points() == 4
    study._study.ask().suggest_categorical("train.batch", ("4", "6"))
    assert Study(there, study.spec).await_all_points() == 4


def test_a_point_that_was_tried_is_not_trained_again(there):
    study = study_of(there, {"train.batch": "{4, 6}", "train.steps": "{20, 30}"})
    seen = {}
    while len(seen) == len(study.trials()):
        with study.take(5) as taken:
            earlier = taken.earlier()
            seen.setdefault(tuple(taken.point.values()), taken.number)
            trial = taken.done([3.0]) if earlier is None else taken.like(earlier)
    assert (trial.state, trial.values, trial.same_as) == ("done", (3.0,), seen[tuple(trial.point.values())])
    assert trial not in study.result().best_trials


def test_a_line_that_a_full_disk_cut_off(there):
    study = study_of(there, {"train.update": WIDE})
    with study.take(2) as taken:
        taken.done([1.0])
    with open(there / "study.log", "ab") as file:
        file.write(b'{"op_code":4,"wor')
    again = Study(there, study.spec)
    with again.take(2) as taken:
        taken.done([0.5])
    assert [trial.values for trial in Study(there, study.spec).trials()] == [(1.0,), (0.5,)]
    (there / "study.log").write_text("no journal\n" * 2)
    with pytest.raises(lnet.LnetError, match=r"E791: '.*/study.log' is damaged"):
        Study(there, study.spec)


# --- pruning ----------------------------------------------------------------------------------------------------------


def good_trials(study, count):
    """Let trials be done that no run of chance can match."""
    for _ in range(count):
        with study.take(count) as taken:
            for tenth in range(1, 10):
                assert not taken.hopeless(tenth, 1e-3)
            taken.done([1e-3])


def test_a_run_worse_than_the_median_is_pruned(there):
    (there / "sweep").mkdir()
    study = study_of(there / "sweep", {"train.update": WIDE}, seeds=2)
    good_trials(study, 5)
    trial = work(study, 6, lambda run: Silent(), lambda trial, best: None).trials[-1]
    assert (trial.number, trial.state, len(trial.values)) == (5, "pruned", 1)
    folder = there / "sweep" / trial.name
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "seed-0"]
    run = lnet.open_run(folder / "seed-0")
    events = run.events(steps=False)
    step = FIRST * 20 // 10
    assert events[-1] == RunPruned(step, trial.note, time=events[-1].time)
    assert re.fullmatch(r"loss [\d.]+ after 30 % of the steps is worse than the median", trial.note)
    assert [event.step for event in events if isinstance(event, CheckpointWritten)] == [5, step]
    assert summary(folder / "seed-0").state == "pruned"
    assert STATES[RunPruned] == "stopped", "for trackers"
    lnetc("report", folder / "seed-0")
    assert (
        f"6 of 20 steps, from tiny.lnet; pruned: {trial.note}"
        in (folder / "seed-0" / "report.html").read_text()
    )
    with study.take(7) as taken:  # a process that was killed before it could say so
        shutil.copytree(folder / "seed-0", taken.folder / "seed-0")
    assert work(study, 7, lambda run: Silent(), lambda trial, best: None).trials[-1].note == trial.note


def test_without_pruning_a_run_is_trained_to_its_end(there):
    (there / "sweep").mkdir()
    study = study_of(there / "sweep", {"train.update": WIDE}, prune=False)
    good_trials(study, 5)
    trial = work(study, 6, lambda run: Silent(), lambda trial, best: None).trials[-1]
    assert (trial.number, trial.state) == (5, "done")


# --- stopped and killed -----------------------------------------------------------------------------------------------

LONG = ("--set", f"train.update={WIDE}", "--set", "train.steps=1500", "--set", "train.checkpoint=50", "-n", 1)


def started(*arguments):
    command = [sys.executable, "-m", "lnet", "sweep", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def await_steps(log, process, event):
    """Wait until a run has written a checkpoint after an event."""
    deadline = time.monotonic() + 120
    while not (log.exists() and b'"checkpoint", ' in log.read_bytes().partition(event)[2]):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_sweep_that_is_stopped_and_killed_comes_to_the_same(there):
    run = Path("sweeps/tiny/trial-0000/seed-0")
    process = started("tiny.lnet", *LONG)
    await_steps(run / "events.jsonl", process, b'"start"')
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.splitlines()[-1] == "stopped; go on with: lnetc sweep sweeps/tiny -n 1"
    assert summary(run).state == "stopped"

    process = started("sweeps/tiny", "-n", 1)
    await_steps(run / "events.jsonl", process, b'"resume"')
    process.kill()
    process.communicate()
    assert summary(run).state == "killed"

    for command in (["sweeps/tiny", "-n", 1], ["tiny.lnet", "-d", "whole", *LONG]):
        assert "1 trial, 1 done" in lnetc("sweep", *command).output
    assert (run / "events.jsonl").read_bytes().count(b'"event": "resume"') == 2
    stopped, whole = (
        Study(folder, read_spec(folder)).trials() for folder in (Path("sweeps/tiny"), Path("whole"))
    )
    assert stopped == whole


def test_processes_of_one_command(there):
    command = (
        "tiny.lnet",
        "--set",
        f"train.update={RATES}",
        "--set",
        "train.batch={4, 6}",
        "--processes",
        "2",
    )
    process = started(*command)
    said, wrong = process.communicate(timeout=300)
    assert process.returncode == 0, wrong
    assert len(re.findall(r"^trial-000\d  loss", said, re.MULTILINE)) == 4
    assert "4 trials, 4 done" in said
    logs = [path.read_text() for path in Path("sweeps/tiny").rglob("events.jsonl")]
    assert [(log.count('"event": "start"'), log.count('"event": "done"')) for log in logs] == [(1, 1)] * 4


def test_ctrl_c_of_several_processes_is_answered_once(there):
    """By the command: none of its processes says how to go on with a run of its own."""
    process = started("tiny.lnet", "--set", f"train.update={WIDE}", "--processes", "2", "--steps", "1000000")
    for trial in ("trial-0000", "trial-0001"):
        await_steps(Path("sweeps/tiny") / trial / "seed-0/events.jsonl", process, b'"start"')
    process.send_signal(signal.SIGINT)
    said, wrong = process.communicate(timeout=120)
    assert process.returncode == 130
    assert (said + wrong).count("go on with: lnetc sweep sweeps/tiny") == 1
    assert "lnetc resume" not in said + wrong


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--set", "train.batch={4, 0}"], 1, "'batch' of 'train' must be a positive integer, found 0"),
        (["--set", "train.batch={0, 4}"], 1, "'batch' of 'train' must be a positive integer, found 0"),
        (["--set", "train.batch=0..8"], 1, "'batch' of 'train' must be a positive integer, found 0"),
        (
            ["--set", "train.update={adam(rate = -1..1), sgd(rate = 1)}"],
            1,
            "'rate' of 'adam' must be a number above 0, found -1",
        ),
        (["--set", "let.k={1, 2}"], 1, "E511: the file has no 'let k'"),
        (["--set", "train.seed={1, 2}"], 1, "E790: 'train.seed' is no setting of a sweep"),
        (
            ["--set", "train.batch={4, 8}", "--objective", "lern"],
            1,
            "E720: there is no objective or accuracy 'lern'",
        ),
        (
            ["--set", 'train.data={frames("images.npy"), frames("no")}'],
            1,
            "E701: there is no file or folder 'no'",
        ),
        (["--set", "train.batch=4", "train.batch=8"], 2, "a shell splits braces that are not quoted"),
        (["--set", "train.batch={4, 8}", "-d", "full"], 1, "E743: 'full' is not empty"),
        (["--set", "train.batch={4, 8}", "-d", "images.npy"], 1, "E743: 'images.npy' is a file"),
    ],
)
def test_a_wrong_sweep_is_refused_before_anything_is_written(there, arguments, status, said):
    (there / "full").mkdir()
    (there / "full" / "notes.txt").touch()
    assert said in lnetc("sweep", *arguments, status=status).output
    assert sorted(path.name for path in there.rglob("*")) == ["full", "images.npy", "notes.txt", "tiny.lnet"]


@pytest.mark.parametrize(("name", "count"), [("trials", -1), ("trials", 2.5), ("seeds", 0)])
def test_impossible_numbers_are_refused_in_python(there, name, count):
    with pytest.raises(lnet.LnetError, match=rf"E790: '{name}' must be an integer from \d on, found {count}"):
        lnet.sweep("tiny.lnet", {"train.batch": "{4, 8}"}, **{name: count})


def test_runs_that_begin_with_the_parameters_of_another(there):
    first = lnet.train(lnet.compile("tiny.lnet", set={"train.steps": 2}), directory="first").network()
    command = ("tiny.lnet", "--from", "first", "--freeze", "f", "--set", "train.batch={2, 4}", "--steps", 3)
    assert "--from" in lnetc("sweep", *command, "-n", 1).output
    trained = lnet.open_run("sweeps/tiny/trial-0000/seed-0").network()
    np.testing.assert_array_equal(trained.params["f.weight"], first.params["f.weight"])
    assert np.any(trained.params["learn.decode"] != first.params["learn.decode"])
    assert "E750" in lnetc("sweep", *command, "--freeze", "nothing", "-d", "other", status=1).output


def test_a_point_of_values_that_do_not_go_together_fails(there):
    """A field of 5 leaves 2x2 positions, too few for a pool of 3; each goes with the other's other value."""
    text = TEXT.replace("local(3, 2)", "local(field, 2)").replace("l2pool(2)", "l2pool(size)")
    (there / "tiny.lnet").write_text(f"let field = 3\nlet size = 2\n{text}")
    study = study_of(there, {"let.field": "{5, 3}", "let.size": "{3, 1}"})
    check(study.spec)
    study.await_all_points()
    with study.take(4) as taken:
        trial = train_trial(taken, lambda run: Silent())
    assert (trial.state, trial.note[:5]) == ("failed", "E401:")
    with pytest.raises(lnet.InputError, match="E401"):
        check(replace(study.spec, settings={"let.field": "{3, 7}", "let.size": "{1, 3}"}))


def test_a_sweep_goes_on_with_its_plug_ins_alone(there):
    """What it needs is refused by name, before a trial is taken; the commands that it names load it."""
    gates = there / "gates.py"
    shutil.copy(Path(__file__).parents[2] / "examples/plugin/divisive.py", gates)
    program = TEXT.replace("p: l2pool(2)", "g: mish(sharpness = sharp); p: l2pool(2)")
    (there / "tiny.lnet").write_text(f"let sharp = 1\n{program}")
    words = ("sweep", "tiny.lnet", "-d", "s", "--steps", 5, "--set", "let.sharp = {1, 2, 3}")
    with no_plugins():
        said = lnetc("--plugin", gates, *words, "-n", 1).output
        assert f"for ten times as many steps: lnetc --plugin {gates} run tiny.lnet" in said
    before = (there / "s/study.log").read_bytes()
    with no_plugins():
        said = lnetc("sweep", "s", status=1).output
    assert "E606" in said
    assert "--plugin s/plugins/gates.py" in said
    gates.write_text(gates.read_text() + "# changed\n")
    with no_plugins():
        assert "E606" in lnetc("--plugin", gates, "sweep", "s", status=1).output
    assert (there / "s/study.log").read_bytes() == before
    with no_plugins():
        assert "3 trials, 3 done" in lnetc("--plugin", "s/plugins/gates.py", "sweep", "s").output


def test_a_sweep_is_shown_where_nothing_may_be_written(swept, monkeypatch):
    before = {path: path.stat().st_mtime_ns for path in swept.directory.iterdir()}
    monkeypatch.setattr("os.access", lambda path, how: how != os.W_OK)
    said = lnetc("sweep", swept.directory, "-n", 0).output
    assert "trial-0000" in said
    assert "page:" not in said
    assert {path: path.stat().st_mtime_ns for path in swept.directory.iterdir()} == before


def test_without_optuna(there, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    said = lnetc("sweep", "--set", "train.batch={4, 8}", status=1).output
    assert said.startswith("error E787: a sweep needs 'optuna'\n")
    assert said.endswith(" = hint: install it with: pip install 'lnetc[sweep]'\n")


# --- the page ---------------------------------------------------------------------------------------------------------


@needs_browser
@pytest.mark.parametrize("width", [400, 1920])
def test_the_page_in_a_browser(swept, monkeypatch, width):
    monkeypatch.chdir(swept.directory.parent)
    lnetc("sweep", "sweep", "-n", 0)
    script = f"""
        document.documentElement.style.overflow = 'hidden';
        Object.assign(document.body.style, {{ width: '{width}px', overflowX: 'auto' }});
        document.body.dataset.seen = JSON.stringify({{
          shown: document.body.clientWidth,
          needed: document.body.scrollWidth,
          headings: [...document.querySelectorAll('h2')].map(h => h.textContent),
          contents: [...document.querySelectorAll('nav a')].map(
            a => document.querySelector(a.getAttribute('href')).textContent),
          settings: [...document.querySelectorAll('.beside h3')].map(h => h.textContent),
          curves: document.querySelectorAll('.curve svg').length,
          rows: [...document.querySelectorAll('table')].map(t => t.rows.length),
          best: [...document.querySelector('table').rows[1].cells].map(c => c.textContent),
          requests: performance.getEntriesByType('resource').map(r => r.name).filter(n => !n.startsWith('data:')),
        }});
    """
    dom = open_page(Path("sweep/sweep.html"), script, max(width, 500))
    seen = json.loads(re.search(r'data-seen="([^"]*)"', dom)[1].replace("&quot;", '"'))
    assert seen["shown"] == min(width, 1120)
    assert seen["needed"] == seen["shown"]
    assert seen["headings"] == seen["contents"] == ["Best", "Settings", "History", "Trials"]
    assert len(seen["settings"]) == 2
    assert seen["curves"] == 3
    assert seen["rows"] == [3, 4]
    assert seen["best"] == ["trial-0001", "adam", "0.1", str(swept.best.spread)]
    assert seen["requests"] == []
