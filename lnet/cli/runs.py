"""Commands that train: run, resume."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

import click
from rich.console import Console

import lnet
from lnet.compiler.pipeline import Layout
from lnet.runtime.process.stopping import INTERRUPTED, say_last

from .bar import bar
from .options import (
    Existing,
    batch_option,
    cluster_option,
    data_option,
    devices_option,
    dry_run_option,
    force_option,
    freeze_option,
    from_option,
    grace_option,
    mapping_option,
    overrides_from,
    port_option,
    quiet_option,
    seed_option,
    set_option,
    steps_option,
    track_option,
    validation_option,
    wait_option,
    watch_option,
    wire_option,
    with_shorthands,
)
from .plans import plan_of
from .program import main
from .track import trackers_beside
from .watch import page_beside

Begin = Callable[[Any, Any], "lnet.Run"]
"""Trains with a reporter, on the cluster of a client or, without one, in this process."""


@main.command()
@click.argument("file", required=False, type=Existing)
@click.option(
    "-d", "--directory", type=Existing, help="Directory of the run (default: runs/NETWORK-1, -2, ...)."
)
@data_option
@validation_option
@steps_option
@cluster_option
@wait_option
@from_option
@mapping_option
@freeze_option
@wire_option
@force_option
@grace_option
@seed_option
@batch_option
@set_option
@devices_option
@dry_run_option
@quiet_option
@watch_option
@port_option
@track_option
def run(
    file: Path | None,
    directory: Path | None,
    data: str | None,
    validation: str | None,
    steps: int | None,
    cluster: str | None,
    wait: float | None,
    start: Path | None,
    mapping: Path | None,
    freeze: tuple[str, ...],
    wire: str | None,
    force: bool,
    grace: float,
    seed: int | None,
    batch: int | None,
    settings: Sequence[str],
    devices: int,
    dry_run: bool,
    quiet: bool,
    watch: bool,
    port: int,
    trackers: tuple[str, ...],
) -> None:
    """Train a .lnet file or a plan.

    FILE defaults to the plan in this folder. Trains in this process, or on a cluster, whose machines must see the run's
    directory (-d) and the images under the same paths.
    """
    if mapping is not None and start is None:
        raise click.UsageError("'--mapping' says how the arrays of a file are matched: name it with '--from'")
    if cluster is not None and file is None and Path(cluster).suffix in (".lnet", ".plan"):
        file, cluster = Path(cluster), "local"  # 'run --cluster FILE'
    _check_devices(devices, cluster)
    page = _port(watch, port, dry_run, trackers)
    from lnet.runtime.store.run import next_directory
    from lnet.runtime.training.start import check_learns, frozen

    plan = plan_of(file, with_shorthands(settings, seed=seed, batch=batch), Layout(), freeze)
    check_learns(frozen(plan, freeze))  # before workers are started
    where = directory or next_directory(plan.graph.name)
    if dry_run:
        from lnet.runtime.dry_run import dry_train

        training = Training(plan, cluster, None, where, quiet)
        training.rehearse(
            partial(
                dry_train,
                plan,
                data,
                steps,
                where,
                start=start,
                freeze=freeze,
                wire=wire,
                force=force,
                mapping=mapping,
                validation=validation,
                devices=devices,
            )
        )
        return

    def begin(reporter: Any, client: Any) -> lnet.Run:
        return lnet.train(
            plan,
            data,
            steps,
            where,
            reporter,
            client,
            start,
            freeze,
            wire,
            force,
            grace=grace,
            mapping=mapping,
            validation=validation,
            devices=devices,
        )

    def go_on(reporter: Any, client: Any) -> lnet.Run:
        return lnet.resume(where, reporter=reporter, client=client, grace=grace, devices=devices)

    _train(Training(plan, cluster, wait, where, quiet, page, trackers), begin, go_on)


@main.command("import")
@click.argument("weights", type=Existing)
@click.argument("file", required=False, type=Existing)
@click.option(
    "-d", "--directory", type=Existing, help="Directory of the run (default: runs/NETWORK-1, -2, ...)."
)
@mapping_option
@set_option
def import_(
    weights: Path, file: Path | None, directory: Path | None, mapping: Path | None, settings: Sequence[str]
) -> None:
    """Make a run from a file of weights.

    WEIGHTS is a .safetensors or .npz file, one of Keras (.h5, .keras) or a state_dict of PyTorch (.pt, .pth). FILE is the
    .lnet file or plan of the network (default: the plan in this folder). The run is not trained; it can be probed, drawn,
    reported and exported.
    """
    from .progress import reporter_for

    if weights.suffix in (".lnet", ".plan"):
        raise click.UsageError(f"'{weights}' is a network, and the weights come before it: WEIGHTS [FILE]")
    plan = plan_of(file, settings, Layout(), ())
    made = lnet.import_weights(weights, plan, directory, mapping, reporter_for(Console(), False))
    click.echo(f"imported: {made.directory}")


@main.command()
@click.argument("directory", type=Existing)
@data_option
@validation_option
@steps_option
@cluster_option
@wait_option
@force_option
@grace_option
@click.option(
    "--other-images",
    is_flag=True,
    help="Continue although images were added, removed or changed; recorded in run.json.",
)
@seed_option
@batch_option
@set_option
@devices_option
@dry_run_option
@quiet_option
@watch_option
@port_option
@track_option
def resume(
    directory: Path,
    data: str | None,
    validation: str | None,
    steps: int | None,
    cluster: str | None,
    wait: float | None,
    force: bool,
    grace: float,
    other_images: bool,
    seed: int | None,
    batch: int | None,
    settings: Sequence[str],
    devices: int,
    dry_run: bool,
    quiet: bool,
    watch: bool,
    port: int,
    trackers: tuple[str, ...],
) -> None:
    """Continue a run from its newest checkpoint.

    With the same settings, the result is the same as if the run had not stopped. It may continue in this process or on a
    cluster, wherever it ran before. --set changes settings of train from the checkpoint on, such as train.update,
    train.steps or train.batch; the network stays as it is. run.json keeps the change.
    """
    overrides = overrides_from(with_shorthands(settings, seed=seed, batch=batch))
    _check_devices(devices, cluster)
    page = _port(watch, port, dry_run, trackers)
    plan = lnet.open_run(directory).plan
    training = Training(plan, cluster, None if dry_run else wait, directory, quiet, page, trackers)
    if dry_run:
        from lnet.runtime.dry_run import dry_resume

        training.rehearse(
            partial(
                dry_resume,
                directory,
                data,
                steps,
                force=force,
                other_images=other_images,
                validation=validation,
                set=overrides,
                devices=devices,
            )
        )
        return

    def begin(reporter: Any, client: Any, other_images: bool = other_images) -> lnet.Run:
        return lnet.resume(
            directory,
            data,
            steps,
            reporter,
            client,
            force,
            other_images=other_images,
            grace=grace,
            validation=validation,
            set=overrides,
            devices=devices,
        )

    def go_on(reporter: Any, client: Any) -> lnet.Run:
        return begin(reporter, client, other_images=False)

    _train(training, begin, go_on)


def _check_devices(devices: int, cluster: str | None) -> None:
    if devices > 1 and cluster is not None:
        hint = "on a cluster, replicas and tiles share the work"
        raise click.UsageError(f"'--devices' divides the batches of one process: {hint}")


def _port(watch: bool, port: int, dry_run: bool, trackers: tuple[str, ...]) -> int | None:
    """Return the port of the run's page, None without one; raises `UsageError`."""
    if watch and dry_run:
        raise click.UsageError("'--dry-run' trains nothing, so '--watch' has nothing to show")
    if trackers and dry_run:
        raise click.UsageError("'--dry-run' trains nothing, so '--track' has nothing to send")
    if port and not watch:
        raise click.UsageError("'--port' needs '--watch'")
    return port if watch else None


