"""A command that waits for its cluster: schedulers and workers that really end and come back, and what it prints."""

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, suppress

import numpy as np
import pytest
from commands import lnetc
from processes import PROGRAM, _process, images

import lnet
from lnet.runtime.cluster import launch
from lnet.runtime.cluster.actors import predecessor
from lnet.runtime.store import run

ADDRESS = "tcp://127.0.0.1"
NOISE = re.compile(r"Traceback|distributed\.|CommClosed|asyncio|tornado|Error\b.*:", re.IGNORECASE)
"""What Dask and Python say where a person should read a line of ours."""
slow = pytest.mark.slow


@pytest.fixture
def folder(tmp_path):
    pictures = images()
    np.save(tmp_path / "images.npy", (pictures - pictures.min()) / np.ptp(pictures))
    program = (PROGRAM % (4, 10**5, 1, 0)).replace('"none"', '"images.npy"')
    (tmp_path / "small.lnet").write_text(program)
    return tmp_path


class Services:
    """A scheduler and its workers, as a service would start them: always at the same port, always anew."""

    def __init__(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"{ADDRESS}:{self.port}"
        self.running = ExitStack()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.running.close()

    def start(self, *names, file=None):
        where = [] if file is None else ["--scheduler-file", file]
        self.scheduler = self.running.enter_context(
            _process("scheduler", "--port", self.port, "--dashboard-address", ":0", *where)
        )
        for name in names:
            self.work(name)

    def work(self, name):
        self.running.enter_context(
            _process("worker", self.address, "--nthreads", 1, "--no-nanny", "--name", name)
        )

    def kill(self):
        """Kill the scheduler; its workers end themselves."""
        self.scheduler.kill()
        self.scheduler.wait()


class Command:
    """`lnetc` in a process of its own, and what it has printed."""

    def __init__(self, folder, *arguments):
        self.file = folder / "said"
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from lnet.cli import main; main()", *map(str, arguments)],
            cwd=folder,
            stdout=self.file.open("w"),
            stderr=subprocess.STDOUT,
        )

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.wait()

    @property
    def said(self):
        return self.file.read_text()

    def until(self, words, times=1):
        deadline = time.monotonic() + 240
        while self.said.count(words) < times:
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.1)

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=60)


@slow
def test_a_scheduler_that_is_killed_twice_is_waited_for(folder):
    """With two workers at first, then one of another name, then three."""
    with (
        Services() as services,
        Command(folder, "run", "small.lnet", "-d", "run", "--cluster", services.address, "--wait") as command,
    ):
        command.until(f"waiting for a scheduler at '{services.address}': 0:00:00")
        services.start("worker-0", "worker-1")
        command.until("checkpoint 1 is committed")
        services.kill()
        command.until("the cluster was lost: the connection to its scheduler ended; waiting for it")
        services.start("other")
        command.until("training from step", times=2)
        after = newest(folder)
        command.until("is committed", times=command.said.count("is committed") + 2)
        services.kill()
        command.until("waiting for it", times=2)
        services.start("worker-0", "worker-1", "worker-2")
        command.until("training from step", times=3)
        command.until("is committed", times=command.said.count("is committed") + 1)
        assert command.interrupt() == 130
    assert not NOISE.findall(command.said), command.said
    trained = lnet.open_run(folder / "run")
    resumed = [event.step for event in trained.events() if event.name == "resume"]
    assert len(resumed) == 2
    assert after == resumed[0] < resumed[1] < newest(folder)
    expected = lnet.train(
        lnet.compile(folder / "small.lnet"), steps=newest(folder), directory=folder / "expected"
    )
    start = lnet.Network(trained.plan).params
    for name, value in expected.network().params.items():
        moved = np.linalg.norm(value - start[name])
        assert np.linalg.norm(trained.network().params[name] - value) < 1e-3 * moved, name


def newest(folder):
    return max(lnet.open_run(folder / "run").checkpoints.files(), default=0)


@slow
def test_a_scheduler_that_stands_still_and_wakes_up_loses_nothing(folder):
    """The same one: what it had is saved before the run goes on."""
    with Services() as services:
        services.start("worker-0")
        with Command(
            folder, "run", "small.lnet", "-d", "run", "--cluster", services.address, "--wait"
        ) as command:
            command.until("checkpoint 1 is committed")
            services.scheduler.send_signal(signal.SIGSTOP)
            command.until("waiting for it")
            reached = max(event.step for event in steps(folder))
            services.scheduler.send_signal(signal.SIGCONT)
            command.until("training from step", times=2)
            assert command.interrupt() == 130
    assert not NOISE.findall(command.said), command.said
    (resumed,) = [e.step for e in lnet.open_run(folder / "run").events() if e.name == "resume"]
    assert resumed >= reached - 1


