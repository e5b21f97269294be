"""Commands that train: run, resume."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import click
from rich.console import Console

import lnet
from lnet.compiler.pipeline import Layout

from .options import (
    Existing,
    cluster_option,
    data_option,
    force_option,
    set_option,
    steps_option,
    wire_option,
)
from .plans import plan_of
from .program import main


@main.command()
@click.argument("file", required=False, type=Existing)
@click.option(
    "-d", "--directory", type=Existing, help="Where to keep the run (default: runs/NETWORK-1, -2, ...)."
)
@data_option
@steps_option
@cluster_option
@click.option(
    "--from", "start", type=Existing, metavar="RUN", help="Begin with the parameters of another run, by name."
)
@click.option(
    "--freeze", multiple=True, metavar="PATH", help="Keep a stage or layer as it is; may be repeated."
)
@wire_option
@force_option
@set_option
def run(
    file: Path | None,
    directory: Path | None,
    data: str | None,
    steps: int | None,
    cluster: str | None,
    start: Path | None,
    freeze: tuple[str, ...],
    wire: str,
    force: bool,
    settings: Sequence[str],
) -> None:
    """Train FILE, a .lnet file or a plan; without FILE the plan in this folder.

    In this process, or on a cluster. A cluster's machines must see the run (-d) and the images under the same path.
    """
    if cluster is not None and file is None and Path(cluster).suffix in (".lnet", ".plan"):
        file, cluster = Path(cluster), "local"  # 'run --cluster FILE'
    plan = plan_of(file, settings, Layout(), freeze)
    with client_of(cluster, plan) as client:
        _train(
            lambda reporter: lnet.train(
                plan, data, steps, directory, reporter, client, start, freeze, wire, force
            ),
            cluster is not None,
        )


@main.command()
@click.argument("directory", type=Existing)
@data_option
@steps_option
@cluster_option
@force_option
@click.option(
    "--other-images",
    is_flag=True,
    help="Go on although images were added, removed or changed; run.json keeps it.",
)
def resume(
    directory: Path,
    data: str | None,
    steps: int | None,
    cluster: str | None,
    force: bool,
    other_images: bool,
) -> None:
    """Go on with the run in DIRECTORY from its newest checkpoint, as if it had not stopped.

    In this process or on a cluster, whichever it ran on before.
    """
    with client_of(cluster, lnet.open_run(directory).plan) as client:
        _train(
            lambda reporter: lnet.resume(
                directory, data, steps, reporter, client, force, other_images=other_images
            ),
            cluster is not None,
        )


def client_of(cluster: str | None, plan: lnet.Plan) -> AbstractContextManager[Any]:
    """Return what gives a client of a cluster, or None where there is to be none."""
    if cluster is None:
        return nullcontext()
    from lnet.runtime.cluster.connect import connected

    return connected(cluster, plan)


def _train(begin: Callable[[Any], lnet.Run], cluster: bool) -> None:
    from lnet.runtime.progress import reporter_for

    context = click.get_current_context()
    try:
        finished = begin(reporter_for(Console(), cluster))
    except lnet.Interrupted as interrupted:
        click.echo(str(interrupted), err=True)
        context.exit(130)
    click.echo(f"trained: {finished.directory}")
