"""The command that maps a layer's preferences over its sheet: sheet."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

import lnet

from .bar import bar
from .options import json_option, say_skipped
from .pictures import seed_option
from .program import main
from .several import runs_first

if TYPE_CHECKING:
    from lnet.compiler.text_table import TextTable
    from lnet.runtime.analysis.gallery import Record
    from lnet.runtime.analysis.intervals import Interval
    from lnet.runtime.analysis.seeds import Seeds
    from lnet.runtime.analysis.sheet import SheetView


@main.command()
@click.argument("arguments", metavar="RUN... LAYER [SET]", nargs=-1, required=True)
@seed_option
@click.option(
    "--untrained",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Also count the selective neurons of N untrained networks.",
)
@json_option
def sheet(arguments: tuple[str, ...], seed: int, untrained: int, as_json: bool) -> None:
    """Map the preferences of a layer's neurons over the sheet.

    Shows the preferred orientation, from filters or gratings, with pinwheels, clusters, entropy and spectrum, and the
    similarity of neighbours; with a labelled SET also the preferred class, d' of every class, and the costs of neurons. A
    layer with a patch (maps = 8x8) is one picture of all its units. Arrays and pictures are kept in the run and shown in
    its report. For several runs with different seeds, every figure also has a mean and a 95 % interval.
    """
    directories, rest = runs_first(arguments)
    if not 1 <= len(rest) <= 2:
        raise click.UsageError(_misplaced(directories, rest))
    layer, data = rest[0], rest[1] if len(rest) == 2 else None
    if untrained and data is None:
        raise click.UsageError(
            "'--untrained' compares responses to a set of images: name one behind the layer"
        )
    runs = [lnet.open_run(directory) for directory in directories]
    if len(runs) > 1:
        with bar():
            seeds = lnet.sheet_over_seeds(runs, layer, data, seed, untrained)
        _show(seeds.record, as_json, lambda: _over_seeds(seeds))
        return
    with bar():
        view = lnet.sheet_view(runs[0], layer, data, seed, untrained)
    _show(view.record, as_json, lambda: _of_one(view))


def _misplaced(directories: Sequence[Path], rest: Sequence[str]) -> str:
    if not rest:
        return f"expected RUN... LAYER [SET]: there is no layer behind '{directories[-1]}'"
    return f"expected RUN... LAYER [SET], and '{rest[0]}' is no run: there is no 'run.json' in it"


def _show(record: Record, as_json: bool, parts: Callable[[], list[str | TextTable]]) -> None:
    """Print a record as JSON, or what a person reads of it."""
    say_skipped(record.figures["skipped"])
    if as_json:
        click.echo(json.dumps(record.figures, indent=2))
        return
    from lnet.compiler.text_table import printed, terminal_width

    click.echo(printed(parts(), terminal_width()))
    for path in record.files.values():
        click.echo(f"  {path}")


def _of_one(view: SheetView) -> list[str | TextTable]:
    summary = f"{view.layer}: {view.summary}"
    return [summary] if view.classes is None else [summary, _by_class(view), *_over_all(view)]


def _over_seeds(seeds: Seeds) -> list[str | TextTable]:
    """Return the table of figures with their intervals; shares of selective neurons beside those of untrained networks."""
    from lnet.compiler.text_table import TextTable

    columns = ("mean", "95 %", *(("untrained", "of these 95 %") if seeds.untrained else ()))
    rows = []
    for name, found in seeds.figures.items():
        row = [name, f"{found.mean:.4g}", _ends(found)]
        if seeds.untrained:
            beside = seeds.untrained.get(name.removeprefix("selective.")) if "selective." in name else None
            row += ["", ""] if beside is None else [f"{beside.mean:.4g}", _ends(beside)]
        rows.append(tuple(row))
    runs = f"{seeds.layer}: {len(seeds.runs)} runs; intervals over their seeds (Student's t)"
    return [runs, TextTable(("figure",), columns, tuple(rows))]


def _ends(found: Interval) -> str:
    return "" if found.low is None else f"{found.low:.4g}..{found.high:.4g}"


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
    costs = ", ".join(f"{name} {cost:.3g}" for name, cost in moments.energy.means.items())
    return [
        f"selective: d' of {SELECTIVE} or more; responses fill {moments.participation_ratio:.1f} dimensions "
        "(participation ratio)",
        f"costs of a neuron: {costs}",
    ]
