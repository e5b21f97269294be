"""A sweep in several processes of one command: each takes trials of the folder, as the same command elsewhere would."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import click

from lnet.runtime.process.stopping import Stop, say_nothing_last, stopping

KILLED = 3
"""Exit status for a process that a signal ended."""


def train_in_processes(folder: Path, trials: int | None, processes: int, quiet: bool) -> int:
    """Train until all processes have ended; return the highest exit status. Raises `SweepInterrupted`."""
    from lnet.runtime.sweep.sweep import SweepInterrupted

    stopped = SweepInterrupted(folder, trials)
    awaited = "the last checkpoint of each process"
    stop = Stop(say=click.echo, words=lambda: str(stopped), awaits=lambda: awaited)
    with stopping(stop):
        # In sessions of their own, where no Ctrl-C reaches them: this process passes it on.
        command = _command(folder, trials, quiet)
        children = [
            subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) for _ in range(processes)
        ]
        try:
            _await(children, stop)
        except KeyboardInterrupt:
            raise stopped from None
        finally:
            for child in children:
                child.kill()
                child.wait()
    if stop.asked:
        raise stopped
    for child in children:
        if child.returncode < 0:
            click.echo(f"process {child.pid} was ended by {signal.Signals(-child.returncode).name}", err=True)
    return max(child.returncode if child.returncode >= 0 else KILLED for child in children)


def _command(folder: Path, trials: int | None, quiet: bool) -> list[str]:
    """Return the command of one of the processes, with the plug-ins of this one."""
    plugins = click.get_current_context().find_root().params.get("plugins", ())
    loaded = [word for plugin in plugins for word in ("--plugin", plugin)]
    number = [] if trials is None else ["-n", str(trials)]
    beside = ["--beside", *(["--json"] if quiet else [])]
    return [sys.executable, "-m", "lnet", *loaded, "sweep", str(folder), *number, *beside]


def _await(children: list[subprocess.Popen[bytes]], stop: Stop) -> None:
    """Wait until all have ended, and pass a stop on once."""
    told = False
    while any(child.poll() is None for child in children):
        if stop.asked and not told:
            told = True
            for child in children:
                child.terminate()
        time.sleep(0.1)


def end_with_input() -> None:
    """End this process as by a signal when the standard input is closed: with the process that began it, which says it."""
    say_nothing_last()

    def watch() -> None:
        sys.stdin.read()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
