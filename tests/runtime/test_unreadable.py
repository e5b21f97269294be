"""What the system does not let a process read is not damaged, not missing and no reason to begin anew."""

import errno
import os
import shutil

import pytest
from commands import lnetc
from made_events import event, lines
from small_run import furnish, plan_of
from unreadable import FAILURES, another_user, failures, is_a_folder, lnetc_restricted, shared_folder

import lnet
from lnet.dsl.diagnostics import LnetError
from lnet.runtime.analysis.gallery import keep
from lnet.runtime.analysis.probe.result import free_name, probe_files
from lnet.runtime.analysis.report import write_report
from lnet.runtime.store.events import Started


@pytest.fixture(scope="module")
def trained():
    with shared_folder() as folder:
        lnet.train(plan_of(furnish(folder)), directory=folder / "whole")
        yield folder


@pytest.fixture
def run(trained):
    """A run of its own with checkpoints at 15 and 20."""
    directory = trained / "a"
    shutil.copytree(trained / "whole", directory)
    yield lnet.open_run(directory)
    shutil.rmtree(directory)


def all_files(run):
    return sorted(path.relative_to(run.directory) for path in run.directory.rglob("*"))


def said_of(error, path, number):
    """What the command must say: the code, the path, and what the system said."""
    assert "error E732: " in error
    assert str(path) in error
    assert f"[Errno {number}] {os.strerror(number)}" in error
    assert "damaged" not in error
    return True


@failures
@pytest.mark.parametrize("part", ["manifest.json", "shard-0-*"])
def test_a_checkpoint_that_cannot_be_read_ends_every_command_and_changes_nothing(run, trained, fail, part):
    newest = run.checkpoints.files()[20]
    fail(*newest.glob(part))
    before, log = all_files(run), (run.directory / "events.jsonl").read_bytes()
    lasting = ("resume", run.directory, "--steps", 25), ("report", run.directory)
    for command in (
        *lasting,
        ("export", run.directory, "-o", trained / "x.npz"),
        ("draw", run.directory, "V1.norm[0,0,0]"),
    ):
        assert said_of(lnetc(*command, status=3).stderr, newest, FAILURES[fail])
    begin = ("run", trained / "small.lnet", "--from", run.directory, "-d", trained / "b")
    assert said_of(lnetc(*begin, status=3).stderr, newest, FAILURES[fail])
    assert not (trained / "b").exists()
    with pytest.raises(LnetError, match="E732"):
        run.network(20)
    assert set(all_files(run)) - set(before) <= {(run.directory / ".lock").relative_to(run.directory)}
    assert (run.directory / "events.jsonl").read_bytes() == log
    assert run.network(15).params


def test_nor_does_one_that_this_user_may_not_open(run):
    newest = run.checkpoints.files()[20]
    newest.chmod(0)
    with another_user():
        for read in (run.checkpoints.newest, run.checkpoints.newest_path, lambda: run.network(20)):
            with pytest.raises(LnetError) as caught:
                read()
            assert said_of(str(caught.value), newest, errno.EACCES)
        assert run.network(15).params
    run.directory.chmod(0o777)
    for path in run.directory.iterdir():
        path.chmod(0o777 if path.is_dir() else 0o666)
    done = lnetc_restricted("as another user", "resume", run.directory)
    assert done.returncode == 3, done.stderr
    assert said_of(done.stderr, newest, errno.EACCES)
    assert "Traceback" not in done.stderr
    assert [path.name for path in run.checkpoints.files().values()] == [
        "step-00000015-3.shards",
        "step-00000020-4.shards",
    ]


def test_a_folder_of_checkpoints_that_this_user_may_not_look_into_is_not_empty(run):
    run.checkpoints.path.chmod(0)
    try:
        with another_user(), pytest.raises(LnetError) as caught:
            run.checkpoint()
    finally:
        run.checkpoints.path.chmod(0o755)
    assert said_of(str(caught.value), run.checkpoints.path, errno.EACCES)


def test_too_many_open_files(run):
    done = lnetc_restricted("with no file left", "resume", run.directory)
    assert done.returncode == 3, done.stderr
    assert said_of(done.stderr, run.directory, errno.EMFILE)
    assert all_files(run) == sorted(all_files(run))
    assert 20 in run.checkpoints.files()


