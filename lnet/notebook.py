"""lnet in notebooks: `%load_ext lnet.notebook`, and a cell is a network.

%%lnet plan --set train.batch=50
network small { image: input(32x32x3); filter: local(9, maps = 8); learn: l2() }
train { data = frames("images") }

The cell is checked, as by `lnetc check`, and compiled into the variable `plan`. Errors are shown with their places.
"""

from __future__ import annotations

import shlex
from argparse import ArgumentParser
from keyword import iskeyword
from typing import Any, NoReturn

from lnet.compiler.pipeline import Layout, compile_source
from lnet.compiler.plan.plan import Plan
from lnet.dsl.diagnostics import Collector, LnetError, render_all
from lnet.dsl.source import Source


class Refused(Exception):
    """What is wrong with a cell; IPython shows it without a traceback."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


class _Arguments(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Refused(f"%%lnet: {message}\n{self.format_usage()}")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        raise Refused(message or "")


def load_ipython_extension(shell: Any) -> None:
    """Let cells of a notebook begin with `%%lnet`."""

    def lnet(line: str, cell: str) -> Plan:
        """Check and compile the cell, and keep the plan in a variable: `%%lnet [NAME] [--set KEY=VALUE]...`."""
        name, settings = _arguments(line)
        plan = _compiled(cell, f"{name}.lnet", settings)
        shell.push({name: plan})
        return plan

    shell.register_magic_function(lnet, "cell", "lnet")


def _arguments(line: str) -> tuple[str, dict[str, str]]:
    """Return the variable and the settings that follow `%%lnet`."""
    parser = _Arguments(prog="%%lnet")
    parser.add_argument("name", nargs="?", default="plan", help="variable that the plan is kept in")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    try:
        words = shlex.split(line)
    except ValueError as error:
        parser.error(f"{line}: {error}")
    asked = parser.parse_args(words)
    if not asked.name.isidentifier() or iskeyword(asked.name):
        parser.error(f"expected the name of a variable, found '{asked.name}'")
    for text in asked.set:
        if "=" not in text:
            parser.error(f"expected KEY=VALUE after --set, found '{text}'")
    return asked.name, dict(text.split("=", 1) for text in asked.set)


def _compiled(cell: str, name: str, settings: dict[str, str]) -> Plan:
    """Return the plan of a cell, and print warnings."""
    source = Source(cell, name)
    collector = Collector(source)
    try:
        plan = compile_source(source, settings, collector, Layout())
    except LnetError as error:
        raise Refused(str(error)) from None
    if collector.warnings:
        print(render_all(collector.warnings, source))
    return plan
