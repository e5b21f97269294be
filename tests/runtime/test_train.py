"""Training in one process: what is learned, what is kept, and what survives interruption."""

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import optax
import pytest
from small_run import TEXT, furnish, plan_of

import lnet
from lnet.dsl.diagnostics import LnetError
from lnet.runtime.engine.network import initial_params
from lnet.runtime.store import checkpoints, shards


@pytest.fixture
def folder(tmp_path):
    return furnish(tmp_path)


def weights(run):
    return dict(run.network().params)


def assert_equal(left, right):
    assert left.keys() == right.keys()
    for name in left:
        np.testing.assert_array_equal(left[name], right[name])


def steps_of(run):
    return [event for event in run.events() if event.name == "step"]


# --- learning --------------------------------------------------------------------------------------------


def test_the_loss_falls_and_the_log_says_so(folder):
    run = lnet.train(plan_of(folder, steps=60), directory=folder / "a")
    steps = steps_of(run)
    assert [event.step for event in steps] == list(range(1, 61))
    assert np.mean([e.loss for e in steps[-10:]]) < 0.7 * np.mean([e.loss for e in steps[:10]])
    for event in steps:
        assert event.loss == pytest.approx(sum(event.terms.values()))
        assert event.objectives["V1.learn"] == pytest.approx(
            event.terms["V1.learn.reconstruction"] + event.terms["V1.learn.sparsity"]
        )
    assert run.events()[0].name == "start"
    assert run.events()[-1].name == "done"
    assert list(run.checkpoints.files()) == [55, 60]


@pytest.mark.parametrize(
    ("update", "rule"),
    [
        ("sgd(rate = 0.001)", optax.sgd(0.001)),
        ("sgd(rate = 0.001, momentum = 0.9)", optax.sgd(0.001, momentum=0.9)),
        ("adam(rate = 0.01)", optax.adam(0.01)),
        ("adagrad(rate = 0.01)", optax.adagrad(0.01)),
        ("adagrad(rate = 0.01, initial = 0.5)", optax.adagrad(0.01, initial_accumulator_value=0.5)),
        ("adam(rate = 0.01, schedule = cosine)", optax.adam(optax.cosine_decay_schedule(0.01, 4))),
    ],
)
def test_updates_are_those_of_optax(folder, update, rule):
    """Four steps by hand: public gradients, optax's rule, the same weights."""
    plan = plan_of(folder, update=update, steps=4)
    images = np.random.default_rng(1).normal(size=(8, 10, 10, 1)).astype(np.float32)
    run = lnet.train(plan, data=images, directory=folder / "a", prepared=True)
    net = lnet.Network(plan)
    params = initial_params(plan.graph, 7)
    state = rule.init(params)
    for _ in range(4):
        net.params.update(params)
        changes, state = rule.update(
            {k: np.asarray(v) for k, v in net.gradients(images).items()}, state, params
        )
        params = optax.apply_updates(params, changes)
    for name, value in weights(run).items():
        scale = np.abs(value - lnet.Network(plan).params[name]).max()
        np.testing.assert_allclose(value, params[name], atol=2e-2 * scale)


def test_two_runs_are_the_same_bit_for_bit(folder):
    left, right = (lnet.train(plan_of(folder), directory=folder / name) for name in "ab")
    assert_equal(weights(left), weights(right))
    assert [e.terms for e in steps_of(left)] == [e.terms for e in steps_of(right)]


def test_another_seed_is_another_run(folder):
    left, right = (lnet.train(plan_of(folder, seed=s), directory=folder / f"{s}") for s in (1, 2))
    assert not np.allclose(weights(left)["V1.filter.weight"], weights(right)["V1.filter.weight"])


def test_a_plan_that_is_cut_trains_the_same_here(folder):
    """The partition is no part of the numbers."""
    whole = lnet.train(plan_of(folder), directory=folder / "a")
    cut = lnet.compile(folder / "small.lnet", workers=4)
    assert cut.partition.count == 4
    assert_equal(weights(whole), weights(lnet.train(cut, directory=folder / "b")))


def test_gradients_per_stage_learn_too(folder):
    run = lnet.train(plan_of(folder, gradients="stage", steps=60), directory=folder / "a")
    first, last = steps_of(run)[0].objectives, steps_of(run)[-1].objectives
    assert all(last[path] < first[path] for path in ("V1.learn", "V2.learn"))


