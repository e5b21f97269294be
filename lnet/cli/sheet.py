"""The command that maps a layer's preferences over its sheet: sheet."""

from __future__ import annotations

import json
from pathlib import Path

import click

import lnet

from .bar import bar
from .options import Existing, json_option, say_skipped
from .pictures import seed_option
from .program import main


@main.command()
@click.argument("directory", type=Existing)
@click.argument("layer")
@click.argument("data", metavar="[SET]", required=False)
@seed_option
@json_option
def sheet(directory: Path, layer: str, data: str | None, seed: int, as_json: bool) -> None:
    """Map the preferences of a layer's neurons over the sheet.

    The preferred orientation, of filters or of gratings, and the preferred class of SET, if given; how similar neighbours
    are. A layer with a patch (maps = 8x8) is one picture of all its units. Arrays and pictures are kept in the run in
    DIRECTORY and shown in its report.
    """
    with bar():
        view = lnet.sheet_view(lnet.open_run(directory), layer, data, seed)
    say_skipped(view.record.figures["skipped"])
    if as_json:
        click.echo(json.dumps(view.record.figures, indent=2))
        return
    click.echo(f"{view.layer}: {view.summary}")
    for path in view.record.files.values():
        click.echo(f"  {path}")
