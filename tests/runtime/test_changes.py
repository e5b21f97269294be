"""Settings that change in a run that goes on: what may, from where on, and what the run keeps."""

import json
import shutil

import numpy as np
import pytest
from commands import lnetc
from small_run import empty, furnish, plan_of

import lnet
from lnet.runtime.analysis.history import history_of
from lnet.runtime.analysis.report.settings import settings
from lnet.runtime.store.events import SettingsChanged, StepDone


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return furnish(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def made(folder):
    """A run of four steps of two images."""
    plan = plan_of(folder, update="sgd(rate = 0.001, momentum = 0.5)", batch=2, steps=4, checkpoint=2)
    return lnet.train(plan, directory=folder / "made").directory


@pytest.fixture
def begun(made, tmp_path, monkeypatch):
    """A copy of it, in the folder where the test is."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made, tmp_path / "run")
    return lnet.open_run(tmp_path / "run")


def params(run):
    return {name: np.asarray(value) for name, value in run.network().params.items()}


def images_of(run):
    return [event.images for event in run.events() if isinstance(event, StepDone)]


def test_a_changed_setting_counts_from_the_checkpoint_on(begun, folder, tmp_path):
    """The rate is another one: a step of a rate that is all but zero moves nothing, and the run says why."""
    before = params(begun)
    update = "sgd(rate = 0.000000001, momentum = 0.5)"
    lnetc("resume", "run", "--steps", 6, "--set", f"train.update={update}")
    run = lnet.open_run("run")
    for name, value in params(run).items():
        assert 0 < np.abs(value - before[name]).max() < 1e-5
    (change,) = run.info["changes"]
    assert change["step"] == 4
    assert change["settings"]["steps"] == ["4", "6"]
    assert change["settings"]["update"][1].startswith("sgd(rate = 1e-09, momentum = 0.5")
    said = dict(settings(run))["changed at step 4"]
    assert said.startswith("steps = 6, was 4; update = sgd(rate = 1e-09")
    assert f"from step 4 on: {said}" in [e.text for e in run.events() if isinstance(e, SettingsChanged)]
    assert dict(run.plan.overrides)["train.update"] == update
    again = lnet.resume("run", steps=7)
    assert [change["step"] for change in again.info["changes"]] == [4, 6]
    twice = lnet.resume(
        "run", steps=7, set={"train.update": update}
    )  # as '--wait' gives them after each loss
    assert [change["step"] for change in twice.info["changes"]] == [4, 6]
    assert again.plan.graph.training.update == run.plan.graph.training.update


def test_another_batch_goes_on_with_the_next_image(begun):
    """Eight images are seen, of six: what follows is each image of the next pass once, but for the two seen of it."""
    lnetc("resume", "run", "--batch", 4, "--steps", 5, "--quiet")
    run = lnet.open_run("run")
    assert images_of(run) == [2, 4, 6, 8, 12]
    assert run.plan.graph.training.batch == 4
    lnetc("resume", "run", "--batch", 1, "--steps", 7)
    run = lnet.open_run("run")
    assert images_of(run) == [2, 4, 6, 8, 12, 13, 14]
    steps = history_of(run.stream_events()).steps
    assert steps.images == 14
    assert steps.numbers.curves()["images"].tolist() == [2, 2, 2, 2, 4, 1, 1]


def test_a_schedule_that_begins_late_is_where_the_step_is(folder, tmp_path):
    """Of a rate that falls from the first step on, the last step is the same as of one that was there all along."""
    first = lnet.train(plan_of(folder, update="sgd(0.001)", steps=3), directory=tmp_path / "a")
    before = params(first)
    late = lnet.resume(first.directory, steps=4, set={"train.update": "sgd(0.001, schedule = linear)"})
    full = lnet.train(plan_of(folder, update="sgd(0.001)", steps=3), directory=tmp_path / "b")
    full = lnet.resume(full.directory, steps=4)
    for name, value in params(late).items():
        np.testing.assert_allclose(value - before[name], (params(full)[name] - before[name]) / 4, atol=1e-6)


def test_another_seed_orders_and_crops_otherwise(begun, tmp_path):
    lnetc("resume", "run", "--steps", 5, "--seed", 9)
    assert lnet.open_run("run").info["changes"][0]["settings"]["seed"] == ["7", "9"]


def test_epochs_of_a_run_that_goes_on_count_the_images_before(begun):
    """Eight images of 24 are seen: four steps of four are left."""
    run = lnet.resume("run", set={"train.epochs": 4, "train.batch": 4})
    assert run.plan.graph.training.steps == 8
    assert images_of(run)[-1] == 24


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        ("train.replicas=2", "E754", "'train.replicas' stays as it is"),
        ('train.data=frames("other")', "E754", "'--data' says where its images are now"),
        ("train.update=adam(0.1)", "E754", "'train.update' stays sgd"),
        ("train.precision=float64", "E754", "its parameters are float32"),
        ("train.precision=float16", "E754", "'train.precision' needs what no checkpoint has"),
        ("train.keep_best=loss", "E520", "'keep_best = loss' goes by a validation"),
        ("train.steps=3", "E746", "has taken 4 steps already"),
        ("let.n=2", "E511", "the file has no 'let n'"),
        ("train.batch=0", "E306", "'batch' of 'train' must be a positive integer"),
    ],
)
def test_what_a_run_keeps_is_refused_by_name_and_changes_nothing(begun, given, code, said):
    before = {path: path.read_bytes() for path in begun.directory.iterdir() if path.is_file()}
    refused = lnetc("resume", "run", "--set", given, status=1).output
    assert code in refused
    assert said in refused
    assert {path: path.read_bytes() for path in begun.directory.iterdir() if path.is_file()} == before


def test_a_momentum_that_no_checkpoint_has_is_refused(folder, tmp_path):
    run = lnet.train(plan_of(folder, update="sgd(0.001)", steps=1), directory=tmp_path / "run")
    with pytest.raises(lnet.LnetError, match=r"missing: 0.trace/V1.filter.weight"):
        lnet.resume(run.directory, set={"train.update": "sgd(0.001, momentum = 0.9)"})


def test_a_constant_may_change_settings_and_not_the_network(tmp_path):
    text = (furnish(tmp_path) / "small.lnet").read_text()
    text = "let n = 3\nlet every = 5\n" + text.replace("sense(3)", "sense(n)").replace(
        "checkpoint = 5", "checkpoint = every"
    )
    (tmp_path / "lets.lnet").write_text(text)
    run = lnet.train(lnet.compile(tmp_path / "lets.lnet"), steps=1, directory=tmp_path / "run")
    with pytest.raises(lnet.LnetError) as refused:
        lnet.resume(run.directory, set={"let.every": 7, "let.n": 4})
    assert "'let.n = 4' would change the network" in str(refused.value)
    assert "parameters that would change: 'V1.filter.weight'" in str(refused.value)
    again = lnet.resume(run.directory, steps=2, set={"let.every": 7})
    assert again.plan.graph.training.checkpoint == 7
    assert json.loads((run.directory / "run.json").read_text())["changes"][0]["settings"]["checkpoint"] == [
        "5",
        "7",
    ]


def test_a_run_that_cannot_go_on_keeps_its_settings(begun):
    for checkpoint in begun.checkpoints.files().values():
        empty(checkpoint)
    before = [(begun.directory / name).read_bytes() for name in ("plan.json", "run.json", "events.jsonl")]
    assert "E732" in lnetc("resume", "run", "--batch", 4, "--steps", 9, status=3).output
    after = [(begun.directory / name).read_bytes() for name in ("plan.json", "run.json", "events.jsonl")]
    assert after == before


def test_quiet_prints_the_directory_alone(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = lnetc(
        "run", folder / "small.lnet", "-d", "a", "--steps", 1, "--seed", 3, "--batch", 2, "-q"
    ).output
    assert said == "trained: a\n"
    training = lnet.open_run("a").plan.graph.training
    assert (training.seed, training.batch) == (3, 2)
    twice = lnetc("run", folder / "small.lnet", "--batch", 2, "--set", "train.batch=3", status=2).output
    assert "'--batch' and '--set train.batch' are the same setting" in twice
