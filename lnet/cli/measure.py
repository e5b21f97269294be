"""Commands that measure this machine, or a cluster: tune, measure-links."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

import lnet
from lnet.compiler.pipeline import Layout
from lnet.compiler.plan.plan import Plan
from lnet.dsl.diagnostics import LnetError, refused

from .options import Existing, Output, set_option, write_file
from .plans import plan_of
from .program import main

if TYPE_CHECKING:
    from lnet.runtime.data import Dataset


@main.command("tune")
@click.argument("file", required=False, type=Existing)
@click.option(
    "--rates",
    type=Output,
    metavar="FILE.toml",
    help="Also measure the rates that 'explain --time' needs, and write them as a table [rates].",
)
@set_option
def tune_command(file: Path | None, rates: Path | None, settings: Sequence[str]) -> None:
    """Measure which kernels are fastest on this machine.

    Later runs of FILE use them. Measurements are kept in $LNET_CACHE, or ~/.cache/lnet ($XDG_CACHE_HOME/lnet).
    """
    from lnet.compiler.text_table import terminal_width
    from lnet.runtime.kernels.explain import kernels_text
    from lnet.runtime.training.rates import measured_rates, source

    plan = plan_of(file, settings, Layout())
    try:
        measured = lnet.tune(plan)
    except OSError as error:
        raise refused("E608", "what was measured cannot be kept", str(error)) from error
    click.echo(kernels_text(plan.graph, measured, terminal_width()))
    if rates is not None:
        found = measured_rates(plan, measured, _images(plan))
        write_file(rates, found.toml(source("lnetc tune", plan)))
        click.echo(f"{rates}: what a worker does in a second, for --cluster-spec")


def _images(plan: Plan) -> Dataset | None:
    """Return the training images of a plan; None, and say why, if they cannot be read here."""
    from lnet.runtime.data.open_data import open_data

    training = plan.graph.training
    if training.data is None:
        click.echo("images are not measured: the file names none", err=True)
        return None
    try:
        base = Path(plan.source_name).resolve().parent
        return open_data(training.data, plan.graph, base, cache_bytes=0)
    except LnetError as error:
        click.echo(f"images are not measured: {error.diagnostics[0].message}", err=True)
        return None


@main.command("measure-links")
@click.option(
    "--cluster",
    default="local",
    show_default=True,
    metavar="ADDRESS",
    help="The Dask cluster at tcp://HOST:PORT or of a scheduler file; 'local': two processes of this machine.",
)
@click.option(
    "-d",
    "--directory",
    type=Existing,
    help="Folder that all workers see under this path, for small runs (default: a temporary one of this machine).",
)
@click.option(
    "-o",
    "--output",
    type=Output,
    metavar="FILE.toml",
    help="Where to write the table [links] (default: print it).",
)
def measure_links_command(cluster: str, directory: Path | None, output: Path | None) -> None:
    """Measure the links between the workers of a cluster.

    For 'explain --time': trains small networks on two workers of one host, and on two of different hosts, if there
    are several.
    """
    from lnet.links import links_toml, measured_links, pair_plan
    from lnet.runtime.cluster.transport.connect import connected

    place = tempfile.TemporaryDirectory() if directory is None else nullcontext(str(directory))
    with connected(cluster, pair_plan()) as client, place as folder:
        text = links_toml(measured_links(client, Path(folder)))
    if output is None:
        click.echo(text, nl=False)
    else:
        write_file(output, text)
        click.echo(f"{output}: links and overhead, for --cluster-spec")