def test_one_process_trains_one_replica_and_says_so(folder):
    run = lnet.train(plan_of(folder, replicas=3, steps=1), directory=folder / "a")
    said = "one process trains one replica, and the plan has 3: '--cluster' trains them all"
    assert said in [e.text for e in run.events()]
    laid_out = lnet.compile(folder / "small.lnet", replicas=3, set={"train.steps": 1})
    run = lnet.train(laid_out, directory=folder / "b")
    assert said in [e.text for e in run.events()]


def test_settings_for_replicas_on_a_cluster_are_not_used_here_which_is_said(folder):
    settings = {"fetch": 2, "push": 2, "warmup": 3, "update": "sgd(0.001, stale = scaled)", "steps": 1}
    run = lnet.train(plan_of(folder, **settings), directory=folder / "a", wire="bfloat16")
    said = "not used in one process, but by replicas on a cluster: fetch, push, warmup, stale, wire"
    assert said in [e.text for e in run.events()]
    run = lnet.train(plan_of(folder, steps=1), directory=folder / "b")
    assert not [e for e in run.events() if e.name == "warning"]


def test_settings_that_lack_what_they_are_about_are_said(folder):
    """Of a validation, or of labels, where there is none."""
    text = (folder / "small.lnet").read_text()
    listed = text.replace('frames("images"', 'frames("images", classes = "classes.txt"')
    assert listed != text
    (folder / "small.lnet").write_text(listed)
    (folder / "classes.txt").write_text("cat\ndog\n")
    run = lnet.train(plan_of(folder, steps=1, validate_every=1), directory=folder / "a")
    assert [e.text for e in run.events() if e.name == "warning"] == [
        "'validate_every' is not used: the run has no 'validation'",
        "'classes' is not used: the images have no labels",
    ]


@pytest.mark.parametrize("how", [{"data": ""}, {"validation": ""}, {"data": Path()}])
def test_an_empty_path_is_not_the_current_folder(folder, how, monkeypatch):
    """As of a variable of the shell that is not set; `.` says it."""
    monkeypatch.chdir(folder / "images")
    if "" in how.values():
        with pytest.raises(LnetError, match="E701: the path of the images is empty"):
            lnet.train(plan_of(folder, steps=1), directory=folder / "a", **how)
    else:
        assert lnet.train(plan_of(folder, steps=1), directory=folder / "a", **how).directory.exists()


def test_half_precision_learns_about_the_same(folder):
    full, half = (
        lnet.train(plan_of(folder, precision=p, steps=40), directory=folder / p)
        for p in ("float32", "bfloat16")
    )
    left, right = (np.mean([e.loss for e in steps_of(run)[-5:]]) for run in (full, half))
    assert right == pytest.approx(left, rel=0.1)
    assert left != right


# --- resuming --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "update",
    ["adam(rate = 0.01, schedule = cosine)", "sgd(rate = 0.001, momentum = 0.9)", "adagrad(rate = 0.01)"],
)
def test_a_resumed_run_ends_with_the_same_bits(folder, update):
    whole = lnet.train(plan_of(folder, update=update), directory=folder / "a")
    plan = plan_of(folder, update=update)
    stopped = stop_after(plan, folder / "b", 7)
    assert list(stopped.checkpoints.files())[-1] == 7
    resumed = lnet.resume(folder / "b")
    assert_equal(weights(whole), weights(resumed))
    assert [e.terms for e in steps_of(whole)] == [e.terms for e in steps_of(resumed)]


class StopAt:
    """Sends this process the signal that Ctrl-C sends, after a step."""

    def __init__(self, step):
        self.step = step
        self.messages = []

    def started(self, step, steps):
        pass

    def stepped(self, step, objectives, images_per_second):
        if step == self.step:
            os.kill(os.getpid(), signal.SIGINT)

    def said(self, message):
        self.messages.append(message)

    def finished(self):
        pass


def stop_after(plan, directory, step, **how):
    with pytest.raises(lnet.Interrupted, match=rf"stopped at step {step}; go on with: lnetc resume"):
        lnet.train(plan, directory=directory, reporter=StopAt(step), **how)
    return lnet.open_run(directory)


