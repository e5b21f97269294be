"""The group of all commands, and what becomes of a user's mistake."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

import lnet
from lnet.dsl.diagnostics import LnetError


class Program(click.Group):
    """Prints what a user did wrong as it stands, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except LnetError as error:
            click.echo(str(error), err=True)
            ctx.exit(3 if any(d.code.startswith("E73") for d in error.diagnostics) else 1)
        except BrokenPipeError:  # `lnetc explain | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(0)


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(lnet.__version__, "-V", "--version", prog_name="lnetc")
def main() -> None:
    """Check, compile, train and look at locally connected networks written in .lnet files."""