def client_of(cluster: str | None, plan: lnet.Plan) -> AbstractContextManager[Any]:
    """Return a context manager of a cluster's client, or of None without a cluster."""
    if cluster is None:
        return nullcontext()
    from lnet.runtime.cluster.transport.connect import connected

    return connected(cluster, plan)


class Lasting:
    """A stream to a pipe or terminal that may close: the run continues, and later output is dropped."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            return self._drop(len(text))

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            self._drop(0)

    def _drop(self, written: int) -> int:
        os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@dataclass(frozen=True)
class Training:
    """A plan with its directory, and where to train it: in this process, or on a cluster, waiting `wait` minutes for it.

    `quiet`: nothing is printed of its progress. `page`: at which port a page shows it; None for no page. `trackers`: the
    services that it is sent to.
    """

    plan: lnet.Plan
    cluster: str | None
    wait: float | None
    directory: Path
    quiet: bool = False
    page: int | None = None
    trackers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.wait is not None and self.cluster in (None, "local"):
            raise click.UsageError("'--wait' is for a cluster at an address: --cluster ADDRESS --wait")

    def rehearse(self, check: Callable[..., None]) -> None:
        """Check with a reporter and the client of a cluster that is there; processes on this machine are not started."""
        from .progress import reporter_for

        reporter = reporter_for(Console(quiet=self.quiet), cluster=False)
        with nullcontext() if self.quiet else bar():
            if self.cluster == "local":
                from lnet.runtime.cluster.descriptors import check_own

                check_own(len(self.plan.placement.cluster.workers))
            with client_of(None if self.cluster == "local" else self.cluster, self.plan) as client:
                check(reporter=reporter, cluster=self.cluster is not None, client=client)
        click.echo("checked: nothing was written")

    def attempt(self, begin: Begin, go_on: Begin) -> lnet.Run:
        """Train; with `--wait`, again whenever the cluster returns."""
        from .progress import reporter_for

        console = Console(file=cast(IO[str], Lasting(sys.stdout)), quiet=self.quiet)
        watched = nullcontext() if self.quiet else bar()
        if self.cluster is None or self.wait is None:
            with watched, client_of(self.cluster, self.plan) as client:
                return begin(reporter_for(console, self.cluster is not None), client)
        from lnet.runtime.cluster.waiting import Waiting, persistently

        waiting = Waiting(self.cluster, 60 * self.wait, len(self.plan.placement.cluster.workers), console)
        try:
            with watched:
                return persistently(
                    waiting,
                    lambda client: begin(reporter_for(console, cluster=True), client),
                    lambda client: go_on(reporter_for(console, cluster=True), client),
                )
        except KeyboardInterrupt:
            if (self.directory / "run.json").exists():
                resume = f"lnetc resume {shlex.quote(str(self.directory))} --cluster {shlex.quote(self.cluster)} --wait"
                click.echo(f"stopped; go on with: {resume}", err=True)
            raise


def _train(training: Training, begin: Begin, go_on: Begin) -> None:
    context = click.get_current_context()
    page = nullcontext() if training.page is None else page_beside(training.directory, training.page)
    trackers = trackers_beside(training.directory, training.trackers, training.quiet)
    try:
        with page, trackers:
            finished = training.attempt(begin, go_on)
    except lnet.Interrupted as interrupted:
        say_last(str(interrupted))
        context.exit(INTERRUPTED)
    click.echo(f"trained: {finished.directory}")
