"""`--dry-run`: all that a run begins with is checked and printed, and nothing is written."""

import fcntl
import re

import pytest
from commands import lnetc
from small_run import empty, furnish, plan_of

import lnet


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return furnish(tmp_path_factory.mktemp("small"))


@pytest.fixture
def there(folder, monkeypatch):
    monkeypatch.chdir(folder)
    return folder


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_says_what_it_would_begin_with_and_writes_nothing(there):
    before = contents(there)
    said = lnetc("run", "small.lnet", "--dry-run", "--set", "train.fetch=2", "--batch", 6).output
    assert contents(there) == before
    assert not (there / "runs").exists()
    assert re.sub(r"memory, .* are free", "memory, ... are free", said).splitlines() == [
        "network small: 7 layers, 6,156 parameters; 1 replica of 1x1 tiles on 1 worker",
        "small.lnet: 6 images in 'images', 6 a step, 20 passes",
        "100 MB of memory, ... are free",
        "not used in one process, but by replicas on a cluster: fetch",
        "to train in 'runs/small-1' from step 0 to 20",
        "checked: nothing was written",
    ]
    assert lnetc("run", "small.lnet", "--dry-run", "-q").output == "checked: nothing was written\n"
    assert (
        "replicas on a cluster"
        not in lnetc("run", "small.lnet", "--dry-run", "--cluster", "--set", "train.fetch=2").output
    )


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--data", "nowhere"], "E701"),
        (["-d", "images"], "E743"),
        (["--from", "nowhere"], "E740"),
        (["--freeze", "V9"], "E750"),
        (["--validation", "nowhere"], "E701"),
    ],
)
def test_what_a_run_would_be_refused_for_is_said(there, arguments, code):
    before = contents(there)
    assert code in lnetc("run", "small.lnet", "--dry-run", *arguments, status=1).output
    assert contents(there) == before


def test_a_resume_says_where_it_would_go_on(there, tmp_path):
    run = lnet.train(plan_of(there, steps=8), directory=tmp_path / "run")
    empty(run.checkpoints.files()[8])
    before = contents(run.directory)
    command = ["resume", run.directory, "--dry-run"]
    said = lnetc(*command, "--steps", 12, "--batch", 4).output.splitlines()
    assert any(line.startswith("passed over") for line in said)
    assert "from step 8 on: batch = 4, was 8; steps = 12, was 8" in said
    assert said[-2:] == [
        f"to train in '{run.directory}' from step 5 to 12",
        "checked: nothing was written",
    ]
    (there / "images" / "0.png").rename(there / "0.png")
    try:
        assert "E748" in lnetc(*command, status=1).output
    finally:
        (there / "0.png").rename(there / "images" / "0.png")
    assert "E754" in lnetc(*command, "--set", "train.replicas=2", status=1).output
    with open(run.directory / ".lock") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert "E745" in lnetc(*command, status=1).output
    assert contents(run.directory) == before
