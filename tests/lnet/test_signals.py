"""Signals, in a real terminal whose foreground group they go to."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import psutil
import pytest
from small_run import furnish

import lnet
from lnet.runtime.process.stopping import Interrupted, Stop, Watch

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield furnish(tmp_path)
    for left in Terminal.opened:  # a test that failed leaves no run behind, which would go on for hours
        with suppress(ProcessLookupError):
            os.killpg(left, signal.SIGKILL)
    Terminal.opened.clear()


HELD = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"


class Terminal:
    """`lnetc` in a pseudo-terminal of its own; `first` is Python that is run before it."""

    opened: ClassVar[list[int]] = []

    def __init__(self, *arguments, first=""):
        self.text = ""
        self.pid, self.screen = pty.fork()
        if self.pid == 0:
            signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored where the tests are run by nohup
            command = (
                ["-m", "lnet"] if not first else ["-c", f"{first}\nfrom lnet.__main__ import main\nmain()"]
            )
            os.execv(sys.executable, [sys.executable, *command, *map(str, arguments)])
        self.opened.append(self.pid)

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

    @property
    def words(self):
        """What it said, whatever lines and colours it is in."""
        return " ".join(re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.text).split())

    def seen(self, part):
        self.read(lambda text: part in self.words)
        assert part in self.words

    def press(self, keys=b"\x03"):
        os.write(self.screen, keys)

    def status(self):
        self.read()
        return self.ended()

    def ended(self):
        """Wait for its end without reading; return its status."""
        status = os.waitpid(self.pid, 0)[1]
        self.opened.remove(self.pid)
        return os.waitstatus_to_exitcode(status)


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
    assert lnet.open_run("a").events()[-1].name == "interrupted"


def test_ctrl_c_before_the_first_step_says_that_there_is_no_checkpoint(folder):
    terminal = Terminal("run", "small.lnet", "--cluster", "-d", "a", "--steps", 1000000)
    terminal.read(lambda text: Path("a/events.jsonl").exists())
    terminal.press()
    assert terminal.status() == 130, terminal.text
    assert list(lnet.open_run("a").checkpoints.files()) or "there is no checkpoint" in terminal.text
    assert "Traceback" not in terminal.text


IMPORTED = """
import os, signal, sys
class Finder:
    "Sends SIGINT when a module is looked for."
    def find_spec(self, name, *place):
        if name == "{module}":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
"""


@pytest.mark.parametrize(
    ("module", "status"),
    [("lnet.runtime.process.stopping", -signal.SIGINT), ("lnet.cli.runs", 130), ("rich", 130)],
)
def test_ctrl_c_while_python_imports_prints_no_traceback(folder, module, status):
    terminal = Terminal("run", "small.lnet", "-d", "a", first=IMPORTED.format(module=module))
    assert terminal.status() == status, terminal.text
    assert "Traceback" not in terminal.text
    assert not Path("a").exists()


SWALLOWED = """
import gc, os, signal, sys
class Finder:
    "Has a callback of the garbage collector interrupted, or what imports a library, when a module is looked for."
    def find_spec(self, name, *place):
        if name != "lnet.runtime.training.tune":
            return
        if "{where}" == "garbage":
            gc.callbacks.append(interrupt)
            gc.collect()
        else:
            try:
                interrupt()
            except KeyboardInterrupt:
                raise ImportError("Encountered an error while initializing the extension.")
def interrupt(*about):
    if interrupt in gc.callbacks:
        gc.callbacks.remove(interrupt)
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(10**7):
        pass
sys.meta_path.insert(0, Finder())
"""


@pytest.mark.parametrize("where", ["garbage", "library"])
def test_ctrl_c_where_it_cannot_be_caught_ends_a_command_at_once(folder, where, monkeypatch):
    """In a callback of the garbage collector Python drops it; a library that is imported makes another error of it."""
    first = SWALLOWED.format(where=where) + "import lnet.runtime.process.stopping as s; s.UNWINDING = 1000\n"
    terminal = Terminal("explain", "small.lnet", first=first)
    terminal.read(seconds=100)
    assert terminal.status() == 130, terminal.text
    assert terminal.words.replace("^C", "") == "interrupted"


def test_a_command_that_ends_late_says_what_its_run_said():
    """Its workers, say, take longer to end than it waits for them."""
    watch = Watch(ends=False)
    watch.begin()
    try:
        with suppress(Interrupted), watch.on(Stop(words=lambda: "hurried")):
            raise Interrupted(Path("a"), {4: Path("a/checkpoints/step-4")}, saved=True)
        assert watch.stop.words() == "stopped at step 4; go on with: lnetc resume a"
    finally:
        watch.end()


def test_a_command_that_a_script_starts_in_the_background_is_not_stopped(folder):
    """A shell has it ignore SIGINT, which the terminal sends to the whole script."""
    terminal = Terminal("run", "small.lnet", "-d", "a", "--steps", 1000, first=HELD)
    terminal.read(lambda text: stepped())
    terminal.press()
    assert terminal.status() == 0, terminal.text
    assert lnet.open_run("a").events()[-1].name == "done"


# --- what does not end by itself -----------------------------------------------------------------------------------

STUCK = """
import ctypes
def stand_still():
    "Wait for ever in the C library, as XLA may for minutes: no handler of Python's runs meanwhile."
    mutex = ctypes.create_string_buffer(256)
    for _ in range(2):
        ctypes.CDLL(None).pthread_mutex_lock(mutex)
