"""Validation: the objectives of images that a run is not trained on, and its best parameters so far."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import lnet
from lnet.runtime.store.best import Score
from lnet.runtime.store.events import Validated

TEXT = """
network n {
    image: input(6x1x1)
    y:     target(2)
    h:     dense(5, act = relu, of = image)
    norm:  batchnorm()
    drop:  dropout(0.3)
    k:     dense(3)
    learn: cross_entropy()
    z:     dense(2, of = drop)
    fit:   mean_squared_error(target = y, weight = between(0, 2, 0, 20))
    small: weight_l2([h, k], weight = 0.01)
}
train {
    data = arrays("seen.npz", labels = "k", targets = "y"); validation = arrays("unseen.npz")
    validate_every = 3; keep_best = loss; steps = 25; batch = 8; checkpoint = 7; update = adam(0.05)
}
"""
STEPS = [3, 6, 9, 12, 15, 18, 21, 24, 25]


def arrays(count, seed):
    rng = np.random.default_rng(seed)
    k = np.array(["cat", "dog", "eel"])[np.arange(count) % 3]
    x = rng.normal(size=(count, 6)) + 2 * (np.arange(6) % 3 == np.arange(count)[:, None] % 3)
    return {"x": x, "k": k, "y": x[:, :2] - x[:, 2:4]}


UNSEEN = arrays(21, 2)


def loss_and_accuracy(params, step, x, k, y):
    """In double precision, of all images at once, with the running values of batchnorm."""
    p = {name: np.asarray(value, float) for name, value in params.items()}
    h = np.maximum(0, x @ p["h.weight"] + p["h.bias"])
    h = (h - p["norm.mean"]) / np.sqrt(p["norm.variance"] + 1e-3) * p["norm.scale"] + p["norm.shift"]
    logits, z = h @ p["k.weight"] + p["k.bias"], h @ p["z.weight"] + p["z.bias"]
    labels = np.unique(k, return_inverse=True)[1]
    learn = np.mean(np.log(np.exp(logits).sum(1)) - logits[np.arange(len(x)), labels])
    fit = min(step / 20, 1) * 2 * np.mean((z - y) ** 2)
    return learn + fit, np.mean(logits.argmax(1) == labels)


def of(run):
    return [event for event in run.events() if isinstance(event, Validated)]


def same_but_for_time(run):
    return [(e.step, e.images, e.loss, dict(e.terms), dict(e.accuracies)) for e in of(run)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("validation")
    np.savez(folder / "seen.npz", **arrays(50, 1))
    np.savez(folder / "unseen.npz", **UNSEEN)
    (folder / "n.lnet").write_text(TEXT)
    return folder


@pytest.fixture(scope="module")
def plan(folder):
    return lnet.compile(folder / "n.lnet")


@pytest.fixture(scope="module")
def run(folder, plan):
    return lnet.train(plan, directory=folder / "whole")


def test_the_loss_is_that_of_all_images_in_evaluation(run):
    assert [event.step for event in of(run)] == STEPS
    last = of(run)[-1]
    loss, accuracy = loss_and_accuracy(run.network().params, 25, **UNSEEN)
    assert (last.images, last.accuracies) == (21, {"learn top-1": accuracy})
    assert last.loss == pytest.approx(loss, rel=1e-5)
    assert last.terms.keys() == last.objectives.keys() == {"learn", "fit"}
    assert sum(last.terms.values()) == last.loss


def test_the_best_are_those_of_the_least_loss(run, folder, plan):
    losses = {event.step: event.loss for event in of(run)}
    best = lnet.open_run(folder / "whole" / "best")
    step = min(losses, key=losses.get)
    assert best.checkpoint().step == step
    assert loss_and_accuracy(best.network().params, step, **UNSEEN)[0] == pytest.approx(
        losses[step], rel=1e-5
    )
    assert best.checkpoint().update == {}
    begun = lnet.train(plan, directory=folder / "begun", start=folder / "whole" / "best", steps=1)
    assert begun.info["start"]["step"] == step
    with pytest.raises(lnet.LnetError, match=r"E742.*no optimiser state"):
        lnet.resume(folder / "whole" / "best")


def test_validation_changes_nothing_in_training(run, folder):
    plan = lnet.compile(folder / "n.lnet", set={"train.validation": "none", "train.keep_best": "none"})
    other = lnet.train(plan, directory=folder / "without")
    assert not of(other)
    for name, value in run.network().params.items():
        np.testing.assert_array_equal(value, other.network().params[name])
    with pytest.raises(lnet.LnetError, match=r"E741.*no best parameters"):
        lnet.open_run(other.directory / "best").network()


KILLED = """
import lnet, os, signal, sys
from lnet.runtime.store import best, checkpoints
from lnet.runtime.training.validation import Validation, Validator
moment, at = sys.argv[1], int(sys.argv[2])

def die_before(of, name, moment_of, step):
    real = getattr(of, name)
    def dies(self, *arguments, **more):
        if moment == moment_of and step(self, *arguments) == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(self, *arguments, **more)
    setattr(of, name, dies)

