"""Stopping a process by signal: SIGINT (Ctrl-C), SIGTERM, or SIGHUP, which a closed terminal sends.

Python calls a signal's handler in its main thread, and only once that thread runs Python code again: XLA may compile
for minutes, a disk may hang. So every signal is also written into a pipe, which a thread, the watch, reads. It answers
at once, and ensures that the process ends in time:

                     a run with something to save            all else
    first signal     an answer, then a checkpoint            KeyboardInterrupt
    second, or when  KeyboardInterrupt, which the run        a command ends
    the grace ends   turns into `Interrupted`
    third            a command ends

A command also ends when it has not done so by itself a few seconds after KeyboardInterrupt. A program that calls
`lnet.train` is never ended: it gets `Interrupted` as soon as its main thread runs Python again. KeyboardInterrupt is raised
wherever the main thread is: where Python drops it, in a callback of its garbage collector, it is raised again, and what a
library makes of it while it is imported ends a command like itself.
"""

from __future__ import annotations

import math
import os
import select
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any, NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GRACE = 30.0
"""Default time for a run's last checkpoint, in seconds."""
PROMPT = 1.0
"""Time for a run with nothing to save to end by itself, in seconds."""
UNWINDING = 3.0
"""Time for a command to end by itself after KeyboardInterrupt, or after its run has stopped, in seconds."""
TOGETHER = 0.1
"""Signals within this many seconds count as one: `timeout` sends SIGTERM to its child, and again to the child's group."""
INTERRUPTED = 130
"""The exit status."""
KICK = signal.SIGURG
"""Makes the main thread call its handler; ignored by default, and so harmless."""
DROPPED, OVER, STOPPED, CLOSE = 252, 253, 254, 255
"""Bytes written into the pipe: KeyboardInterrupt was dropped, a run ended, a run was stopped, the watch ends."""
AGAIN = 0.02
"""Time after which KeyboardInterrupt that was dropped is raised again, in seconds."""


class Interrupted(Exception):
    """Training was stopped from outside.

    `checkpoint` is the newest one of the run and `step` the step that it was written at; None where there is none.
    """

    directory: Path
    checkpoint: Path | None
    step: int | None

    def __init__(self, directory: Path, checkpoints: Mapping[int, Path], saved: bool) -> None:
        self.directory, self.step = directory, max(checkpoints, default=None)
        self.checkpoint = None if self.step is None else checkpoints[self.step]
        resume = f"lnetc resume {shlex.quote(str(directory))}"
        if self.step is None:
            text = f"stopped; there is no checkpoint, so begin anew with: {resume}"
        elif saved:
            text = f"stopped at step {self.step:,}; go on with: {resume}"
        else:
            text = f"stopped; the newest checkpoint is that of step {self.step:,}; go on with: {resume}"
        super().__init__(text)


@dataclass
class Stop:
    """A stop request for work under way, and the messages about it.

    `in_order`: it polls `asked` and ends by itself. Then `say` takes the answer to the first signal, and `awaits` gives
    what is waited for; None where there is nothing to save. `words` are the last that a command says.
    """

    in_order: bool = True
    grace: float = GRACE
    say: Callable[[str], None] = lambda message: None
    words: Callable[[], str] = lambda: "interrupted"
    awaits: Callable[[], str | None] = lambda: None
    asked: bool = False


