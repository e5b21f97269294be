"""What a person sees of a run in a terminal, however narrow."""

import os
import pty
import re
import select
import struct
import sys
import time
from fcntl import ioctl
from io import StringIO
from subprocess import Popen
from termios import TIOCSWINSZ

import pytest
from rich.console import Console
from small_run import furnish, plan_of

import lnet
from lnet.cli.progress import Bar
from lnet.runtime.process.counted import counted, watched
from lnet.runtime.training.progress import losses_within

MANY = {f"V{number}.learn": 1000.0 + number for number in range(26)}


@pytest.mark.parametrize(
    ("width", "text"),
    [
        (None, "a 1  b 2  c 3"),
        (13, "a 1  b 2  c 3"),
        (12, "and 3 more"),
        (15, "a 1  b 2  c 3"),
        (5, "and 3 more"),
    ],
)
def test_as_many_losses_as_fit_are_shown(width, text):
    assert losses_within({"a": 1.0, "b": 2.0, "c": 3.0}, width) == text


def test_what_is_left_out_is_counted():
    assert (
        losses_within(MANY, 80) == "V0.learn 1000  V1.learn 1001  V2.learn 1002  V3.learn 1003  and 22 more"
    )
    assert losses_within({}, 80) == ""


@pytest.mark.parametrize("width", [80, 200])
def test_step_share_rate_and_time_left_are_always_shown(width):
    out = StringIO()
    bar = Bar(Console(file=out, width=width, force_terminal=True, color_system=None))
    bar.started(0, 1_500_000)
    for step in (700_000, 750_000):
        bar.stepped(step, MANY, 1234.5)
        time.sleep(0.01)
    bar.finished()
    line = [line for line in re.split(r"[\r\n]", out.getvalue()) if "750000" in line][-1]
    for part in ("step", "750000/1500000", "50%", "1,234 images/s", "left"):
        assert part in line
    assert max(map(len, re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", out.getvalue()).splitlines())) <= width


def test_loops_tell_whoever_watches():
    told = []
    with watched(lambda *what: told.append(what)):
        assert list(counted("images", "ab", 2)) == ["a", "b"]
    assert list(counted("images", "ab", 2)) == ["a", "b"]
    assert told == [("images", 0, 2), ("images", 1, 2), ("images", 2, 2)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = furnish(tmp_path_factory.mktemp("progress"))
    lnet.train(plan_of(folder), directory=folder / "run")
    return folder


def in_a_terminal(folder, *arguments):
    """Run `lnetc` in a terminal of 80 columns, and return what it wrote there."""
    ours, its = pty.openpty()
    ioctl(its, TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    variables = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
    with Popen([sys.executable, "-m", "lnet", *arguments], cwd=folder, env=variables, stdin=its, stdout=its, stderr=its) as it:  # fmt: skip
        os.close(its)
        written = b""
        while select.select([ours], [], [], 300)[0]:
            try:
                written += os.read(ours, 65536)
            except OSError:  # it has ended
                break
    os.close(ours)
    assert it.returncode == 0, written.decode()
    return written.decode()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["report", "run"], "parts of the report"),
        (["draw", "run", "V2.norm[0,0,0]", "--samples", "9"], "batches of images"),
        (["sheet", "run", "V1.filter"], ""),
        (["run", "small.lnet", "-d", "other", "--steps", "400"], "images/s"),
    ],
)
def test_commands_that_take_long_show_a_bar(folder, arguments, what):
    written = in_a_terminal(folder, *arguments)
    assert what in written
    assert "Traceback" not in written
