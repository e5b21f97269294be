"""Commands on many runs: runs, compare."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lnet.compiler.text_table import TextTable, printed, terminal_width
from lnet.dsl.diagnostics import refused

from .bar import bar
from .options import Existing, Output, json_option, write_file
from .program import main

if TYPE_CHECKING:
    from lnet.runtime.analysis.compare.groups import Comparison, Group
    from lnet.runtime.store.summary import Measured, Summary


@main.command()
@click.argument("folder", required=False, type=Existing)
@json_option
def runs(folder: Path | None, as_json: bool) -> None:
    """List the runs in a folder and below.

    FOLDER defaults to runs, or to this folder where there is none. The table shows losses and accuracies (means of the last
    50 steps), those of the last validation, the best neuron of each probe, and the settings in which runs of one network
    differ. Nothing is written.
    """
    if folder is None:
        folder = Path("runs") if Path("runs").is_dir() else Path()
    found, unreadable = _summaries(folder)
    if as_json:
        data = {
            "runs": [_finite(asdict(each)) for each in found],
            "unreadable": [{"path": str(path), "reason": why} for path, why in unreadable.items()],
        }
        click.echo(json.dumps(data, indent=2))
        return
    _say_left_out(unreadable)
    if not found:
        click.echo(f"there are no runs in '{folder}'")
        return
    click.echo(printed([_table(found, folder), *_changes(found, folder)], terminal_width()))


def _summaries(folder: Path) -> tuple[list[Summary], dict[Path, str]]:
    """Return the runs in a folder and below, and why others cannot be read; raises `LnetError` for the folder."""
    from lnet.runtime.store.summary import Unreadable, find_runs, summary

    found, unreadable = [], {}
    try:
        for path in find_runs(folder):
            try:
                found.append(summary(path))
            except Unreadable as error:
                unreadable[path] = str(error)
    except OSError as error:
        raise refused("E740", f"'{folder}' cannot be read", str(error)) from error
    return found, unreadable


def _say_left_out(unreadable: Mapping[Path, str]) -> None:
    for path, why in unreadable.items():
        click.echo(f"'{path}' is left out: {why}", err=True)


@main.command()
@click.argument("paths", metavar="RUN...", nargs=-1, required=True, type=Existing)
@click.option(
    "-o", "--output", type=Output, metavar="PAGE", help="Write an HTML page with curves over each other."
)
@json_option
def compare(paths: Sequence[Path], output: Path | None, as_json: bool) -> None:
    """Compare runs: means and deviations over seeds.

    RUN is a run or a folder of runs; those in a folder that cannot be read are left out. Runs that differ only in their
    seed are one group; the table shows the settings in which groups differ, and mean and standard deviation over the runs
    of each.
    """
    from lnet.runtime.analysis.compare.groups import compare as compared

    found: dict[Path, Summary] = {}
    for path in paths:
        inside, unreadable = _summaries(path)
        if path in unreadable:
            raise refused("E740", f"the run '{path}' cannot be read", unreadable[path])
        if not inside and not unreadable:
            raise refused("E740", f"there are no runs in '{path}'")
        _say_left_out(unreadable)
        found |= {Path(run.path).resolve(): run for run in inside}
    if len(found) < 2:
        raise click.UsageError("to compare takes two runs: name more, or a folder of runs")
    comparison = compared(tuple(found.values()))
    if output is not None:
        from lnet.compiler.files import readable
        from lnet.runtime.analysis.compare.page import page

        with bar():
            write_file(output, readable(page(comparison)))
    if as_json:
        click.echo(json.dumps(_finite([_group_data(group) for group in comparison.groups]), indent=2))
        return
    said = [f"{group.name}: {', '.join(run.path for run in group.runs)}" for group in comparison.groups]
    click.echo(printed([_groups(comparison), "", *said], terminal_width()))
    if output is not None:
        click.echo(f"page: {output}")


def _groups(comparison: Comparison) -> TextTable:
    """Return the table of groups: their settings, seeds and figures."""
    words = ("group", *comparison.differing, "seeds")
    figures = ("step", *(figure.heading for figure in comparison.figures))
    rows = tuple(
        (
            group.name,
            *group.settings.values(),
            group.seeds,
            group.step,
            *(figure.cell(group) for figure in comparison.figures),
        )
        for group in comparison.groups
    )
    return TextTable(words, figures, rows)


def _group_data(group: Group) -> dict[str, Any]:
    from lnet.runtime.analysis.compare.groups import FIGURES

    spreads = {figure.heading: group.spread(figure.of) for figure in FIGURES}
    return {
        "group": group.name,
        "settings": group.settings,
        "runs": [asdict(run) for run in group.runs],
        "figures": {name: None if each is None else asdict(each) for name, each in spreads.items()},
    }


def _table(found: Sequence[Summary], folder: Path) -> TextTable:
    """Return the table: a row for each run, and a column for all that any of them has."""
    from lnet.runtime.store.summary import differences

    differing = [name for name in differences(found) if name != "steps"]
    columns = {
        "run": [_named(each, folder) for each in found],
        "network": [each.network for each in found],
        "begun": [f"{datetime.fromtimestamp(each.begun):%Y-%m-%d %H:%M}" for each in found],
        "state": [each.state for each in found],
        "best neurons": [_neurons(each) for each in found],
        **{name: [each.settings.get(name, "") for each in found] for name in differing},
    }
    figures = {
        "step": [f"{each.step:,}/{each.steps:,}" for each in found],
        "loss": [_loss(each.trained) for each in found],
        "accuracy": [_accuracy(each.trained) for each in found],
        "val. loss": [_loss(each.validated) for each in found],
        "val. accuracy": [_accuracy(each.validated) for each in found],
    }
    shown = {name: cells for name, cells in (columns | figures).items() if any(cells)}
    words = tuple(name for name in columns if name in shown)
    numbers = tuple(name for name in figures if name in shown)
    first = words[: words.index("state") + 1]
    order = (*first, *numbers, *words[len(first) :])
    rows = tuple(zip(*(shown[name] for name in order), strict=True))
    return TextTable(first, order[len(first) :], rows, left=words[len(first) :])


def _changes(found: Sequence[Summary], folder: Path) -> list[str]:
    """Return a line for each change of settings under a run."""
    said = [f"{_named(each, folder)}: {line}" for each in found for line in each.change_lines]
    return ["", *said] if said else []


def _named(each: Summary, folder: Path) -> str:
    path = Path(each.path)
    return str(path.relative_to(folder)) if path != folder else path.resolve().name


def _loss(measured: Measured | None) -> str:
    return "" if measured is None else f"{measured.loss:,.4g}"


def _accuracy(measured: Measured | None) -> str:
    return "" if measured is None or measured.accuracy is None else f"{measured.accuracy:.1%}"


def _neurons(each: Summary) -> str:
    return "; ".join(f"{best.set}: {best.neuron} {best.accuracy:.1%}" for best in each.neurons)


def _finite(value: Any) -> Any:
    """Return data with None in place of what JSON has no number for."""
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not isfinite(value) else value