@contextmanager
def stopping(stop: Stop) -> Iterator[None]:
    """Let signals stop the work inside; does nothing outside of the main thread, which alone receives signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
    elif _command is not None:
        with _command.on(stop):
            yield
    else:
        watch = Watch(ends=False)
        watch.begin()
        try:
            with watch.on(stop):
                yield
        finally:
            watch.end()


@contextmanager
def command() -> Iterator[None]:
    """Let signals end this process with the exit status of Ctrl-C, after an orderly stop of a run that supports it."""
    global _command
    _command = Watch(ends=True)
    _command.begin()
    try:
        yield
    except KeyboardInterrupt:
        leave()
    except SystemExit as end:
        if end.code == INTERRUPTED or (end.code and _command.interrupted):
            leave()
        raise
    except Exception:
        if _command.interrupted:
            leave()
        raise
    finally:
        _command.end()
        for number in SIGNALS:
            if _handler(number) is not None:
                signal.signal(number, signal.SIG_DFL)
        _command = None


def leave() -> NoReturn:
    """End this process at once after a signal: a normal exit while XLA compiles in other threads may crash."""
    if _command is not None:
        _command.say_last(_command.stop.words)
    else:
        _print("interrupted")
    with suppress(OSError):
        sys.stdout.flush()
    os._exit(INTERRUPTED)


def say_last(words: str) -> None:
    """Print the final message of a command that a signal ends, unless the watch has printed it."""
    if _command is not None:
        _command.say_last(lambda: words)
    else:
        _print(words)


def say_nothing_last() -> None:
    """Leave the final message to the process that stops this one."""
    if _command is not None:
        _command.say_nothing_last()


def _print(words: str) -> None:
    with suppress(OSError):  # a closed terminal
        print(words, file=sys.stderr, flush=True)


_command: Watch | None = None


class Phase(Enum):
    CALM = auto()
    WAITING = auto()
    """for something to stop in order"""
    ENDING = auto()
    """after KeyboardInterrupt"""


class Watch:
    """Takes the signals of this process; `ends`: whether it may end the process."""

    def __init__(self, ends: bool) -> None:
        self.ends, self.stop = ends, Stop(in_order=False)
        self._hurried: Stop | None = None
        self._raised: Stop | None = None
        self._phase, self._deadline, self._last = Phase.CALM, math.inf, -math.inf
        self._speaking, self._spoken = threading.Lock(), threading.Event()

    # --- in the main thread ------------------------------------------------------------------------------------------

    def begin(self) -> None:
        self._pipe = os.pipe()
        for end in self._pipe:
            os.set_blocking(end, False)
        self._thread = threading.Thread(target=self._watch, name="lnet-signals", daemon=True)
        self._thread.start()
        self._wakeup = signal.set_wakeup_fd(self._pipe[1], warn_on_full_buffer=False)
        self._unraisable = sys.unraisablehook
        sys.unraisablehook = self._drop
        self._before = {number: _handler(number) for number in (KICK, *SIGNALS)}
        for number, before in self._before.items():
            if before is not None:
                signal.signal(number, self._handle)

    def end(self) -> None:
        for number, before in self._before.items():
            if before is not None:
                signal.signal(number, before)
        signal.set_wakeup_fd(self._wakeup)
        sys.unraisablehook = self._unraisable
        self._tell(CLOSE)
        self._thread.join()
        for end in self._pipe:
            os.close(end)

    @contextmanager
    def on(self, stop: Stop) -> Iterator[None]:
        before, self.stop, how = self.stop, stop, OVER
        try:
            yield
        except (Interrupted, KeyboardInterrupt) as error:
            said = str(error)
            before.words, how = (lambda: said) if said else stop.words, STOPPED
            raise
        finally:
            self.stop = before
            self._tell(how)

    def _tell(self, what: int) -> None:
        os.write(self._pipe[1], bytes([what]))

    def _handle(self, number: int, frame: Any) -> None:
        if number != KICK:
            self.stop.asked = True
        elif self._hurried is self.stop:
            self._hurried, self._raised = None, self.stop
            raise KeyboardInterrupt

    @property
    def interrupted(self) -> bool:
        """Whether it has raised KeyboardInterrupt."""
        return self._raised is not None

    def _drop(self, dropped: Any) -> None:
        """Take what was raised where nobody can catch it."""
        if issubclass(dropped.exc_type, KeyboardInterrupt):
            self._tell(DROPPED)
        else:
            self._unraisable(dropped)

    # --- in the watch's own thread -----------------------------------------------------------------------------------

    def _watch(self) -> None:
        poll = select.poll()
        poll.register(self._pipe[0], select.POLLIN)
        while True:
            left = self._deadline - time.monotonic()
            ready = poll.poll(None if left == math.inf else max(0.0, 1000 * left))
            for what in os.read(self._pipe[0], 64) if ready else b"":
                if what == CLOSE:
                    return
                self._take(what)
            if time.monotonic() >= self._deadline:
                self._late()

    def _take(self, what: int) -> None:
        if what == OVER:
            self._enter(Phase.CALM)
        elif what == STOPPED:
            self._enter(Phase.ENDING, UNWINDING)
        elif what == DROPPED:
            time.sleep(AGAIN)
            self._raise(self._raised)
        elif what in SIGNALS:
            now = time.monotonic()
            together, self._last = now - self._last < TOGETHER, now
            if self._phase is Phase.CALM:
                self._first(self.stop)
            elif not together and what != signal.SIGHUP:  # of which a closed terminal sends several
                self._again()

    def _first(self, stop: Stop) -> None:
        if not stop.in_order:
            self._hurry(stop)
            self.say_last(stop.words)
            return
        stop.asked, awaited = True, stop.awaits()
        self._enter(Phase.WAITING, PROMPT if awaited is None else stop.grace)
        if awaited is None:
            answer = "stopping: there is nothing to save"
        else:
            answer = (
                f"stopping: {awaited} is waited for, {stop.grace:g} s at most; a second Ctrl-C does not wait"
            )
        _aside(lambda: stop.say(answer))

    def _again(self) -> None:
        if self._phase is Phase.WAITING or not self.ends:
            self._hurry(self.stop)
        else:
            self._leave()

    def _late(self) -> None:
        if self._phase is Phase.WAITING:
            self._hurry(self.stop)
        elif self.ends:
            self._leave()
        else:
            self._deadline = math.inf

    def _hurry(self, stop: Stop) -> None:
        """Raise KeyboardInterrupt in the main thread, if the work to be stopped is still under way."""
        self._enter(Phase.ENDING, UNWINDING)
        self._raise(stop)

    def _raise(self, stop: Stop | None) -> None:
        self._hurried = stop
        signal.pthread_kill(threading.main_thread().ident or 0, KICK)

    def _enter(self, phase: Phase, seconds: float = math.inf) -> None:
        self._phase, self._deadline = phase, time.monotonic() + seconds

    def _leave(self) -> NoReturn:
        self.say_last(self.stop.words)
        os._exit(INTERRUPTED)

    # --- in both -----------------------------------------------------------------------------------------------------

    def say_nothing_last(self) -> None:
        """Count the final message as printed."""
        self._speaking.acquire(blocking=False)
        self._spoken.set()

    def say_last(self, words: Callable[[], str]) -> None:
        """Print the final message, unless that has been done."""
        if self._speaking.acquire(blocking=False):
            _aside(lambda: _print(words())).join(timeout=1.0)
            self._spoken.set()
        self._spoken.wait(timeout=1.0)


def _handler(number: int) -> Any:
    """Return a signal's handler if it may be replaced: one not installed from Python could not be restored.

    An ignored signal stays ignored: `nohup` relies on that, and shells for commands started with `&`.
    """
    handler = signal.getsignal(number)
    return None if number in SIGNALS and handler == signal.SIG_IGN else handler


def _aside(say: Callable[[], None]) -> threading.Thread:
    """Print without blocking on a hung terminal or disk."""
    thread = threading.Thread(target=say, daemon=True)
    thread.start()
    return thread
