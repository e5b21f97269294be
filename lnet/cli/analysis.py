"""Commands that look at a trained run: report."""

from __future__ import annotations

from pathlib import Path

import click

import lnet

from .options import Existing
from .program import main


@main.command()
@click.argument("directory", type=Existing)
@click.option(
    "-o", "--output", type=Existing, metavar="PAGE", help="Where to write it (default: in the run)."
)
@click.option("--data", metavar="PATH", help="Images to reconstruct, in place of those it was trained on.")
def report(directory: Path, output: Path | None, data: str | None) -> None:
    """Write one HTML page about the run in DIRECTORY: network, losses, filters, reconstructions, configuration."""
    from lnet.runtime.analysis.report import write_report

    click.echo(str(write_report(lnet.open_run(directory), output, data)))
