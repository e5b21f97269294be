"""`lnetc`: the command line. Exit status 0, 1 (the input is wrong), 2 (usage), 3 (the run failed), 130."""

from __future__ import annotations

import difflib
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

import lnet
from lnet.compiler.pipeline import Options, check_source, compile_source, dump
from lnet.dsl import format_source, read_source
from lnet.dsl.diagnostics import Diagnostic, LnetError, render_all

Command = TypeVar("Command", bound=Callable[..., Any])


class Failed(Exception):
    """Ends the program with an exit status, after everything was said."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Program(click.Group):
    """A group of commands that prints what a user did wrong as it stands, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except LnetError as error:
            click.echo(str(error), err=True)
            raise click.exceptions.Exit(3 if _while_running(error) else 1) from error
        except Failed as failed:
            raise click.exceptions.Exit(failed.status) from failed
        except BrokenPipeError as error:  # `lnetc explain | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise click.exceptions.Exit(0) from error


def _while_running(error: LnetError) -> bool:
    return any(diagnostic.code.startswith("E73") for diagnostic in error.diagnostics)


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(lnet.__version__, "-V", "--version", prog_name="lnetc")
def main() -> None:
    """Check, compile, train and look at locally connected networks written in .lnet files."""


# --- options that several commands share -----------------------------------------------------------------


def _together(options: Sequence[Callable[[Any], Any]]) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


_set_option = click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Set train.KEY or let.NAME; may be repeated."
)
_layout_options = _together(
    [
        click.option("--workers", type=click.IntRange(1), help="Workers in all (default: one per replica)."),
        click.option("--replicas", type=click.IntRange(1), help="Copies of the model (default: as the file says)."),
        click.option("--tiles", metavar="PxQ", help="Tiles of a replica, rows x columns (default: found)."),
        click.option(
            "--cluster-spec", type=click.Path(path_type=Path), metavar="FILE", help="Workers and links, as TOML."
        ),
    ]
)
_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def _overrides(settings: Sequence[str]) -> dict[str, str]:
    pairs = [setting.partition("=") for setting in settings]
    for (name, equals, _), setting in zip(pairs, settings, strict=True):
        if not equals or not name.strip():
            raise click.BadParameter(f"expected KEY=VALUE, found '{setting}'", param_hint="--set")
    return {name.strip(): value.strip() for name, _, value in pairs}


def _only(pattern: str, what: str, folder: Path) -> Path:
    """Return the only file of a kind in a folder, or say which there are."""
    found = sorted(folder.glob(pattern))
    if len(found) == 1:
        return found[0]
    problem = f"there is no {what} in this folder" if not found else f"there are {len(found)} {what}s in this folder"
    raise LnetError(
        [
            Diagnostic(
                "E607",
                problem,
                notes=tuple(f"'{path.name}'" for path in found[:20]),
                hints=("name the one that you mean",),
            )
        ]
    )