@failures
@pytest.mark.parametrize("name", ["run.json", "events.jsonl"])
def test_other_files_of_a_run(run, fail, name):
    fail(run.directory / name)
    assert said_of(lnetc("report", run.directory, status=3).stderr, run.directory / name, FAILURES[fail])


def test_a_plan(run):
    is_a_folder(run.directory / "plan.json")
    error = lnetc("report", run.directory, status=1).stderr
    assert "E605: the plan" in error
    assert "cannot be read" in error
    assert "[Errno 21]" in error
    assert "compile it again" not in error


@failures
def test_pictures_and_probes(run, fail):
    keep(run, "stimuli", "V1.norm-0-0-0", {}, {"top.png": b""})
    record = run.directory / "pictures" / "stimuli.V1.norm-0-0-0.json"
    whole = record.read_bytes()
    fail(record)
    with pytest.raises(LnetError) as caught:
        write_report(run)
    assert said_of(str(caught.value), record, FAILURES[fail])
    if record.is_dir():
        record.rmdir()
    else:
        record.unlink()
    record.write_bytes(whole)
    (run.directory / "probes").mkdir()
    probe = run.directory / "probes" / "set.json"
    probe.write_text("{}")
    fail(probe)
    with pytest.raises(LnetError) as caught:
        write_report(run)
    assert said_of(str(caught.value), probe, FAILURES[fail])
    with pytest.raises(LnetError, match="E732"):  # else it would be replaced
        free_name(run, type("Probe", (), {"images": "set", "label": "", "against": ""}))


def test_a_folder_of_probes_that_this_user_may_not_look_into_is_not_empty(run):
    (run.directory / "probes").mkdir(mode=0)
    with another_user(), pytest.raises(LnetError, match="E732"):
        probe_files(run)


# --- no checkpoint is whole -----------------------------------------------------------------------------------------


def test_a_run_whose_checkpoints_are_all_damaged_does_not_begin_anew(run):
    """Neither at once nor when it is asked again; with a copy of one it goes on."""
    for path in run.checkpoints.files().values():
        (shard,) = path.glob("shard-*")
        shard.write_bytes(shard.read_bytes()[:-1])
    before = all_files(run)
    for _ in range(2):
        error = lnetc("resume", run.directory, "--steps", 25, status=3).stderr
        assert f"error E732: no checkpoint of '{run.directory}' is whole" in error
        assert "the damaged checkpoint 'step-00000015-3.shards': 'shard-0-" in error
        assert " bytes, its header says " in error
        assert "= hint: put back a copy of a checkpoint" in error
    assert set(before) >= set(all_files(run)) - {(run.directory / ".lock").relative_to(run.directory)}
    name = "step-00000020-4.shards"
    shutil.rmtree(run.checkpoints.path / name)
    shutil.copytree(run.directory.parent / "whole" / "checkpoints" / name, run.checkpoints.path / name)
    assert "trained: " in lnetc("resume", run.directory).stdout


@pytest.mark.parametrize("gone", ["files", "folder"])
def test_a_run_whose_checkpoints_are_gone_does_not_begin_anew(run, gone):
    if gone == "folder":
        shutil.rmtree(run.checkpoints.path)
    else:
        for path in run.checkpoints.files().values():
            shutil.rmtree(path)
    error = lnetc("resume", run.directory, status=3).stderr
    assert "= note: 'step-00000020-4.shards', which the log names, is missing" in error


def test_that_the_newest_is_missing_is_said(run):
    shutil.rmtree(run.checkpoints.files()[20])
    output = lnetc("resume", run.directory).output
    assert "the checkpoint 'step-00000020-4.shards', which the log names, is missing" in output
    assert run.network().params


def test_a_run_that_never_had_a_checkpoint_begins(run):
    shutil.rmtree(run.checkpoints.path)
    (run.directory / "events.jsonl").write_text(lines(event(Started)))
    lnetc("resume", run.directory)
    assert 20 in run.checkpoints.files()


def test_a_checkpoint_of_a_later_version_is_not_damaged(run):
    path = run.checkpoints.files()[20]
    manifest = path / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"format": "3"', '"format": "4"'))
    error = lnetc("resume", run.directory, status=1).stderr
    assert f"E742: the checkpoint '{path}' has format '4', and this program reads format '3'" in error
    assert path.exists()
