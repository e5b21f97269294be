"""What a step is, a mean over batches, and how many a run takes: those of its epochs, known when it begins."""

import json

import numpy as np
import pytest
from commands import lnetc
from small_run import furnish, plan_of

import lnet
from lnet.compiler.plan.plan import plan_from_json


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return furnish(tmp_path_factory.mktemp("small"))


def trained(folder, place, **settings):
    return lnet.train(plan_of(folder, **{"update": "sgd(0.001)", **settings}), directory=place)


def params(run):
    return {name: np.asarray(value) for name, value in run.network().params.items()}


def test_accumulated_batches_are_the_images_of_a_larger_batch(folder, tmp_path):
    large = trained(folder, tmp_path / "large", batch=6, steps=4)
    several = trained(folder, tmp_path / "several", batch=2, accumulate=3, steps=4)
    begun = lnet.Network(large.plan).params
    for name, value in params(large).items():
        moved = np.linalg.norm(value - begun[name])
        assert moved > 0
        assert np.linalg.norm(params(several)[name] - value) < 1e-4 * moved
    steps = [[event for event in run.events() if event.name == "step"] for run in (large, several)]
    np.testing.assert_allclose([e.loss for e in steps[1]], [e.loss for e in steps[0]], rtol=1e-5)
    assert [event.images for event in steps[1]] == [6, 12, 18, 24]


def test_a_run_that_accumulates_and_clips_goes_on_to_the_bit(folder, tmp_path):
    settings = {"batch": 2, "accumulate": 2, "clip": "each(0.5)", "checkpoint": 2}
    settings["update"] = "adamw(0.01, rise = 3)"
    whole = trained(folder, tmp_path / "whole", steps=5, **settings)
    part = trained(folder, tmp_path / "part", steps=3, **settings)
    part = lnet.resume(part.directory, steps=5)
    for name, value in params(whole).items():
        np.testing.assert_array_equal(params(part)[name], value)


def test_epochs_become_steps_when_the_run_begins_and_stay_so(folder, tmp_path):
    """Six images, of which 2.5 passes are 15: 3.75 steps of 4."""
    plan = lnet.compile(
        folder / "small.lnet",
        set={"train.epochs": "2.5", "train.batch": "2", "train.accumulate": "2", "train.checkpoint": "1"},
    )
    assert (plan.graph.training.steps, plan.graph.training.epochs) == (0, 2.5)
    assert plan_from_json(plan.to_json()) == plan
    run = lnet.train(plan, directory=tmp_path / "run")
    assert (run.plan.graph.training.steps, run.plan.graph.training.epochs) == (4, None)
    assert json.loads((run.directory / "run.json").read_text())["epochs"] == 2.5
    straight = trained(
        folder,
        tmp_path / "straight",
        batch=2,
        accumulate=2,
        steps=4,
        update="adam(rate = 0.01, schedule = cosine)",
    )
    for name, value in params(straight).items():
        np.testing.assert_array_equal(params(run)[name], value)
    again = lnet.resume(run.directory)
    assert again.checkpoint().step == 4
    assert [e.epochs for e in run.events() if e.name == "start"] == [2.5]


def test_steps_beside_the_file_take_the_place_of_its_epochs(folder, tmp_path):
    text = (folder / "small.lnet").read_text().replace("steps = 20", "epochs = 4")
    (tmp_path / "epochs.lnet").write_text(text)
    plan = lnet.compile(tmp_path / "epochs.lnet", set={"train.steps": "3"})
    assert (plan.graph.training.steps, plan.graph.training.epochs) == (3, None)
    plan = lnet.compile(tmp_path / "epochs.lnet")
    run = lnet.train(plan, folder / "images", steps=2, directory=tmp_path / "run")
    assert run.plan.graph.training.steps == 2
    with pytest.raises(lnet.LnetError, match="E513"):
        lnet.compile(tmp_path / "epochs.lnet", set={"train.steps": "3", "train.epochs": "2"})


def test_explain_says_that_the_steps_of_epochs_are_known_at_run(folder):
    said = lnetc("explain", folder / "small.lnet", "--set", "train.epochs=2.5").output
    assert "steps: those of 2.5 epochs, known at run" in said
    data = json.loads(lnetc("explain", "--json", folder / "small.lnet", "--set", "train.epochs=2.5").output)
    assert (data["steps"], data["epochs"]) == (None, 2.5)
    assert "known at run" not in lnetc("explain", folder / "small.lnet").output
