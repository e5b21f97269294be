"""Signals, in a real terminal whose foreground group they go to."""

import os
import pty
import select
import signal
import sys
import time
from pathlib import Path

import pytest
from small_run import furnish

import lnet

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return furnish(tmp_path)


class Terminal:
    """`lnetc` in a pseudo-terminal of its own."""

    def __init__(self, *arguments):
        self.text = ""
        self.pid, self.screen = pty.fork()
        if self.pid == 0:
            os.execv(sys.executable, [sys.executable, "-m", "lnet", *map(str, arguments)])

    def read(self, until=lambda text: False, seconds=120):
        """Read until something is on the screen, or the command has ended."""
        deadline = time.monotonic() + seconds
        while not until(self.text) and time.monotonic() < deadline:
            if select.select([self.screen], [], [], 0.2)[0]:
                try:
                    self.text += os.read(self.screen, 65536).decode(errors="replace")
                except OSError:  # nobody has it open any more
                    return
        assert until(self.text) or time.monotonic() < deadline, self.text

    def press(self, keys=b"\x03"):
        os.write(self.screen, keys)

    def status(self):
        self.read()
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def stepped():
    log = Path("a/events.jsonl")
    return log.exists() and '"event": "step"' in log.read_text()


def test_ctrl_c_with_workers_of_this_machine_saves_a_checkpoint(folder):
    terminal = Terminal("run", "small.lnet", "--cluster", "-d", "a", "--steps", 1000000)
    terminal.read(lambda text: stepped())
    terminal.press()
    assert terminal.status() == 130, terminal.text
    step = max(lnet.open_run("a").checkpoints.files())
    assert "stopping: a checkpoint is waited for, 30 s at most" in terminal.text
    assert f"stopped at step {step:,}; go on with: lnetc resume a" in terminal.text
    assert "Traceback" not in terminal.text


def test_a_closed_terminal_is_no_loss(folder):
    terminal = Terminal("run", "small.lnet", "-d", "a", "--steps", 1000000)
    terminal.read(lambda text: stepped())
    os.kill(terminal.pid, signal.SIGHUP)
    assert terminal.status() == 130, terminal.text
    assert lnet.open_run("a").events()[-1]["event"] == "interrupted"


def test_ctrl_c_before_the_first_step_says_that_there_is_no_checkpoint(folder):
    terminal = Terminal("run", "small.lnet", "--cluster", "-d", "a", "--steps", 1000000)
    terminal.read(lambda text: Path("a/events.jsonl").exists())
    terminal.press()
    assert terminal.status() == 130, terminal.text
    assert list(lnet.open_run("a").checkpoints.files()) or "there is no checkpoint" in terminal.text
    assert "Traceback" not in terminal.text
