"""The group of all commands, and the printing of errors."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import click

import lnet
from lnet.dsl.diagnostics import LnetError, LnetWarning, did_you_mean
from lnet.runtime.process.stopping import leave

RUN_FAILED = ("E73", "E762", "E763", "E764", "E765")
"""Codes, or prefixes of codes, of a failed run, whose input may be right."""


COMMANDS = {
    "train": "run",
    "fit": "run",
    "start": "run",
    "continue": "resume",
    "lint": "check",
    "validate": "check",
    "format": "fmt",
    "build": "compile",
    "summary": "explain",
    "benchmark": "tune",
    "test": "probe",
    "eval": "probe",
    "evaluate": "probe",
    "plot": "draw",
    "search": "sweep",
    "optimize": "sweep",
    "optimise": "sweep",
    "save": "export",
    "list": "runs",
    "predict": "export",
    "infer": "export",
    "inference": "export",
    "visualize": "draw",
    "visualise": "draw",
    "show": "report",
    "describe": "explain",
    "info": "explain",
    "ls": "runs",
    "follow": "watch",
    "monitor": "watch",
    "load": "import",
    "convert": "import",
    "new": "init",
    "create": "init",
    "docs": "kinds",
    "reference": "kinds",
}
"""lnet's names for commands of other programs."""


class Program(click.Group):
    """Prints a user's mistakes without a traceback."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command by name; the error for an unknown one lists all commands."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            hint = did_you_mean(COMMANDS.get(name.casefold(), name), self.commands)
            if Path(name).suffix in (".lnet", ".plan"):
                hint = (f"did you mean 'lnetc run {name}'?",)
            listed = f"The commands are {', '.join(self.commands)}."
            ctx.fail(" ".join((f"No such command '{name}'.", *(h[0].upper() + h[1:] for h in hint), listed)))
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        _pass_names_on()
        logging.getLogger("lnet").addHandler(
            logging.NullHandler()
        )  # a reporter prints these messages already
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _show(warnings.showwarning)
                return super().invoke(ctx)
        except click.NoSuchOption as error:
            raise _with_setting(error) from error
        except LnetError as error:
            click.echo(str(error), err=True)
            ctx.exit(3 if any(d.code.startswith(RUN_FAILED) for d in error.diagnostics) else 1)
        except KeyboardInterrupt:
            leave()
        except BrokenPipeError:  # `lnetc explain | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(0)


def _with_setting(error: click.NoSuchOption) -> click.NoSuchOption:
    """Return the error for an unknown option, with a hint if it is a setting of the file."""
    from lnet.compiler.language.hints import option_hint

    takes_settings = error.ctx is not None and any(p.name == "settings" for p in error.ctx.command.params)
    hint = option_hint(error.option_name) if takes_settings else None
    if hint is None:
        return error
    return click.NoSuchOption(error.option_name, f"{error.message} {hint}", ctx=error.ctx)


def _pass_names_on() -> None:
    """Print file names as their original bytes, even if these are not UTF-8."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="surrogateescape")


def _show(otherwise: Callable[..., None]) -> Callable[..., None]:
    """Return a `showwarning` that prints lnet's warnings on one line and passes others to `otherwise`."""

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if issubclass(category, LnetWarning):
            click.echo(f"warning: {message}", err=True)
        else:
            otherwise(message, category, *place, **more)

    return show


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(lnet.__version__, "-V", "--version", prog_name="lnetc")
@click.option(
    "--plugin",
    "plugins",
    multiple=True,
    metavar="FILE",
    help="Load a plug-in, a Python file or a module; may be repeated.",
)
def main(plugins: Sequence[str]) -> None:
    """Check, compile, train and look at locally connected networks written in .lnet files."""
    if plugins:
        from lnet.compiler.plugins.load import load_plugin

        for place in plugins:
            load_plugin(place)
