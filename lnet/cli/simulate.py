"""The command that runs a plan in virtual time: simulate."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import process_time
from typing import Any

import click

from lnet.compiler.cut.cluster_spec import read_rates
from lnet.compiler.pipeline import layout_from
from lnet.runtime.process.counted import watched

from .bar import bar
from .options import Existing, Finite, failures_option, json_option, layout_options, repair_option, set_option
from .plans import described, plan_of
from .program import main

PATIENCE = 10.0
"""Seconds of processor time before it is said how much longer it will take."""


@main.command("simulate")
@click.argument("file", required=False, type=Existing)
@click.option(
    "--steps", type=click.IntRange(2), help="Steps of each replica (default: 20, at least 10 pushes)."
)
@click.option(
    "--seconds",
    type=Finite(0, min_open=True),
    help="Virtual seconds, in place of steps (default with failures: the time of ten).",
)
@failures_option
@repair_option
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Random seed; the same seed gives the same run."
)
@json_option
@layout_options
@set_option
def simulate_command(
    file: Path | None,
    steps: int | None,
    seconds: float | None,
    failures: float | None,
    repair: float,
    seed: int,
    as_json: bool,
    settings: Sequence[str],
    **options: Any,
) -> None:
    """Run a plan on a described cluster in virtual time.

    Runs the protocol's own state machines with the times that 'explain --time' predicts. Shows images a second, staleness
    and waiting, and with --failures the share of the speed that remains. FILE is a .lnet file or a plan (default: the only
    one in this folder).
    """
    from lnet.compiler.text_table import terminal_width
    from lnet.runtime.cluster.simulation.simulate import Asked, simulate
    from lnet.runtime.cluster.simulation.text import simulated_data, simulated_text

    if steps is not None and seconds is not None:
        raise click.UsageError("'--steps' and '--seconds' both say how long: leave one out")
    rates = read_rates(described(options["cluster_spec"]))
    plan = plan_of(file, settings, layout_from(**options))
    asked = Asked(steps, seconds, failures or 0.0, repair, seed)
    with bar() if sys.stderr.isatty() else _estimated():
        found = simulate(plan, rates, asked)
    if as_json:
        click.echo(json.dumps(simulated_data(found, asked), indent=2))
    else:
        click.echo(simulated_text(plan, found, asked, terminal_width()))


@contextmanager
def _estimated() -> Iterator[None]:
    """Say on stderr how long the rest takes, once for what takes long."""
    began = 0.0
    said: str | None = None

    def show(what: str, done: int, total: int) -> None:
        nonlocal began, said
        if not done:
            began, said = process_time(), None
        spent = process_time() - began
        if said != what and done and spent > PATIENCE:
            rest = spent * (total - done) / done
            click.echo(f"{done:,} of {total:,} {what} simulated, about {rest / 60:,.1f} min to go", err=True)
            said = what

    with watched(show):
        yield