die_before(Validator, "validate", "before validating", lambda self, step, params: step)
die_before(Validation, "_keep", "before the best are kept", lambda self, step, params, score: step)
die_before(checkpoints.CheckpointFolder, "save", "before a checkpoint", lambda self, state, *more: state.step)
in_best = lambda self, owner, number, step, content: step if self.path.name == "best" else None
die_before(checkpoints.CheckpointFolder, "commit", "before the best count", in_best)
die_before(best.BestFolder, "_drop_old", "before older ones are removed", lambda self, step: step)
lnet.train(lnet.compile("n.lnet"), directory="killed " + moment)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "at"),
    [
        ("before validating", 18),
        ("before the best are kept", 3),
        ("before the best count", 3),
        ("before older ones are removed", 3),
        ("before a checkpoint", 21),
    ],
)
def test_a_killed_run_goes_on_to_the_same_validations_and_the_same_best(run, folder, moment, at):
    command = [sys.executable, "-c", KILLED, moment, str(at)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    resumed = lnet.resume(folder / f"killed {moment}")
    assert same_but_for_time(resumed) == same_but_for_time(run)
    mine, whole = (lnet.open_run(each.directory / "best").checkpoint() for each in (resumed, run))
    assert mine.step == whole.step
    for name, value in whole.params.items():
        np.testing.assert_array_equal(mine.params[name], value)
    assert not list((resumed.directory / "best").rglob("*.writing"))
    assert len(list((resumed.directory / "best").iterdir())) == 1


class StopAt:
    """Stops the run, as Ctrl-C does, after a step."""

    def __init__(self, step=None):
        self.step, self.said_ = step, []

    def started(self, step, steps):
        pass

    def stepped(self, step, objectives, images_per_second):
        if step == self.step:
            os.kill(os.getpid(), signal.SIGINT)

    def said(self, message):
        self.said_.append(message)

    def happened(self, event):
        self.said_.append(event)

    def finished(self):
        pass


def test_a_validation_that_a_stop_cuts_off_is_made_when_the_run_goes_on(run, folder, plan):
    with pytest.raises(lnet.Interrupted):
        lnet.train(plan, directory=folder / "stopped", reporter=StopAt(25))
    assert [event.step for event in of(lnet.open_run(folder / "stopped"))] == STEPS[:-1]
    reporter = StopAt()
    resumed = lnet.resume(folder / "stopped", reporter=reporter)
    assert same_but_for_time(resumed) == same_but_for_time(run)
    (event,) = (found for found in reporter.said_ if isinstance(found, Validated))
    assert event.step == 25
    assert any(str(said).startswith("validation at step 25: loss ") for said in reporter.said_)
    assert resumed.events()[-1].name == "done"


def test_once_a_pass_unless_told(folder):
    plan = lnet.compile(folder / "n.lnet", set={"train.validate_every": "none", "train.steps": 9})
    run = lnet.train(plan, directory=folder / "passes")
    assert [event.step for event in of(run)] == [7, 9]
    assert run.plan.graph.training.validate_every == 7


def test_other_images_than_at_first(folder, tmp_path, plan):
    run = lnet.train(plan, directory=tmp_path / "a", steps=3)
    np.savez(tmp_path / "others.npz", **arrays(20, 3))
    others = tmp_path / "others.npz"
    with pytest.raises(lnet.LnetError, match=r"E748.*was validated on 21 images, and now there are 20"):
        lnet.resume(run.directory, steps=6, validation=others)
    best = lnet.open_run(run.directory / "best").checkpoint()
    resumed = lnet.resume(run.directory, steps=6, validation=others, other_images=True)
    assert [event.images for event in of(resumed)] == [21, 20]
    assert resumed.info["validation"]["images"] == 20
    assert best.step == 3
    assert lnet.open_run(run.directory / "best").checkpoint().step == 6  # of others, the first are the best


def test_given_in_python(run, folder, tmp_path):
    seen, unseen = (
        lnet.Arrays(found["x"], labels=found["k"], targets=found["y"]) for found in (arrays(50, 1), UNSEEN)
    )
    text = TEXT.replace('data = arrays("seen.npz", labels = "k", targets = "y");', "").replace(
        'validation = arrays("unseen.npz")', ""
    )
    plan = lnet.compile(lnet.parse(text))
    with pytest.raises(lnet.LnetError, match=r"E520.*'keep_best = loss' goes by a validation"):
        lnet.train(plan, seen, directory=tmp_path / "none")
    given = lnet.train(plan, seen, validation=unseen, directory=tmp_path / "given", steps=6)
    assert same_but_for_time(given) == same_but_for_time(run)[:2]
    with pytest.raises(lnet.LnetError, match=r"E747.*was validated on an array"):
        lnet.resume(given.directory, seen, steps=9)
    again = lnet.resume(given.directory, seen, steps=9, validation=unseen)
    assert same_but_for_time(again) == same_but_for_time(run)[:3]


def test_a_score_beats_others_on_the_same_images():
    assert Score("loss", 1.0, "a").beats(Score("loss", 2.0, "a"))
    assert not Score("loss", 2.0, "a").beats(Score("loss", 2.0, "a"))
    assert Score("loss", 3.0, "b").beats(Score("loss", 2.0, "a"))
    assert Score("accuracy", 0.6, "a").beats(Score("accuracy", 0.5, "a"))
    assert not Score("accuracy", 0.5, "a").beats(Score("accuracy", 0.6, "a"))
    assert not Score("loss", float("nan"), "a").beats(None)


# --- images --------------------------------------------------------------------------------------------------------

PICTURED = """
network n { image: input(8x8x1); k: dense(2); learn: cross_entropy() }
train {
    data = frames("seen", labels = folder, normalize = symmetric); validation = frames("unseen")
    validate_every = 2; keep_best = accuracy; steps = 4; batch = 3
}
"""


@pytest.fixture
def pictures(tmp_path):
    rng = np.random.default_rng(4)
    for place, counts in (("seen", (4, 4)), ("unseen", (1, 4))):
        for label, count in zip(("ant", "bee"), counts, strict=True):
            (tmp_path / place / label).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 255, (11, 9), np.uint8)
                Image.fromarray(pixels).save(tmp_path / place / label / f"{number}.png")
    (tmp_path / "n.lnet").write_text(PICTURED)
    return tmp_path


