"""The command that sends runs to trackers of experiments: track; and the processes that do so beside a run."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lnet.dsl.diagnostics import LnetError
from lnet.runtime.process.stopping import Stop, stopping

from .options import Existing
from .program import main
from .watch import NICENESS, runs_in

if TYPE_CHECKING:
    from lnet.runtime.analysis.track.following import Following
    from lnet.runtime.analysis.track.track import Sending
    from lnet.runtime.analysis.track.tracker import Service

EVERY = 1.0
"""Seconds between two looks at a run that is followed; more where a look takes long."""
PAUSE = 9
"""So many times as long as a look took is waited before the next one, so that training has the machine."""
ENDING = 30.0
"""Seconds for what a run that has ended still has to send."""


@main.command()
@click.argument("paths", metavar="RUN...", nargs=-1, required=True, type=Existing)
@click.option(
    "--to",
    "names",
    multiple=True,
    required=True,
    metavar="SERVICE",
    help="tensorboard, wandb, mlflow or trackio; may be repeated.",
)
@click.option("--project", metavar="NAME", help="Project or experiment (default: the network's name).")
@click.option(
    "--name",
    metavar="NAME",
    help="Name of the run (default: its directory's, in a sweep SWEEP/TRIAL/SEED).",
)
@click.option(
    "-d",
    "--directory",
    type=Existing,
    help="Folder of TensorBoard's files; each run has one in it (default: RUN/tensorboard).",
)
@click.option(
    "--every",
    type=click.IntRange(1),
    default=1,
    metavar="N",
    help="Send means over N steps (default: every step).",
)
@click.option("--follow", is_flag=True, help="Keep sending while the runs are trained; Ctrl-C ends it.")
@click.option("--again", is_flag=True, help="Send everything again, as new runs.")
@click.option("--beside", is_flag=True, hidden=True, help="Go on until the standard input is closed.")
def track(
    paths: Sequence[Path],
    names: Sequence[str],
    project: str | None,
    name: str | None,
    directory: Path | None,
    every: int,
    follow: bool,
    again: bool,
    beside: bool,
) -> None:
    """Send runs to TensorBoard, W&B, MLflow or trackio.

    RUN is a run or a folder of runs. Losses, accuracies, settings, messages, filters and histograms are read from the run's
    directory. A second call sends what is new. Each service needs its
    package: pip install 'lnetc[tensorboard]'. Servers and passwords are those of the service, such as WANDB_API_KEY and
    MLFLOW_TRACKING_URI.
    """
    import jax

    from lnet.runtime.analysis.track.track import Sending, service_of
    from lnet.runtime.analysis.track.tracker import Target

    jax.config.update("jax_platforms", "cpu")  # type: ignore[no-untyped-call] # what trains has the accelerators
    services, runs = [service_of(each) for each in dict.fromkeys(names)], runs_in(paths)
    if name is not None and len(runs) > 1:
        raise click.UsageError(f"'--name' is that of one run, and there are {len(runs)}")
    how = Sending(Target(project, directory, name), every, again)
    jobs = [(run, service) for run in runs for service in services]
    fine = _send_while_they_go_on(jobs, how, beside) if follow or beside else _send(jobs, how)
    if not fine and not beside:
        click.get_current_context().exit(1)


def _send(jobs: Sequence[tuple[Path, Service]], how: Sending) -> bool:
    """Send what is new of runs; return whether none of them failed."""
    from lnet.runtime.analysis.track.track import tracking

    fine = True
    for path, service in jobs:
        try:
            with tracking(path, service, how) as tracked:
                tracked.send()
                tracked.close()
            _say(path, service, tracked.place)
        except LnetError as error:
            click.echo(str(error), err=True)
            fine = False
    return fine


def _send_while_they_go_on(jobs: Sequence[tuple[Path, Service]], how: Sending, beside: bool) -> bool:
    """Send what comes of runs until they are over, or `beside` training, until that ends; return whether none failed."""
    from lnet.runtime.analysis.track.following import Following

    followed, closed = [Following(path, service, how) for path, service in jobs], threading.Event()
    stop = Stop(awaits=lambda: "what is not sent yet", say=lambda text: click.echo(text, err=True))
    if beside:
        os.nice(NICENESS)
        threading.Thread(target=_await_end, args=(closed,), daemon=True).start()

    def over() -> bool:
        return stop.asked or closed.is_set() or (not beside and all(each.is_over for each in followed))

    def failed(each: Following, error: LnetError) -> None:
        if beside:
            found = error.diagnostics[0]
            later = f"lnetc track {shlex.quote(str(each.path))} --to {each.service.name}"
            why = "; ".join(text.rstrip(".") for text in (found.message, *found.notes))
            click.echo(f"warning: {why}; the run goes on, and this sends the rest: {later}", err=True)
        else:
            click.echo(str(error), err=True)

    with stopping(stop):
        _follow(followed, over, failed)
    return len(followed) == len(jobs)


def _await_end(closed: threading.Event) -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    closed.set()


def _follow(
    followed: list[Following], over: Callable[[], bool], failed: Callable[[Following, LnetError], None]
) -> None:
    """Send what comes of runs until it is over, which is asked before the last look, or all have failed."""
    last = False
    with ExitStack() as stack:
        for each in followed:
            stack.callback(each.release)
        while followed and not last:
            last, began = over(), time.monotonic()
            for each in list(followed):
                place, waited = each.place, each.waits
                try:
                    each.look()
                    if last:
                        each.end()
                except LnetError as error:
                    followed.remove(each)
                    failed(each, error)
                if each.place != place:
                    _say(each.path, each.service, each.place)
                if each.waits and not waited and not last:
                    click.echo(
                        f"{each.service.title}: waiting for another process, which sends '{each.path}'"
                    )
            until = time.monotonic() + max(EVERY, PAUSE * (time.monotonic() - began))
            while time.monotonic() < until and not last and not over():
                time.sleep(0.1)


def _say(path: Path, service: Service, place: str) -> None:
    found = f"'{path}' is in {place}" if place else f"nothing of '{path}' is new"
    click.echo(f"{service.title}: {found}")


@contextmanager
def trackers_beside(directory: Path, names: Sequence[str], quiet: bool) -> Iterator[None]:
    """Send a run to services while it is trained, in a process for each; raises `LnetError` for one that is not there.

    What such a process does not get rid of in time is left for later.
    """
    from lnet.runtime.analysis.track.track import service_of

    services = [service_of(name) for name in dict.fromkeys(names)]
    processes = {service: _process(directory, service, quiet) for service in services}
    try:
        yield
    finally:
        for process in processes.values():
            assert process.stdin is not None
            with suppress(OSError):
                process.stdin.close()
        until = time.monotonic() + ENDING
        for service, process in processes.items():
            problem = _ended(process, until)
            if problem:
                later = f"lnetc track {shlex.quote(str(directory))} --to {service.name}"
                click.echo(
                    f"warning: what sends to {service.title} {problem}; this sends the rest: {later}",
                    err=True,
                )


def _ended(process: subprocess.Popen[bytes], until: float) -> str:
    """Wait for a process that sends to end; return what kept it from sending all, "" for nothing that it has not said."""
    try:
        status = process.wait(max(0.0, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.kill()
        return f"takes more than {ENDING:g} s"
    return f"was ended (exit status {status})" if status else ""


def _process(directory: Path, service: Service, quiet: bool) -> subprocess.Popen[bytes]:
    """Begin to send a run; in a session of its own, where no Ctrl-C reaches it: its last checkpoint is still to come."""
    command = [sys.executable, "-m", "lnet", "track", "--beside", "--to", service.name, "--", str(directory)]
    said = subprocess.DEVNULL if quiet else None
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=said, start_new_session=True)
