"""The command that lists runs: runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lnet.compiler.text_table import TextTable, printed, terminal_width
from lnet.dsl.diagnostics import refused

from .options import Existing, json_option
from .program import main

if TYPE_CHECKING:
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
    from lnet.runtime.store.summary import Unreadable, find_runs, summary

    if folder is None:
        folder = Path("runs") if Path("runs").is_dir() else Path()
    found, unreadable = [], []
    try:
        for path in find_runs(folder):
            try:
                found.append(summary(path))
            except Unreadable as error:
                unreadable.append({"path": str(path), "reason": str(error)})
    except OSError as error:
        raise refused("E740", f"'{folder}' cannot be read", str(error)) from error
    if as_json:
        data = {"runs": [_finite(asdict(each)) for each in found], "unreadable": unreadable}
        click.echo(json.dumps(data, indent=2))
        return
    for each in unreadable:
        click.echo(f"'{each['path']}' is left out: {each['reason']}", err=True)
    if not found:
        click.echo(f"there are no runs in '{folder}'")
        return
    click.echo(printed([_table(found, folder), *_changes(found, folder)], terminal_width()))


def _table(found: Sequence[Summary], folder: Path) -> TextTable:
    """Return the table: a row for each run, and a column for all that any of them has."""
    from lnet.runtime.store.summary import differences

    differing = differences(found)
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
    said = [
        f"{_named(each, folder)}: from step {change['step']:,} on {name} = {now}, was {was}"
        for each in found
        for change in each.changes
        for name, (was, now) in change["settings"].items()
    ]
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
    return None if isinstance(value, float) and isnan(value) else value
