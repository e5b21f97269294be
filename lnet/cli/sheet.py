"""The command that maps a layer's preferences over its sheet: sheet."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

import lnet

from .bar import bar
from .options import Existing, json_option, say_skipped
from .pictures import seed_option
from .program import main

if TYPE_CHECKING:
    from lnet.compiler.text_table import TextTable
    from lnet.runtime.analysis.sheet import SheetView


@main.command()
@click.argument("directory", type=Existing)
@click.argument("layer")
@click.argument("data", metavar="[SET]", required=False)
@seed_option
@click.option(
    "--untrained",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Also count the selective neurons of N untrained networks.",
)
@json_option
def sheet(directory: Path, layer: str, data: str | None, seed: int, untrained: int, as_json: bool) -> None:
    """Map the preferences of a layer's neurons over the sheet.

    The preferred orientation, of filters or of gratings, with its pinwheels, clusters and roughness; how similar neighbours
    are; with a labelled SET the preferred class and d' of every class. A layer with a patch (maps = 8x8) is one picture of
    all its units. Arrays and pictures are kept in the run in DIRECTORY and shown in its report.
    """
    if untrained and data is None:
        raise click.UsageError(
            "'--untrained' compares responses to a set of images: name one behind the layer"
        )
    with bar():
        view = lnet.sheet_view(lnet.open_run(directory), layer, data, seed, untrained)
    say_skipped(view.record.figures["skipped"])
    if as_json:
        click.echo(json.dumps(view.record.figures, indent=2))
        return
    click.echo(f"{view.layer}: {view.summary}")
    if view.classes is not None:
        from lnet.compiler.text_table import printed, terminal_width

        click.echo(printed([_by_class(view), *_over_all(view)], terminal_width()))
    for path in view.record.files.values():
        click.echo(f"  {path}")


def _by_class(view: SheetView) -> TextTable:
    """Return the table of classes: who prefers them, who is selective for them, and how many are so untrained."""
    from lnet.compiler.text_table import TextTable

    classes = view.classes
    assert classes is not None, "sheet: a table of classes without classes"
    columns = ("preferred", "selective", *(("untrained",) if view.untrained else ()))
    rows = []
    for name, share in classes.shares.items():
        row = [name, f"{share:.1%}", f"{classes.selective[name]:.1%}"]
        if view.untrained:
            row.append(_range(view.untrained[name]))
        rows.append(tuple(row))
    return TextTable(("class",), columns, tuple(rows))


def _range(shares: Sequence[float]) -> str:
    """Return shares as their mean, and the lowest and the highest if there are several."""
    mean = f"{sum(shares) / len(shares):.1%}"
    return mean if len(shares) < 2 else f"{mean} ({min(shares):.1%} to {max(shares):.1%})"


def _over_all(view: SheetView) -> list[str]:
    """Return what holds for all classes together."""
    from lnet.runtime.analysis.sheet import SELECTIVE

    assert view.classes is not None, "sheet: a table of classes without classes"
    moments = view.classes.moments
    return [
        f"selective: d' of {SELECTIVE} or more; responses fill {moments.participation_ratio:.1f} dimensions "
        f"(participation ratio); mean absolute response {moments.energy.mean():.3g}"
    ]