def steps(folder):
    return [event for event in lnet.open_run(folder / "run").events() if event.name == "step"]


@slow
def test_a_scheduler_file_that_comes_later(folder):
    file = folder / "scheduler.json"
    file.write_text(json.dumps({"address": "tcp://127.0.0.1:9"}))  # of a scheduler that is gone
    with (
        Services() as services,
        Command(folder, "run", "small.lnet", "--steps", 20, "--cluster", file, "--wait") as command,
    ):
        command.until("waiting for a scheduler at")
        services.start(file=file)
        command.until("waiting for workers (0 of 1 there)") if "workers (" in command.said else None
        services.work("worker-0")
        assert command.process.wait(timeout=240) == 0, command.said
    assert command.said.endswith("trained: runs/small-1\n")


# --- the coordinator that there is still -----------------------------------------------------------------------------


@slow
def test_a_command_that_is_killed_is_followed_by_one_that_loses_nothing(folder):
    """The coordinator of the first saves a last checkpoint, for which the second waits on the same cluster."""
    with Services() as services:
        services.start("worker-0")
        asked = ["--cluster", services.address]
        with Command(folder, "run", "small.lnet", "-d", "run", *asked) as command:
            command.until("checkpoint 1 is committed")
            command.process.kill()
            command.process.wait()
        reached = max(event.step for event in steps(folder))
        with Command(folder, "resume", "run", *asked) as command:
            command.until("training from step")
            assert command.interrupt() == 130
    (resumed,) = [e.step for e in lnet.open_run(folder / "run").events() if e.name == "resume"]
    assert resumed >= reached


@slow
def test_another_command_on_the_same_cluster_is_refused_E745(folder, monkeypatch):
    """From a second machine, whose lock is another's."""
    monkeypatch.setattr(predecessor, "COMMAND_TIMEOUT", 2.0)
    monkeypatch.setattr(run.fcntl, "flock", lambda *arguments: None)
    with Services() as services:
        services.start("worker-0")
        asked = ["--cluster", services.address]
        with Command(folder, "run", "small.lnet", "-d", "run", *asked) as command:
            command.until("checkpoint 1 is committed")
            owner = (folder / "run" / "owner.json").read_bytes()
            monkeypatch.chdir(folder)
            result = lnetc("resume", "run", *asked, status=1)
            assert "error E745: another command is training 'run' on this cluster" in result.output
            assert (folder / "run" / "owner.json").read_bytes() == owner
            command.until("is committed", times=command.said.count("is committed") + 1)
            assert command.interrupt() == 130


@slow
def test_workers_of_another_version_are_not_waited_for_E761(folder, monkeypatch):
    monkeypatch.setattr(launch, "versions", lambda: (("numpy", "0.1"),))
    with Services() as services:
        services.start("worker-0")
        monkeypatch.chdir(folder)
        result = lnetc("run", "small.lnet", "--cluster", services.address, "--wait", status=1)
    assert "error E761: the cluster has other versions than this process" in result.output


@slow
def test_the_wait_is_shown_in_one_line_of_a_terminal(folder):
    """It counts the seconds; Ctrl-C, as a terminal sends it, ends it."""
    leader, follower = pty.openpty()
    program = [sys.executable, "-c", "from lnet.cli import main; main()", "run", "small.lnet"]
    process = subprocess.Popen(
        ["setsid", "--ctty", *program, "--cluster", f"{ADDRESS}:9", "--wait"],
        cwd=folder,
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
    )
    os.close(follower)
    shown = b""
    while b"0:00:03" not in shown:
        shown += os.read(leader, 1000)
    os.write(leader, b"\x03")
    while process.poll() is None:
        with suppress(OSError):
            shown += os.read(leader, 1000)
    os.close(leader)
    assert process.returncode == 130
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert {f"0:00:0{second}" for second in range(1, 4)} <= set(re.findall(r"\d:\d\d:\d\d", text))
    assert text.count("\n") <= 4, text
    assert not NOISE.findall(text), text


# --- no cluster comes ----------------------------------------------------------------------------------------------


