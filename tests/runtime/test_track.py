"""Runs in TensorBoard, Weights & Biases, MLflow and trackio, as these programs themselves read them."""

import json
import math
import os
import shutil
import subprocess
import sys
import tomllib
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import tracked
from commands import lnetc
from made_events import lines, step
from small_run import furnish, plan_of

import lnet
from lnet.cli.track import _follow, trackers_beside
from lnet.runtime.analysis.track.following import Following
from lnet.runtime.analysis.track.position import Record, alone
from lnet.runtime.analysis.track.rates import rates_of
from lnet.runtime.analysis.track.services import SERVICES
from lnet.runtime.analysis.track.track import Sending, tracking
from lnet.runtime.store.events import Resumed, StepDone, Validated
from lnet.runtime.store.run import SWEEP

pytest.importorskip("tensorboard")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return furnish(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def trained(folder):
    settings = {"steps": 12, "checkpoint": 6, "validation": 'frames("images")', "validate_every": 4}
    return lnet.train(plan_of(folder, **settings), directory=folder / "runs" / "first").directory


@pytest.fixture
def run(trained, tmp_path, monkeypatch):
    """A copy of the run that nobody has sent yet, in a folder where services keep their files."""
    shutil.copytree(trained, tmp_path / "first")
    tracked.set_offline(monkeypatch, tmp_path)
    return tmp_path / "first"


@pytest.fixture(params=sorted(SERVICES))
def service(request):
    pytest.importorskip(SERVICES[request.param].package)
    return request.param


def logged(run, name, value):
    """The points that a log has of a figure."""
    return [
        (event.step, pytest.approx(value(event)))
        for event in lnet.open_run(run).events()
        if type(event) is name
    ]


def test_a_service_is_entered_everywhere():
    root = Path(__file__).parents[2]
    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    guide, said = (root / "docs/guide.md").read_text(), lnetc("track", "--help").stdout
    for name in SERVICES:
        assert name in extras
        assert f"\n| `{name}` |" in guide
        assert name in said
    assert set(tracked.READERS) == set(SERVICES)


def test_a_service_has_all_that_the_log_has_and_a_second_call_sends_nothing(run, service):
    said = lnetc("track", run, "--to", service, "--to", service).stdout
    assert said.startswith(f"{SERVICES[service].title}: '{run}' is in ")
    assert len(said.splitlines()) == 1
    found = tracked.READERS[service](run)
    assert found.scalars["train/loss"] == logged(run, StepDone, lambda event: event.loss)
    assert found.scalars["train/V1.learn"] == logged(
        run, StepDone, lambda event: event.objectives["V1.learn"]
    )
    assert found.scalars["validation/loss"] == logged(run, Validated, lambda event: event.loss)
    assert len(found.scalars["speed/images_per_second"]) == 12
    assert found.settings["update.rate"] in (0.01, "0.01")
    assert found.settings["seed"] in (7, "7")
    assert found.pictures == [6, 12]
    assert len(found.parameters) == len(lnet.open_run(run).plan.graph.parameters)
    assert (
        lnetc("track", run, "--to", service).stdout
        == f"{SERVICES[service].title}: nothing of '{run}' is new\n"
    )
    assert tracked.READERS[service](run) == found


def test_a_run_that_is_resumed_goes_on_in_the_service(run, service):
    lnet.track(run, service)
    lnet.resume(run, steps=15)
    assert lnet.track(run, service)
    found = tracked.READERS[service](run)
    assert found.runs == 1
    assert [step for step, _ in found.scalars["train/loss"]] == list(range(1, 16))
    assert "resumed from step 12" in found.messages[-1]


def test_what_was_sent_before_a_crash_is_there_once(run, service, monkeypatch):
    """A process sends all and is killed before it has written that down, but for what it began with."""
    save, saved = Record.save, []

    def save_first(record):
        if not saved:
            save(record)
        saved.append(record)

    monkeypatch.setattr(Record, "save", save_first)
    assert lnet.track(run, service)
    monkeypatch.undo()
    tracked.set_offline(monkeypatch, run.parent)
    assert lnet.track(run, service)
    found = tracked.READERS[service](run)
    assert found.runs == 1
    assert [step for step, _ in found.scalars["train/loss"]] == list(range(1, 13))
    assert [step for step, _ in found.scalars["validation/loss"]] == [4, 8, 12]


def test_nothing_that_is_sent_names_this_machine_or_its_user(run, service, tmp_path, monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "our-machine")
    monkeypatch.setattr("getpass.getuser", lambda: "our-user")
    with open(run / "events.jsonl", "a") as file:
        file.write(lines(tracked.warned(f"'{tmp_path}/secret/photo.jpg' is corrupt")))
    lnet.track(run, service)
    assert "photo.jpg" in tracked.READERS[service](run).messages[-1]
    secrets = str(tmp_path).encode(), b"our-machine", b"our-user"
    content = tracked.content(service)
    assert b"photo.jpg" in content or service == "trackio", "it is compressed there"
    assert not [secret for secret in secrets if secret in content]


def test_a_password_of_a_server_is_neither_said_nor_kept(run, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ann:hush@127.0.0.1:9/there")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    said = lnetc("track", run, "--to", "mlflow", status=1).stderr
    assert said.startswith(f"error E794: MLflow did not take '{run}'")
    kept = "".join(path.read_text() for path in (run / "tracked").iterdir())
    assert "hush" not in said + kept


def test_steps_that_are_void_are_gone_from_tensorboard(run):
    with tracking(run, SERVICES["tensorboard"], Sending()) as found:
        found.send()
        with open(run / "events.jsonl", "a") as file:
            file.write(lines(Resumed(6), step(7, loss=99.0, objectives={"V1.learn": 98.0, "V2.learn": 1.0})))
        found.send()
        found.close()
    read = tracked.READERS["tensorboard"](run)
    assert [step for step, _ in read.scalars["train/loss"]] == [1, 2, 3, 4, 5, 6, 7]
    assert read.scalars["train/loss"][-1] == (7, 99.0)
    assert [step for step, _ in read.scalars["validation/loss"]] == [4]
    assert read.pictures == [6]


def test_a_run_whose_files_were_removed_is_sent_anew(run):
    lnet.track(run, "tensorboard")
    shutil.rmtree(run / "tensorboard")
    lnet.resume(run, steps=13)
    lnet.track(run, "tensorboard")
    assert len(tracked.READERS["tensorboard"](run).scalars["train/loss"]) == 13


def test_the_end_of_a_run_whose_files_were_removed(run):
    lines = (run / "events.jsonl").read_text().splitlines(keepends=True)
    (run / "events.jsonl").write_text("".join(lines[:-1]))
    lnet.track(run, "tensorboard")
    shutil.rmtree(run / "tensorboard")
    (run / "events.jsonl").write_text("".join(lines))
    assert lnet.track(run, "tensorboard")
    assert len(tracked.READERS["tensorboard"](run).scalars["train/loss"]) == 12


def test_the_runs_of_a_sweep_have_names_of_their_own_wherever_they_are_sent_from(run, service):
    expected = {"found/trial-0000/seed-7", "found/trial-0001/seed-7"}
    for name in expected:
        shutil.copytree(run, name)
    Path("found", SWEEP).touch()
    lnetc("track", "found", "--to", service, "-d", "tensorboard")
    assert tracked.names(service) == expected
    lnet.resume("found/trial-0000/seed-7", steps=13)
    folder = Path("tensorboard").resolve()
    lnetc("track", "found/trial-0000/seed-7", "--to", service, "-d", folder)
    assert tracked.names(service) == expected


def test_a_run_that_is_moved_keeps_its_name(run):
    pytest.importorskip("trackio")
    lnetc("track", run, "--to", "trackio", "--name", "the first")
    lnet.resume(run, steps=13)
    run.rename("moved")
    lnetc("track", "moved", "--to", "trackio")
    assert tracked.names("trackio") == {"the first"}


def test_runs_of_one_name_do_not_share_a_folder(run, tmp_path):
    shutil.copytree(run, tmp_path / "other" / "first")
    lnetc("track", run, "--to", "tensorboard", "-d", "all")
    said = lnetc("track", "other/first", "--to", "tensorboard", "-d", "all", status=1).stderr
    assert "'all/first' has files of another run: give this one a --name" in said
    lnetc("track", "other/first", "--to", "tensorboard", "-d", "all", "--name", "second")
    assert {path.name for path in Path("all").iterdir()} == {"first", "second"}
    shutil.rmtree("all")
    lnetc("track", "other/first", "--to", "tensorboard", "-d", "all")
    lnet.resume(run, steps=13)
    said = lnetc("track", run, "--to", "tensorboard", "-d", "all", status=1).stderr
    assert "'all/first' has files of another run" in said, "it had files of its own there before"


def test_one_process_at_a_time_sends_a_run_to_a_place(run):
    with alone(run, "tensorboard", "tensorboard"):
        said = lnetc("track", run, "--to", "tensorboard", status=1).stderr
        assert f"error E795: another process sends '{run}' to tensorboard already" in said
        lnetc("track", run, "--to", "tensorboard", "-d", "elsewhere")
    assert (run.parent / "elsewhere" / "first").is_dir()


def test_a_record_that_is_damaged_is_said(run):
    lnet.track(run, "tensorboard")
    (kept,) = (run / "tracked").glob("*.json")
    kept.write_text("{")
    assert "E795" in lnetc("track", run, "--to", "tensorboard", status=1).stderr
    lnetc("track", run, "--to", "tensorboard", "--again")


def test_what_cannot_be_sent(run, monkeypatch):
    said = lnetc("track", run, "--to", "tensorbord", status=1).stderr
    assert said.startswith("error E794: there is no service 'tensorbord'")
    assert "did you mean 'tensorboard'?" in said
    assert "E740" in lnetc("track", run / "none", "--to", "tensorboard", status=1).stderr
    lacking = replace(SERVICES["tensorboard"], package="not_installed_anywhere")
    monkeypatch.setattr("lnet.runtime.analysis.track.track.SERVICES", {"tensorboard": lacking})
    for command in (["track", run, "--to", "tensorboard"], ["resume", run, "--track", "tensorboard"]):
        said = lnetc(*command, status=1).stderr
        assert "error E787: sending runs to TensorBoard needs 'not_installed_anywhere'" in said
        assert "pip install 'lnetc[tensorboard]'" in said
    assert (
        "has nothing to send" in lnetc("resume", run, "--track", "tensorboard", "--dry-run", status=2).stderr
    )


@pytest.mark.parametrize("every", [0, 1.5])
def test_means_over_no_steps_are_refused_in_python(run, every):
    with pytest.raises(
        lnet.LnetError, match=f"E746: means are taken over a positive number of steps, found {every}"
    ):
        lnet.track(run, "tensorboard", every=every)


def test_the_rate_of_a_run_whose_settings_changed(run):
    lnet.resume(run, steps=14, set={"train.update": "adam(rate = 0.5)"})
    rate = rates_of(lnet.open_run(run))
    assert rate(1) == pytest.approx(0.01)
    assert rate(12) == pytest.approx(0.005 * (1 + math.cos(math.pi * 11 / 12)), rel=1e-5)
    assert [rate(13), rate(14)] == [0.5, 0.5]


def test_a_run_that_begins_later_is_followed_to_its_end(run, trained):
    later = run.parent / "later"
    followed = Following(later, SERVICES["tensorboard"], Sending())
    followed.look()
    assert (followed.place, followed.is_over) == ("", False)
    lines = (run / "events.jsonl").read_text().splitlines(keepends=True)
    (run / "events.jsonl").write_text("".join(lines[:5]))
    run.rename(later)
    followed.look()
    assert (followed.place, followed.is_over) == (str(later / "tensorboard"), False)
    with open(later / "events.jsonl", "a") as file:
        file.write("".join(lines[5:]))
    followed.look()
    assert followed.is_over
    followed.end()
    followed.release()
    found = tracked.READERS["tensorboard"](later)
    assert found.scalars["train/loss"] == logged(trained, StepDone, lambda event: event.loss)


@pytest.mark.parametrize("ends", [True, False])
def test_a_run_that_another_process_sends_is_waited_for(run, capsys, ends):
    """As after `kill -9` and `resume`; whether it has ended is asked between two looks, and the second one is the last."""
    asked, failures = [], []

    def over():
        asked.append(1)
        if len(asked) > 1 and ends:
            other.close()
        return len(asked) > 1

    with ExitStack() as other:
        other.enter_context(alone(run, "tensorboard", "tensorboard"))
        _follow(
            [Following(run, SERVICES["tensorboard"], Sending())],
            over,
            lambda each, e: failures.append(str(e)),
        )
    said = f"TensorBoard: waiting for another process, which sends '{run}'\n"
    sent = f"TensorBoard: '{run}' is in {run}/tensorboard\n"
    assert capsys.readouterr().out == said + (sent if ends else "")
    assert [error.partition(":")[0] for error in failures] == ([] if ends else ["error E795"])


def trained_beside(folder, path=""):
    """Train with a tracker beside it."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([path, *sys.path])}
    command = [sys.executable, "-m", "lnet", "run", "small.lnet", "--track", "tensorboard", "-d", "live"]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)


def test_a_run_is_sent_while_it_is_trained(tmp_path):
    done = trained_beside(furnish(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "TensorBoard: 'live' is in live/tensorboard" in done.stdout
    assert done.stderr == ""
    found = tracked.READERS["tensorboard"](tmp_path / "live")
    assert found.scalars["train/loss"] == logged(tmp_path / "live", StepDone, lambda event: event.loss)
    (kept,) = (tmp_path / "live" / "tracked").glob("*.json")
    assert json.loads(kept.read_text())["position"]["state"] == "done"


def test_a_service_that_fails_costs_a_run_one_warning(tmp_path):
    broken = tmp_path / "broken" / "tensorboard"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise RuntimeError('the network is gone')")
    done = trained_beside(furnish(tmp_path), str(broken.parent))
    assert done.returncode == 0
    assert "trained: live" in done.stdout
    assert done.stderr == (
        "warning: TensorBoard did not take 'live'; the network is gone; the run goes on, and this sends the rest: "
        "lnetc track live --to tensorboard\n"
    )
    lnet.track(tmp_path / "live", "tensorboard")
    assert len(tracked.READERS["tensorboard"](tmp_path / "live").scalars["train/loss"]) == 20


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import os; os.kill(os.getpid(), 9)", "was ended (exit status -9)"),
        ("import time; time.sleep(60)", "takes more than 0 s"),
        ("", None),
    ],
)
def test_a_process_that_does_not_send_all_is_said(monkeypatch, capsys, program, said):
    def process(directory, service, quiet):
        found = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE)
        if "sleep" not in program:
            found.wait()
        return found

    monkeypatch.setattr("lnet.cli.track._process", process)
    monkeypatch.setattr("lnet.cli.track.ENDING", 0.0)
    with trackers_beside(Path("a run"), ["tensorboard", "tensorboard"], quiet=True):
        pass
    later = "this sends the rest: lnetc track 'a run' --to tensorboard"
    expected = f"warning: what sends to TensorBoard {said}; {later}\n" if said else ""
    assert capsys.readouterr().err == expected
