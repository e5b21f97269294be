"""The command on a page that shows runs as they grow: watch; and the page beside a run that is trained."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import click

from lnet.dsl.diagnostics import refused
from lnet.runtime.process.stopping import Stop, stopping

from .options import Existing, port_option
from .program import main

NICENESS = 10
"""How much a page yields to what trains on the same machine."""
ENDING = 15.0
"""Seconds for the page of a run to show how it ended."""


@main.command()
@click.argument("paths", metavar="RUN...", nargs=-1, required=True, type=Existing)
@port_option
@click.option("--beside", is_flag=True, hidden=True, help="End when the standard input is closed.")
def watch(paths: Sequence[Path], port: int, beside: bool) -> None:
    """Serve a page that shows runs as they grow.

    RUN is a run, one that will begin, or a folder of runs, with those that begin there later. The page shows losses,
    accuracies, throughput, the time left and the filters of the newest checkpoint. Only this machine can open it: from
    another one, through a tunnel (ssh -L PORT:localhost:PORT HOST). Ctrl-C ends it; nothing is written.
    """
    from lnet.runtime.analysis.watch.watcher import Watcher

    runs = runs_in(paths)
    try:
        watcher = Watcher(lambda: runs_in(paths), port)
    except OSError as error:
        raise click.BadParameter(
            f"nothing can be served at port {port}: {error.strerror}", param_hint="--port"
        ) from error
    os.nice(NICENESS)
    stop = Stop()
    with watcher, stopping(stop):
        click.echo(f"watch: {watcher.address}")
        if beside:
            sys.stdin.read()
            watcher.finish()
            return
        for path in runs:
            if not path.exists():
                click.echo(f"'{path}' is not there yet: the page shows it when it begins", err=True)
            elif not any(path.iterdir()):
                click.echo(
                    f"there is no run in '{path}' yet: the page shows those that begin there", err=True
                )
        while not stop.asked:
            time.sleep(0.1)


def runs_in(paths: Sequence[Path]) -> list[Path]:
    """Return runs, those in folders, and what is not there yet; raises `LnetError` for anything else."""
    from lnet.runtime.store.summary import find_runs

    found: dict[Path, Path] = {}
    for path in paths:
        try:
            inside = list(find_runs(path)) if path.exists() else [path]
            empty = path.is_dir() and not any(path.iterdir())
        except OSError as error:
            raise refused("E740", f"'{path}' cannot be read", str(error)) from error
        if not inside and not empty:
            raise refused("E740", f"there are no runs in '{path}'")
        found.update((run.resolve(), run) for run in inside or [path])
    return list(found.values())


@contextmanager
def page_beside(directory: Path, port: int) -> Iterator[None]:
    """Serve the page of a run in a process of its own while it is trained; ends this command if it cannot be."""
    command = [sys.executable, "-m", "lnet", "watch", "--beside", "--port", str(port), "--", str(directory)]
    # In a session of its own, where no Ctrl-C reaches it: the run's last checkpoint is still to be seen.
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        address = process.stdout.readline()
        if not address:
            click.get_current_context().exit(process.wait())
        click.echo(address, nl=False)
        yield
    finally:
        with suppress(OSError):
            process.stdin.close()
        try:
            process.wait(ENDING)
        except subprocess.TimeoutExpired:
            process.kill()