"""
COMPILING = f"""{STUCK}
import lnet.runtime.training.trainer as trainer
trainer.training_step = lambda *about: lambda *arguments: stand_still()
"""
SAVING = f"""{STUCK}
import lnet.runtime.store.checkpoints as checkpoints
save = checkpoints.CheckpointFolder.save
checkpoints.CheckpointFolder.save = lambda self, one, owner: save(self, one, owner) if one.step <= 5 else stand_still()
"""


def test_ctrl_c_saves_a_checkpoint_in_one_process(folder):
    terminal = Terminal("run", "small.lnet", "-d", "a", "--steps", 1000000)
    terminal.read(lambda text: stepped())
    terminal.press()
    assert terminal.status() == 130, terminal.text
    step = max(lnet.open_run("a").checkpoints.files())
    assert f"stopped at step {step:,}; go on with: lnetc resume a" in terminal.text
    assert "Traceback" not in terminal.text


def test_ctrl_c_while_xla_compiles(folder):
    terminal = Terminal("run", "small.lnet", "-d", "a", first=COMPILING)
    terminal.read(lambda text: Path("a/events.jsonl").exists())
    time.sleep(1)
    terminal.press()
    terminal.seen("stopping: there is nothing to save")
    assert terminal.status() == 130, terminal.text
    assert "stopped; there is no checkpoint, so begin anew with: lnetc resume a" in terminal.text
    assert "Traceback" not in terminal.text


def test_a_second_ctrl_c_does_not_wait_for_a_checkpoint(folder):
    terminal = Terminal("run", "small.lnet", "-d", "a", "--grace", 600, first=SAVING)
    terminal.read(lambda text: '"step": 9,' in Path("a/events.jsonl").read_text() if stepped() else False)
    terminal.press()
    terminal.seen("is waited for, 600 s at most; a second Ctrl-C does not wait")
    time.sleep(0.5)
    terminal.press()
    time.sleep(0.5)
    terminal.press()
    assert terminal.status() == 130, terminal.text
    assert max(lnet.open_run("a").checkpoints.files()) == 5
    assert "stopped; the newest checkpoint is that of step 5; go on with: lnetc resume a" in terminal.words
    assert "Traceback" not in terminal.text


def test_a_checkpoint_has_its_grace_and_no_more(folder):
    terminal = Terminal("run", "small.lnet", "-d", "a", "--grace", 1, first=SAVING)
    terminal.read(lambda text: '"step": 9,' in Path("a/events.jsonl").read_text() if stepped() else False)
    terminal.press()
    assert terminal.status() == 130, terminal.text
    assert "is waited for, 1 s at most" in terminal.words
    assert "the newest checkpoint is that of step 5" in terminal.words


def test_a_second_ctrl_c_with_workers_of_this_machine(folder):
    terminal = Terminal("run", "small.lnet", "--cluster", "-d", "a", "--steps", 1000000)
    terminal.read(lambda text: stepped())
    workers = psutil.Process(terminal.pid).children(recursive=True)
    terminal.press()
    terminal.seen("stopping: ")
    terminal.press()
    assert terminal.status() == 130, terminal.text
    assert "Traceback" not in terminal.text
    assert len(workers) > 1
    assert not psutil.wait_procs(workers, timeout=60)[1]


def test_workers_of_a_command_that_is_killed_end(folder):
    terminal = Terminal("run", "small.lnet", "--cluster", "-d", "a", "--steps", 1000000)
    terminal.read(lambda text: stepped())
    workers = psutil.Process(terminal.pid).children(recursive=True)
    os.kill(terminal.pid, signal.SIGKILL)
    assert terminal.status() == -signal.SIGKILL
    assert not psutil.wait_procs(workers, timeout=60)[1]


def test_a_run_goes_on_when_nobody_reads_what_it_prints(folder):
    command = [sys.executable, "-m", "lnet", "run", "small.lnet", "-d", "a"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        run.stdout.close()
        said = run.stderr.read()
    assert run.returncode == 0
    assert said == ""
    assert lnet.open_run("a").events()[-1].name == "done"


def test_a_run_goes_on_in_a_terminal_that_is_gone(folder):
    terminal = Terminal(
        "run", "small.lnet", "-d", "a", first="import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    )
    terminal.read(lambda text: "training" in text or Path("a/events.jsonl").exists())
    os.close(terminal.screen)
    assert terminal.ended() == 0
    assert lnet.open_run("a").events()[-1].name == "done"


def test_a_program_that_trains_is_interrupted_and_goes_on(folder):
    code = """
import lnet, signal
before = signal.getsignal(signal.SIGINT)
try:
    lnet.train(lnet.compile("small.lnet"), directory="a", steps=1000000)
except lnet.Interrupted as stopped:
    print("checkpoint:", stopped.step, stopped.checkpoint, signal.getsignal(signal.SIGINT) is before)
"""
    Path("program.py").write_text(code)
    with subprocess.Popen([sys.executable, "program.py"], stdout=subprocess.PIPE, text=True) as program:
        while not stepped():
            time.sleep(0.1)
        program.send_signal(signal.SIGINT)
        said = program.communicate(timeout=120)[0]
    step = max(lnet.open_run("a").checkpoints.files())
    assert said == f"checkpoint: {step} {lnet.open_run('a').checkpoints.files()[step]} True\n"
    assert program.returncode == 0
