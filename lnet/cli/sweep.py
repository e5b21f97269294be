"""The command that searches settings: sweep."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import click
from rich.console import Console

from lnet.compiler.text_table import printed, terminal_width
from lnet.dsl.diagnostics import refused, render_all
from lnet.runtime.process.stopping import INTERRUPTED, Interrupted, say_last
from lnet.runtime.store.events import Event, Validated
from lnet.runtime.training.bars import Bar
from lnet.runtime.training.progress import Reporter, Silent, validation

from .bar import bar
from .options import (
    Existing,
    data_option,
    dry_run_option,
    freeze_option,
    from_option,
    json_option,
    overrides_from,
    steps_option,
    the_only,
    validation_option,
    with_shorthands,
    write_file,
)
from .program import main
from .runs import Lasting
from .sweep_processes import end_with_input, train_in_processes

if TYPE_CHECKING:
    from lnet.runtime.sweep.check import Checked
    from lnet.runtime.sweep.spec import SweepSpec
    from lnet.runtime.sweep.study import Study
    from lnet.runtime.sweep.trials import Sweep

PAGE = "sweep.html"
FREE = ("trials", "processes", "as_json", "beside")
"""Options for a sweep that goes on; the others say what it is."""


@main.command(context_settings={"allow_extra_args": True})
@click.argument("file", required=False, type=Existing)
@click.option("-d", "--directory", type=Existing, help="Folder of the sweep (default: sweeps/NETWORK).")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=SPACE",
    help="Values to try for train.KEY or let.NAME; may be repeated.",
)
@click.option(
    "-n",
    "--trials",
    type=click.IntRange(0),
    help="Total number of trials, with those of earlier commands (default: 20, or all combinations if no value has a "
    "range); 0 shows the results so far.",
)
@click.option(
    "--seeds",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Runs of each trial, whose mean counts.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Random seed of the search, and of the first run of each trial.",
)
@click.option(
    "--objective",
    default="loss",
    show_default=True,
    metavar="NAME",
    help="What is optimised: the loss, an objective such as V1.learn, accuracy, or an accuracy such as 'learn top-5'.",
)
@data_option
@validation_option
@steps_option
@from_option
@freeze_option
@click.option("--no-prune", is_flag=True, help="Train every run to its end.")
@click.option(
    "--processes",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Processes that train at a time.",
)
@dry_run_option
@json_option
@click.option("--beside", is_flag=True, hidden=True, help="End when the standard input is closed.")
@click.pass_context
def sweep(
    context: click.Context,
    file: Path | None,
    directory: Path | None,
    settings: Sequence[str],
    trials: int | None,
    seeds: int,
    seed: int,
    objective: str,
    data: str | None,
    validation: str | None,
    steps: int | None,
    start: Path | None,
    freeze: tuple[str, ...],
    no_prune: bool,
    processes: int,
    dry_run: bool,
    as_json: bool,
    beside: bool,
) -> None:
    """Search the settings of a .lnet file.

    Values may have ranges and alternatives: --set 'train.update = adam(rate = 1e-4..1e-2)', --set 'let.field = {5, 7, 9}'.
    Ranges of positive numbers that differ tenfold or more are logarithmic. A trial trains the file at a point of this space;
    optuna chooses each point from the results so far. FILE defaults to the only .lnet file in this folder. To continue a
    sweep, give the same command again, or its folder as FILE; any number of processes may work on it. It needs:
    pip install 'lnetc[sweep]'.
    """
    from lnet.runtime.store.run import is_sweep
    from lnet.runtime.sweep.spec import read_spec
    from lnet.runtime.sweep.study import Study
    from lnet.runtime.sweep.sweep import SweepInterrupted, begin, number_of, place_of, spec_of, work

    _check_extra(context)
    path = file if file is not None else the_only("*.lnet", ".lnet file")
    if is_sweep(path):
        _check_kept(context, path)
        folder = path
    else:
        _check_file(path)
        texts = overrides_from(with_shorthands(settings, steps=steps))
        spec = spec_of(path, texts, seed, seeds, objective, not no_prune, data, validation, start, freeze)
        checked = _checked(spec)
        if dry_run:
            _rehearse(checked, place_of(checked, directory), trials)
            return
        folder = begin(checked, directory)
    study = Study(folder, read_spec(folder))
    console = Console(file=cast(IO[str], Lasting(sys.stdout)), quiet=as_json)
    failed = 0
    try:
        if beside:
            end_with_input()
        else:
            _print(console, *_about(study.spec, folder))
        if processes > 1 and trials != 0:
            failed = train_in_processes(folder, trials, processes, as_json)
        else:
            heard: set[str] = set()
            work(
                study,
                trials,
                lambda run: _RunOfTrial(console, run, heard, beside),
                lambda trial, best: _print(console, trial.line(study.spec.measure, best)),
            )
    except Interrupted as stopped:
        say_last(str(stopped))
        context.exit(INTERRUPTED)
    if not beside:
        _show(study, as_json)
    ended = sum(trial.ended for trial in study.trials())
    if failed and (left := number_of(study.space, trials) - ended) > 0:
        click.echo(f"{left:,} trials are left; {SweepInterrupted(folder, trials).advice}", err=True)
        context.exit(failed)


def _check_extra(context: click.Context) -> None:
    """Raise `UsageError` for further arguments, which a shell makes of braces."""
    words = [*context.args, *([str(context.params["file"])] if context.params["file"] else [])]
    if any("=" in word and not Path(word).exists() for word in words):
        raise click.UsageError("a shell splits braces that are not quoted: --set 'let.field = {5, 7, 9}'")
    if context.args:
        raise click.UsageError(f"expected one FILE, found {', '.join(words)}")


def _check_kept(context: click.Context, folder: Path) -> None:
    """Raise `UsageError` for options that say what a sweep is, which one that is there has already."""
    for parameter in context.command.params:
        given = context.get_parameter_source(parameter.name or "") is click.core.ParameterSource.COMMANDLINE
        if given and parameter.name not in ("file", *FREE):
            raise click.UsageError(
                f"the sweep in '{folder}' keeps what it began with: leave '{parameter.opts[0]}' out"
            )


def _check_file(path: Path) -> None:
    """Raise an error for what is no `.lnet` file."""
    if path.suffix == ".plan":
        raise click.UsageError(f"a sweep compiles a .lnet file for each trial, and '{path}' is a plan")
    if path.is_dir():
        raise refused("E002", f"expected a .lnet file or the folder of a sweep, found the folder '{path}'")


def _checked(spec: SweepSpec) -> Checked:
    """Check a sweep, and print warnings."""
    from lnet.runtime.sweep.check import check

    with bar():
        checked = check(spec)
    if checked.warnings:
        click.echo(render_all(checked.warnings, spec.source), err=True)
    for note in checked.spec.notes:
        click.echo(f"warning: {note}", err=True)
    return checked


def _rehearse(checked: Checked, folder: Path, trials: int | None) -> None:
    """Say what a sweep would begin or go on with, and its next run; raises `LnetError` as `begin` does."""
    from lnet.compiler.cut.cost import memory_of_one
    from lnet.compiler.plan.explain import size_text
    from lnet.runtime.dry_run import dry_train
    from lnet.runtime.sweep.sweep import agree, number_of
    from lnet.runtime.sweep.trials import folder_of

    from .progress import Lines

    spec = checked.spec
    agree(folder, spec)
    click.echo("\n".join(_about(spec, folder)))
    run = folder / folder_of(len(list(folder.glob("trial-*")))) / f"seed-{spec.seed}"
    reporter = Lines(Console())
    dry_train(
        *(checked.plan, spec.data, None, run, reporter),
        cluster=False,
        client=None,
        start=spec.start,
        freeze=spec.freeze,
        wire=None,
        force=False,
        mapping=None,
        validation=spec.validation,
    )
    count = number_of(spec.space, trials)
    memory, training = memory_of_one(checked.plan.graph), checked.plan.graph.training
    kept = count * spec.seeds * training.keep * (memory.parameter_bytes + memory.state_bytes)
    click.echo(
        f"{count:,} trials, at most {count * spec.seeds:,} runs like this, which keep {size_text(kept)} of checkpoints"
    )
    click.echo("checked: nothing was written")


def _about(spec: SweepSpec, folder: Path) -> list[str]:
    """Return lines on a sweep: its file, what counts, its space."""
    from lnet.runtime.sweep.trials import short

    seeds = f"mean over {spec.seeds:,} seeds of the " * (spec.seeds > 1)
    goal = "highest" if spec.measure.maximised else "lowest"
    lines = [f"sweep of {spec.file} in '{folder}' for the {goal} {seeds}{spec.measure.text}"]
    return lines + [f"  {short(variable.name)}: {variable}" for variable in spec.space.variables]


def _print(console: Console, *lines: str) -> None:
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _show(study: Study, as_json: bool) -> None:
    """Write the page, and print the best trials or JSON."""
    from lnet.compiler.files import readable
    from lnet.runtime.sweep.command import longer
    from lnet.runtime.sweep.page import page
    from lnet.runtime.sweep.trials import shown_parts

    if study.writable:
        with bar():
            write_file(study.folder / PAGE, readable(page(study)))
    found, command = study.result(), longer(study.result())
    if as_json:
        click.echo(json.dumps(_data(found, command), indent=2))
        return
    click.echo("\n" + printed(shown_parts(found), terminal_width()))
    if study.writable:
        click.echo(f"page: {study.folder / PAGE}")
    if command is not None:
        click.echo(f"for ten times as many steps: {command}")


def _data(found: Sweep, command: str | None) -> dict[str, Any]:
    trials = [
        asdict(trial) | {"name": trial.name, "settings": found.settings(trial) if trial.ended else None}
        for trial in found.trials
    ]
    return {
        "directory": str(found.directory),
        "objective": found.measure.name,
        "command": command,
        "trials": trials,
    }


class _RunOfTrial:
    """Shows a run of a trial: a bar in a terminal, and a message of each kind once; no line on steps and validations."""

    def __init__(self, console: Console, run: Path, heard: set[str], plain: bool) -> None:
        shown = console.is_terminal and not plain and not console.quiet
        self._bar: Reporter = Bar(console, "/".join(run.parts[-2:]), transient=True) if shown else Silent()
        self._console, self._heard = console, heard

    def started(self, step: int, steps: int) -> None:
        self._bar.started(step, steps)

    def stepped(self, step: int, objectives: Mapping[str, float], images_per_second: float) -> None:
        self._bar.stepped(step, objectives, images_per_second)

    def said(self, message: str) -> None:
        if _kind(message) not in self._heard:
            self._heard.add(_kind(message))
            _print(self._console, message)

    def happened(self, event: Event) -> None:
        if isinstance(event, Validated):
            self._heard.add(_kind(validation(event)))

    def finished(self) -> None:
        self._bar.finished()


def _kind(message: str) -> str:
    """Return a message without its numbers."""
    return re.sub(r"\d[\d,.]*", "0", message)