def test_ctrl_c_keeps_what_was_done(folder):
    before = signal.getsignal(signal.SIGINT)
    run = stop_after(plan_of(folder), folder / "a", 3)
    assert list(run.checkpoints.files()) == [3]
    assert run.events()[-1].name == "interrupted"
    assert signal.getsignal(signal.SIGINT) is before


def test_more_steps_than_at_first(folder):
    lnet.train(plan_of(folder, update="sgd(rate = 0.001)", steps=6), directory=folder / "a")
    longer = lnet.resume(folder / "a", steps=20)
    whole = lnet.train(plan_of(folder, update="sgd(rate = 0.001)"), directory=folder / "b")
    assert_equal(weights(longer), weights(whole))
    assert longer.plan.graph.training.steps == lnet.open_run(folder / "a").plan.graph.training.steps == 20


def test_resuming_a_complete_run_changes_nothing(folder):
    run = lnet.train(plan_of(folder), directory=folder / "a")
    before = weights(run)
    again = lnet.resume(folder / "a")
    assert_equal(before, weights(again))
    assert "the run is complete: 20 of 20 steps" in [e.text for e in again.events()]


def test_a_damaged_checkpoint_costs_only_the_steps_since_the_one_before(folder):
    whole = weights(lnet.train(plan_of(folder), directory=folder / "a"))
    newest = list(lnet.open_run(folder / "a").checkpoints.files().values())[-1]
    (shard,) = newest.glob("shard-*")
    shard.write_bytes(shard.read_bytes()[:-9])
    reporter = StopAt(None)
    resumed = lnet.resume(folder / "a", reporter=reporter)
    assert "passed over the damaged checkpoint 'step-00000020-4.shards'" in reporter.messages[0]
    assert_equal(whole, weights(resumed))


