"""Commands on .lnet files: check, fmt."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any

import click

from lnet.compiler.pipeline import compile_source
from lnet.dsl.diagnostics import Collector, Diagnostic, LnetError, render_all
from lnet.dsl.printer import format_source
from lnet.dsl.reader import read_file
from lnet.dsl.source import Source
from lnet.dsl.sources import read_source

from .options import Existing, json_option, write_file
from .program import main


@main.command()
@click.argument("files", nargs=-1, required=True, type=Existing)
@json_option
def check(files: tuple[Path, ...], as_json: bool) -> None:
    """Report all errors in .lnet files; write nothing."""
    diagnostics = []
    failed = False
    for path in files:
        found, source = _check(path)
        failed |= any(not d.is_warning for d in found)
        if as_json:
            diagnostics += [_as_data(d, source, path) for d in found]
        elif found:
            click.echo(render_all(found, source), err=True)
        else:
            click.echo(f"{path}: fine")
    if as_json:
        click.echo(json.dumps(diagnostics, indent=2))
    click.get_current_context().exit(1 if failed else 0)


def _check(path: Path) -> tuple[tuple[Diagnostic, ...], Source | None]:
    try:
        source = read_source(path)
        collector = Collector(source)
        compile_source(source, {}, collector)
    except LnetError as error:
        return error.diagnostics, error.source
    return collector.warnings, source


def _as_data(diagnostic: Diagnostic, source: Source | None, path: Path) -> dict[str, Any]:
    file, line, column = str(path), None, None
    if source is not None and diagnostic.span is not None:
        line, column = source.position(diagnostic.span.start)
        file = source.at(diagnostic.span.start)[0].name
    return {
        "file": file,
        "line": line,
        "column": column,
        "code": diagnostic.code,
        "severity": "warning" if diagnostic.is_warning else "error",
        "message": diagnostic.message,
        "notes": list(diagnostic.notes),
        "hints": list(diagnostic.hints),
    }


@main.command()
@click.argument("files", nargs=-1, required=True, type=Existing)
@click.option("--check", is_flag=True, help="Write nothing; exit with status 1 if a file would change.")
@click.option("--diff", is_flag=True, help="Write nothing; print what would change.")
def fmt(files: tuple[Path, ...], check: bool, diff: bool) -> None:
    """Format .lnet files in place.

    Comments and the spelling of numbers stay.
    """
    changed = failed = False
    for path in files:
        try:
            source = read_file(path)
            text = format_source(source)
        except LnetError as error:
            click.echo(str(error), err=True)
            failed = True
            continue
        if text.encode() == path.read_bytes():
            continue
        changed = True
        if diff:
            before, after = source.text.splitlines(keepends=True), text.splitlines(keepends=True)
            click.echo("".join(difflib.unified_diff(before, after, str(path), str(path))), nl=False)
        elif check:
            click.echo(f"{path}: would change")
        else:
            write_file(path, text)
            click.echo(f"{path}: formatted")
    click.get_current_context().exit(1 if failed or (changed and check) else 0)
