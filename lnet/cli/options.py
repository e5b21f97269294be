"""Options shared by several commands, and the default file of a command."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

import click

from lnet.compiler.files import write_aside
from lnet.dsl.diagnostics import refused
from lnet.runtime.process.stopping import GRACE

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class _Place(click.Path):
    """A path, which is never empty: `-d "$RUN"` without RUN would mean the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("the path is empty; the current folder is '.'", param, ctx)
        return super().convert(value, param, ctx)


class _Output(_Place):
    """A file to write, which is checked before the work begins."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = Path(super().convert(value, param, ctx))
        problem = None
        if path.is_dir():
            problem = "it is a folder"
        elif not path.parent.is_dir():
            problem = f"there is no folder '{path.parent}'"
        elif not os.access(path.parent, os.W_OK):
            problem = f"nothing may be written into '{path.parent}'"
        if problem is not None:
            raise refused("E608", f"'{path}' cannot be written", problem)
        return path


Existing = _Place(path_type=Path)
Output = _Output(path_type=Path)

set_option = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set train.KEY or let.NAME; may be repeated.",
)


class Finite(click.FloatRange):
    """A number in a range, neither infinite nor NaN."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not isfinite(number):
            self.fail(f"expected a finite number, found {value}", param, ctx)
        return number


failures_option = click.option(
    "--failures",
    is_eager=True,  # before --repair, which asks for it
    type=Finite(0),
    metavar="R",
    help="Failures of each machine in 1,000 hours: in half of them a process ends, in half a machine falls silent.",
)


def _with_failures(ctx: click.Context, param: click.Parameter, value: float) -> float:
    given = ctx.get_parameter_source("repair") is click.core.ParameterSource.COMMANDLINE
    if given and ctx.params.get("failures") is None:
        raise click.UsageError("'--repair' needs '--failures R'")
    return value


repair_option = click.option(
    "--repair",
    type=Finite(0),
    default=300.0,
    callback=_with_failures,
    show_default=True,
    metavar="SECONDS",
    help="Time until a failed process or machine is back.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
data_option = click.option(
    "--data", metavar="PATH", help="Training images, instead of those named in the file."
)
validation_option = click.option(
    "--validation", metavar="PATH", help="Validation images, instead of those named in the file."
)
seed_option = click.option("--seed", type=click.IntRange(0), help="Random seed: --set train.seed=N.")
batch_option = click.option("--batch", type=click.IntRange(1), help="Images in a batch: --set train.batch=N.")
devices_option = click.option(
    "--devices",
    type=click.IntRange(1),
    default=1,
    help="Number of GPUs of this machine among which each batch is divided (default: 1).",
)
quiet_option = click.option(
    "-q", "--quiet", is_flag=True, help="Print warnings, errors and the run's directory alone."
)
port_option = click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    help="Port of the page on this machine (default: a free one).",
)
watch_option = click.option(
    "--watch", is_flag=True, help="Serve a page on this machine that shows the run as it grows."
)
track_option = click.option(
    "--track",
    "trackers",
    multiple=True,
    metavar="SERVICE",
    help="Send the run to tensorboard, wandb, mlflow or trackio while it is trained; may be repeated.",
)
dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Check and print all that the run begins with; write nothing."
)
steps_option = click.option("--steps", type=click.IntRange(1), help="Number of steps, instead of the file's.")
cluster_option = click.option(
    "--cluster",
    is_flag=False,
    flag_value="local",
    metavar="[ADDRESS]",
    help="Train on the Dask cluster at ADDRESS: tcp://HOST:PORT, tls://HOST:PORT or a scheduler file. Without ADDRESS, "
    "train in processes on this machine, one for each worker of the plan.",
)
mapping_option = click.option(
    "--mapping",
    type=Existing,
    metavar="FILE",
    help="Lines 'PARAMETER = ARRAY as LAYOUT' that correct how a file of weights is matched.",
)
from_option = click.option(
    "--from",
    "start",
    type=Existing,
    metavar="RUN|FILE",
    help="Start from another run's parameters, or from a file of weights (docs/weights.md).",
)
freeze_option = click.option(
    "--freeze", multiple=True, metavar="PATH", help="Do not train this stage or layer; may be repeated."
)
force_option = click.option("--force", is_flag=True, help="Start even if there is not enough free memory.")