def test_nobody_comes_E760(folder, monkeypatch):
    monkeypatch.chdir(folder)
    result = lnetc("run", "small.lnet", "--cluster", f"{ADDRESS}:9", "--wait", "0.02", status=1)
    assert f"waiting for a scheduler at '{ADDRESS}:9': 0:00:00" in result.output
    assert "error E760: no cluster answers" in result.output
    assert f"waited 0.02 minutes for a scheduler at '{ADDRESS}:9'" in result.output
    assert not (folder / "runs").exists()


@slow
def test_it_does_not_come_back_E763(folder):
    with Services() as services:
        services.start("worker-0")
        with Command(
            folder, "run", "small.lnet", "-d", "run", "--cluster", services.address, "--wait=0.1"
        ) as command:
            command.until("checkpoint 1 is committed")
            services.kill()
            assert command.process.wait(timeout=120) == 3
    assert "error E763: the cluster was lost, and did not come back" in command.said
    assert "lnetc resume run --cluster" in command.said
    assert not NOISE.findall(command.said.replace("error E763:", "")), command.said


@slow
def test_ctrl_c_ends_the_wait(folder):
    with Command(folder, "run", "small.lnet", "-d", "run", "--cluster", f"{ADDRESS}:9", "--wait") as command:
        command.until("waiting for a scheduler")
        assert command.interrupt() == 130
    assert command.said.endswith("interrupted\n")
    assert not NOISE.findall(command.said), command.said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["run", "small.lnet", "--wait"],
            "'--wait' is for a cluster at an address: --cluster ADDRESS --wait",
        ),
        (["run", "small.lnet", "--cluster", "local", "--wait"], "'--wait' is for a cluster at an address"),
        (["resume", "--cluster", ADDRESS, "--wait", "run"], "expected a number of minutes, found 'run'"),
        (["run", "--cluster", ADDRESS, "--wait", "0"], "expected a number of minutes, found '0'"),
        (["run", "--cluster", ADDRESS, "--wait", "nan"], "expected a number of minutes, found 'nan'"),
    ],
)
def test_usage(folder, monkeypatch, arguments, message):
    monkeypatch.chdir(folder)
    assert message in " ".join(lnetc(*arguments, status=2).output.split())


# --- a scheduler that dies, without waiting ------------------------------------------------------------------------


@slow
def test_the_command_says_it_in_an_error_alone_E763(folder):
    with Services() as services:
        services.start("worker-0")
        with Command(folder, "run", "small.lnet", "-d", "run", "--cluster", services.address) as command:
            command.until("checkpoint 1 is committed")
            services.kill()
            assert command.process.wait(timeout=120) == 3
    last = command.said.partition("checkpoint 1 is committed\n")[2]
    last = re.sub(r"at step [\d,]+:", "at step ...:", last).splitlines()
    assert [line for line in last if not line.startswith(("step ", "checkpoint "))] == [
        "error E763: the cluster was lost",
        " = note: the connection to its scheduler ended",
        " = hint: go on from the checkpoint at step ...: lnetc resume run --cluster ...",
    ]


PROGRAMMED = """
import os, signal, sys, time
import lnet
from distributed import Client
from lnet.runtime.training.progress import Silent

class Reporter(Silent):
    def said(self, message):
        if "checkpoint 1 is" in message:
            os.kill(int(sys.argv[2]), signal.SIGKILL)

with Client(sys.argv[1]) as client:
    try:
        lnet.train(lnet.compile("small.lnet"), directory="run", client=client, reporter=Reporter())
    except lnet.LnetError as error:
        print(error.diagnostics[0].code)
    time.sleep(float(sys.argv[3]))
"""


@slow
@pytest.mark.parametrize("then", [0, 35], ids=["at once", "when Dask's client has given up"])
def test_a_program_is_told_by_an_error_alone_E763(folder, then):
    with Services() as services:
        services.start("worker-0")
        done = subprocess.run(
            [sys.executable, "-c", PROGRAMMED, services.address, str(services.scheduler.pid), str(then)],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=300,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )
    assert (done.returncode, done.stdout) == (0, "E763\n")
    assert done.stderr in ("", "the cluster was lost\n")  # the run's own log, which a program may configure


@slow
def test_workers_of_a_command_that_is_killed_say_nothing(folder):
    """The scheduler is in the command; the pipe ends when the last worker has."""
    process = subprocess.Popen(
        [sys.executable, "-c", "from lnet.cli import main; main()", "run", "--cluster", "small.lnet"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        while "checkpoint 1 is" not in (line := process.stdout.readline()):
            assert line, "it has ended"
        process.kill()
        after = process.stdout.read()
    assert not NOISE.findall(re.sub(r".*resource_tracker.*\n.*\n?", "", after)), after