KILLED = """
import lnet, os, signal, sys
from lnet.runtime.store import checkpoints, shards
directory, moment, at = sys.argv[1], sys.argv[2], int(sys.argv[3])

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def at_step(at_moment, state):
    return moment == at_moment and state.step == at

real_save = checkpoints.CheckpointFolder.save
def save(self, state, owner):
    real_write, real_drop_old = shards.write_blocks, checkpoints.CheckpointFolder._drop_old
    def write(path, arrays, metadata):
        if at_step("before writing", state):
            die()
        digest = real_write(path, arrays, metadata)
        if at_step("half written", state):
            os.truncate(path, os.path.getsize(path) // 2)
            die()
        return digest
    def commit(*arguments):
        if at_step("before the manifest", state):
            die()
        return real_commit(*arguments)
    def replace(source, target):
        if at_step("before renaming", state) and str(target).endswith(".shards"):
            die()
        return real_replace(source, target)
    def drop_old(*arguments):
        if at_step("before old ones go", state):
            die()
        return real_drop_old(*arguments)
    shards.write_blocks, os.replace = write, replace
    checkpoints.CheckpointFolder.commit, checkpoints.CheckpointFolder._drop_old = commit, drop_old
    try:
        return real_save(self, state, owner)
    finally:
        shards.write_blocks, os.replace = real_write, real_replace
        checkpoints.CheckpointFolder._drop_old = real_drop_old
real_replace, real_commit = os.replace, checkpoints.CheckpointFolder.commit
checkpoints.CheckpointFolder.save = save

class Reporter:
    def started(self, step, steps): pass
    def said(self, message): pass
    def finished(self): pass
    def stepped(self, step, objectives, rate):
        if moment == "between checkpoints" and step == at:
            die()
lnet.train(lnet.compile("small.lnet"), directory=directory, reporter=Reporter())
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "at", "kept"),
    [
        ("between checkpoints", 3, 0),
        ("between checkpoints", 13, 10),
        ("before writing", 10, 5),
        ("half written", 15, 10),
        ("before the manifest", 10, 5),
        ("before renaming", 5, 0),
        ("before old ones go", 15, 15),
    ],
)
def test_a_killed_run_loses_only_the_work_since_its_last_checkpoint(folder, moment, at, kept):
    whole = lnet.train(plan_of(folder), directory=folder / "a")
    done = subprocess.run(
        [sys.executable, "-c", KILLED, "b", moment, str(at)], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    run = lnet.open_run(folder / "b")
    newest = run.checkpoints.newest()
    assert (newest.step if newest else 0) == kept
    resumed = lnet.resume(folder / "b")
    assert_equal(weights(whole), weights(resumed))
    assert [e.step for e in steps_of(resumed)] == list(range(1, 21))
    assert not list((folder / "b" / "checkpoints").rglob("*.writing"))


@pytest.mark.slow
def test_killed_at_random_moments(folder):
    """A run killed again and again, wherever it is, still ends with the same bits."""
    whole = lnet.train(plan_of(folder, steps=400, checkpoint=3), directory=folder / "a")
    command = "import lnet, os; d = 'b'; go = lnet.resume if os.path.exists('b/run.json') else None\n"
    command += "p = lnet.compile('small.lnet', set={'train.steps': 400, 'train.checkpoint': 3})\n"
    command += "lnet.resume('b') if go else lnet.train(p, directory='b')"
    rng = np.random.default_rng(3)
    for _ in range(4):
        process = subprocess.Popen([sys.executable, "-c", command], cwd=folder)
        checkpoints = folder / "b" / "checkpoints"
        deadline = time.monotonic() + 60
        while not checkpoints.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.6))
        process.kill()
        process.wait()
    resumed = lnet.resume(folder / "b")
    assert_equal(weights(whole), weights(resumed))


def test_a_checkpoint_that_takes_longer_than_its_grace_is_said_once(folder, monkeypatch):
    real_save = checkpoints.save_shard

    def slowly(*arguments):
        time.sleep(0.3)
        return real_save(*arguments)

    monkeypatch.setattr(checkpoints, "save_shard", slowly)
    run = lnet.train(plan_of(folder, steps=9, checkpoint=3), directory=folder / "a", grace=0.2)
    (message,) = [event.message for event in run.events() if event.name == "warning"]
    assert re.fullmatch(
        r"the checkpoint of step 3 took \d+\.\d s, and after Ctrl-C it has 0\.2 s: --grace \d+", message
    )


# --- what goes wrong -------------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_names_layer_and_line(folder):
    plan = plan_of(folder, update="sgd(rate = 1e6)")
    with pytest.raises(LnetError) as caught:
        lnet.train(plan, directory=folder / "a")
    text = str(caught.value)
    assert "small.lnet:2:" in text
    assert "error E730: step " in text
    assert "is not finite" in text
    run = lnet.open_run(folder / "a")
    assert all(np.isfinite(value).all() for value in weights(run).values())
    assert run.events()[-1].name == "failed"


def test_a_gradient_that_is_not_finite_is_caught_too(folder):
    """The loss is finite, and its slope is not: the weights stay as they were."""
    (folder / "small.lnet").write_text(
        TEXT.replace("l2pool(2)", "l2pool(2, eps = 1e-45)").replace("V2: sense(2)", "q: l1()")
    )
    images = np.zeros((8, 10, 10, 1), np.float32)
    with pytest.raises(LnetError, match=r"E730: step 1: the gradient of 'V1.filter.weight' is not finite"):
        lnet.train(plan_of(folder), data=images, directory=folder / "a")
    run = lnet.open_run(folder / "a")
    assert_equal(weights(run), dict(lnet.Network(run.plan).params))


def test_a_checkpoint_without_room_is_reported_and_training_goes_on(folder, monkeypatch):
    real, failures = shards.write_blocks, []

    def full_at_five(path, arrays, metadata):
        if not failures:
            failures.append(path)
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device")
        return real(path, arrays, metadata)

    monkeypatch.setattr(shards, "write_blocks", full_at_five)
    run = lnet.train(plan_of(folder), directory=folder / "a")
    assert len(failures) == 1
    assert not list(run.checkpoints.path.rglob("*.writing"))
    assert any("the checkpoint at step 5 could not be written" in (e.text or "") for e in run.events())
    assert list(run.checkpoints.files()) == [15, 20]


def test_no_room_for_the_last_checkpoint(folder, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shards, "write_blocks", full)
    with pytest.raises(LnetError) as caught:
        lnet.train(plan_of(folder), directory=folder / "a")
    assert str(caught.value) == (
        "error E731: the last checkpoint, at step 20, could not be written\n"
        " = note: [Errno 28] No space left on device\n"
        f" = hint: when it can be, go on from step 0: lnetc resume {folder / 'a'}"
    )


def test_steps_that_cannot_be(folder):
    with pytest.raises(LnetError, match="E746"):
        lnet.train(plan_of(folder), steps=0, directory=folder / "a")


def test_without_images(folder):
    (folder / "small.lnet").write_text(TEXT.replace('data = frames("images");', ""))
    with pytest.raises(LnetError, match="E747: the file names no images"):
        lnet.train(plan_of(folder), directory=folder / "a")
    assert not (folder / "a").exists()
    run = lnet.train(plan_of(folder), folder / "images", directory=folder / "a")
    assert run.info["data"]["images"] == 6
    assert steps_of(run)[-1].step == 20
    on_array = lnet.train(plan_of(folder), np.zeros((4, 10, 10, 1), np.float32), directory=folder / "b")
    assert on_array.samples(5, folder / "images").images.shape == (5, 10, 10, 1)


def test_other_images_than_at_first(folder):
    stop_after(plan_of(folder), folder / "a", 3)
    (folder / "images" / "0.png").unlink()
    with pytest.raises(LnetError, match="E748: the run was started on 6 images, and now there are 5"):
        lnet.resume(folder / "a")


def test_a_batch_that_no_memory_holds_is_refused_before_a_directory_is_made(folder):
    with pytest.raises(
        LnetError,
        match=r"E753: to train 'small' in one process takes [\d,]+ TB of memory, and [\d.]+ [GM]B are free",
    ):
        lnet.train(plan_of(folder, batch=10**11), directory=folder / "a")
    assert not (folder / "a").exists()


def test_parameters_as_nobody_sends_them_E751(folder):
    with pytest.raises(LnetError, match="E751: parameters cannot be sent as 'float8'"):
        lnet.train(plan_of(folder), directory=folder / "a", wire="float8")
    assert not (folder / "a").exists()


def test_images_in_memory(folder):
    images = np.random.default_rng(0).random((30, 10, 10, 1), np.float32)
    whole = lnet.train(plan_of(folder), data=images, directory=folder / "a")
    with pytest.raises(lnet.Interrupted):
        lnet.train(plan_of(folder), data=images, directory=folder / "b", reporter=StopAt(7))
    assert_equal(weights(whole), weights(lnet.resume(folder / "b", data=images)))
    stop_after(plan_of(folder), folder / "c", 7, data=images)
    with pytest.raises(LnetError, match=r"E748: the image '.*' in memory has changed since it was"):
        lnet.resume(folder / "c", data=1 - images)


def test_a_corrupt_image_among_many(folder):
    (folder / "images" / "3.png").write_bytes(b"\x89PNG nothing")
    run = lnet.train(plan_of(folder), directory=folder / "a")
    messages = [e.message for e in run.events() if e.name == "warning"]
    assert len(messages) == 1
    assert messages[0].startswith("skipped the corrupt image '3.png': ")
    assert "BytesIO" not in messages[0]


def test_a_log_that_was_cut_off_goes_on_in_a_line_of_its_own(folder):
    stop_after(plan_of(folder), folder / "a", 7)
    log = folder / "a" / "events.jsonl"
    log.write_bytes(log.read_bytes()[:-9])
    run = lnet.resume(folder / "a")
    lines = log.read_text().splitlines()
    assert sum(not _is_json(line) for line in lines) == 1
    assert [e.step for e in steps_of(run)] == list(range(1, 21))


def _is_json(line):
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def test_default_directories_count_up(folder, monkeypatch):
    monkeypatch.chdir(folder)
    runs = [lnet.train(plan_of(folder, steps=1)) for _ in range(2)]
    assert [run.directory for run in runs] == [Path("runs/small-1"), Path("runs/small-2")]


def test_a_run_explains_itself_without_its_file(folder):
    lnet.train(plan_of(folder, batch=4), directory=folder / "a")
    (folder / "small.lnet").unlink()
    run = lnet.open_run(folder / "a")
    assert run.plan.source_text == TEXT
    assert run.plan.overrides == (("train.batch", "4"),)
    assert run.info["versions"]["lnet"] == lnet.__version__
    assert textwrap.dedent(run.plan.explain()).startswith("network small from")