class Minutes(click.ParamType):  # type: ignore[type-arg]
    """A number of minutes; without one, no limit."""

    name = "minutes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            minutes = float(value)
        except ValueError:
            minutes = 0.0
        if not minutes > 0:
            hint = f"write '--wait=5', or '{value}' before it"
            self.fail(f"expected a number of minutes, found '{value}'; {hint}", param, ctx)
        return minutes


wait_option = click.option(
    "--wait",
    is_flag=False,
    flag_value="inf",
    type=Minutes(),
    metavar="[MINUTES]",
    help="Wait until the cluster at ADDRESS is there. Whenever it is lost, wait again and continue from the newest "
    "checkpoint. Give up after MINUTES of waiting.",
)

grace_option = click.option(
    "--grace",
    type=click.FloatRange(0),
    default=GRACE,
    show_default=True,
    metavar="SECONDS",
    help="Time limit for the last checkpoint after Ctrl-C, SIGTERM or SIGHUP.",
)

wire_option = click.option(
    "--wire",
    type=click.Choice(["float64", "float32", "bfloat16"]),
    help="Data type on the wire for a cluster's parameters and gradients (default: the network's); bfloat16 halves the "
    "bytes of float32.",
)


def layout_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of the plan's layout."""
    options: list[Decorator] = [
        click.option(
            "--workers",
            type=click.IntRange(1),
            help="Number of workers in all (default: one for each replica).",
        ),
        click.option(
            "--replicas", type=click.IntRange(1), help="Replicas of the model (default: the file's)."
        ),
        click.option(
            "--tiles",
            metavar="PxQ",
            help="Tiles of a replica, rows x columns (default: chosen from the workers).",
        ),
        click.option(
            "--shards-per-tile",
            type=click.IntRange(1),
            help="Shards of a tile's parameters, each with a server of its own (default: as many as replicas, or fewer).",
        ),
        click.option(
            "--cluster-spec",
            type=Existing,
            metavar="FILE.toml",
            help="Description of the cluster: workers, hosts and links.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def overrides_from(settings: Sequence[str]) -> dict[str, str]:
    overrides = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name.strip():
            raise click.BadParameter(f"expected KEY=VALUE, found '{setting}'", param_hint="--set")
        overrides[name.strip()] = value.strip()
    return overrides


def with_shorthands(settings: Sequence[str], **given: int | None) -> tuple[str, ...]:
    """Return settings with those of `train` that have options of their own; raises `UsageError` for one given twice."""
    twice = [name for name in overrides_from(settings) if given.get(name.removeprefix("train.")) is not None]
    if twice:
        raise click.UsageError(
            f"'--{twice[0].removeprefix('train.')}' and '--set {twice[0]}' are the same setting"
        )
    return (*settings, *(f"train.{name}={value}" for name, value in given.items() if value is not None))


def the_only(pattern: str, what: str) -> Path:
    """Return the only file that matches `pattern` in this folder; raises `LnetError` if there is none or more than one."""
    found = sorted(Path().glob(pattern))
    if len(found) == 1:
        return found[0]
    problem = (
        f"there are {len(found)} {what}s in this folder" if found else f"there is no {what} in this folder"
    )
    listed = (f"found '{path}'" for path in found[:20])
    raise refused("E607", problem, *listed, hint="name the file that is meant")


def say_skipped(skipped: Mapping[str, str]) -> None:
    """Print the corrupt images that a command skipped, with the reasons."""
    for name, reason in skipped.items():
        click.echo(f"skipped the corrupt image '{name}': {reason}", err=True)


def write_file(path: Path, content: str | bytes) -> None:
    """Write a file atomically; raises `LnetError`."""
    try:
        write_aside(path, content)
    except OSError as error:
        raise refused("E608", f"'{path}' cannot be written", str(error)) from error