def evaluated(run, folder, places):
    """The loss of central windows in -1..1, in double precision."""
    pixels = np.stack([np.asarray(Image.open(folder / "unseen" / place), float) for place in places])
    x = (2 * pixels[:, 1:9, 0:8] / 255 - 1).reshape(len(places), -1)
    p = {name: np.asarray(value, float) for name, value in run.network().params.items()}
    logits = x @ p["k.weight"] + p["k.bias"]
    labels = [place.startswith("bee") for place in places]
    return np.mean(np.log(np.exp(logits).sum(1)) - logits[np.arange(len(x)), np.array(labels, int)])


def test_images_are_seen_whole_as_training_prepares_and_numbers_them(pictures):
    (pictures / "unseen" / "bee" / "1.png").write_bytes(b"none")
    reporter = StopAt()
    run = lnet.train(lnet.compile(pictures / "n.lnet"), directory=pictures / "a", reporter=reporter)
    (_, last), whole = of(run), ["ant/0.png", "bee/0.png", "bee/2.png", "bee/3.png"]
    assert last.images == 4
    assert last.loss == pytest.approx(evaluated(run, pictures, whole), rel=1e-5)
    said = [text for text in reporter.said_ if isinstance(text, str)]
    assert "validation: 5 images in 'unseen', after every 2 steps and the last" in said
    assert [text for text in said if text.startswith("skipped the corrupt image 'bee/1.png'")] == [
        event.message for event in run.events() if event.name == "warning"
    ]


def test_crops_and_mirrors_are_the_same_at_each_validation(pictures):
    random = {
        "train.validation": 'frames("unseen", crop = random, flip = true)',
        "train.update": "sgd(1e-30)",
    }
    run = lnet.train(lnet.compile(pictures / "n.lnet", set=random), directory=pictures / "a")
    first, second = of(run)
    assert (first.loss, first.accuracies) == (second.loss, second.accuracies)
    assert first.loss != pytest.approx(
        evaluated(run, pictures, ["ant/0.png", *(f"bee/{number}.png" for number in range(4))]), rel=1e-6
    )


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda unseen: (unseen / "bee").rename(unseen / "cow"), r"E710.*'cow/0.png' has the label 'cow'"),
        (lambda unseen: unseen.rename(unseen.with_name("gone")), r"E701.*unseen"),
        (lambda unseen: [path.unlink() for path in unseen.rglob("*.png")], r"E702.*unseen"),
        (lambda unseen: [path.write_bytes(b"") for path in unseen.rglob("*.png")], r"E706.*unseen"),
    ],
)
def test_what_cannot_be_validated_on_is_refused_before_there_is_a_run(pictures, spoil, expected):
    spoil(pictures / "unseen")
    with pytest.raises(lnet.LnetError, match=expected):
        lnet.train(lnet.compile(pictures / "n.lnet"), directory=pictures / "a")
    assert not (pictures / "a").exists()


def test_best_parameters_without_room_are_reported_and_training_goes_on(pictures, monkeypatch):
    def full(*arguments, **more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lnet.runtime.store.best.BestFolder.save", full)
    run = lnet.train(lnet.compile(pictures / "n.lnet"), directory=pictures / "a")
    warnings = [event.message for event in run.events() if event.name == "warning"]
    assert any(text.startswith("the best parameters, of step 2, could not be written") for text in warnings)
    assert run.checkpoint().step == 4


def test_a_best_is_whole_or_not_there(pictures):
    run = lnet.train(lnet.compile(pictures / "n.lnet"), directory=pictures / "a")
    (best,) = (run.directory / "best").iterdir()
    assert json.loads((best / "manifest.json").read_text())["best"]["by"] == "accuracy"
    (run.directory / "best" / ".9-abc.writing").mkdir()
    lnet.resume(run.directory, steps=5)
    assert not list((run.directory / "best").glob(".*"))
