"""`lnetc`: the command line. Exit status 0, 1 (the input is wrong), 2 (usage), 3 (the run failed), 130."""

from __future__ import annotations

import difflib
import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import click
from rich.console import Console

import lnet
from lnet.compiler.files import write_aside
from lnet.compiler.pipeline import Layout, compile_source, dump, layout_from
from lnet.compiler.plan import Plan, load_plan
from lnet.dsl.diagnostics import Collector, Diagnostic, LnetError, render_all
from lnet.dsl.printer import format_source
from lnet.dsl.reader import read_source
from lnet.dsl.source import Source


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


# --- options that several commands share -----------------------------------------------------------------

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
Existing = click.Path(path_type=Path)

_set = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set train.KEY or let.NAME; may be repeated.",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
_data = click.option(
    "--data", metavar="PATH", help="Images to train on, in place of those that the file names."
)
_steps = click.option("--steps", type=click.IntRange(1), help="Number of steps, in place of the file's.")
_cluster = click.option(
    "--cluster",
    is_flag=False,
    flag_value="local",
    metavar="[ADDRESS]",
    help="Train on a Dask cluster: at tcp://HOST:PORT, tls://HOST:PORT or where a scheduler file says; without an "
    "address, on processes of this machine, one for each worker of the plan.",
)


def _layout(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say what the plan is laid out for."""
    options: list[Decorator] = [
        click.option(
            "--workers", type=click.IntRange(1), help="Workers in all (default: one for each replica)."
        ),
        click.option("--replicas", type=click.IntRange(1), help="Copies of the model (default: the file's)."),
        click.option("--tiles", metavar="PxQ", help="Tiles of a replica, rows x columns (default: found)."),
        click.option("--cluster-spec", type=Existing, metavar="FILE.toml", help="Workers, hosts and links."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def _overrides(settings: Sequence[str]) -> dict[str, str]:
    overrides = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name.strip():
            raise click.BadParameter(f"expected KEY=VALUE, found '{setting}'", param_hint="--set")
        overrides[name.strip()] = value.strip()
    return overrides


def _the_only(pattern: str, what: str) -> Path:
    """Return the only file of a kind in this folder; raises `LnetError` if there is none or more than one."""
    found = sorted(Path().glob(pattern))
    if len(found) == 1:
        return found[0]
    problem = (
        f"there are {len(found)} {what}s in this folder" if found else f"there is no {what} in this folder"
    )
    raise LnetError(
        [
            Diagnostic(
                "E607",
                problem,
                notes=tuple(f"found '{path}'" for path in found[:20]),
                hints=("name the file that is meant",),
            )
        ]
    )


def _compile(source: Source, overrides: dict[str, str], layout: Layout) -> Plan:
    """Compile a source and print its warnings."""
    collector = Collector(source)
    plan = compile_source(source, overrides, collector, layout)
    if collector.warnings:
        click.echo(render_all(collector.warnings, source), err=True)
    return plan


def _plan_of(path: Path | None, settings: Sequence[str], layout: Layout) -> Plan:
    """Return the plan that a command is about: of a `.lnet` file, of a plan, or of the only one in this folder."""
    if path is None:
        plans = sorted(Path().glob("*.plan"))
        path = _the_only("*.plan", "plan") if plans else _the_only("*.lnet", ".lnet file")
    overrides = _overrides(settings)
    if path.suffix != ".plan":
        return _compile(read_source(path), overrides, layout)
    plan = load_plan(path)
    _warn_if_stale(plan, path)
    if overrides or layout != Layout():
        return _compile(plan.source, dict(plan.overrides) | overrides, layout)
    return plan


def _warn_if_stale(plan: Plan, path: Path) -> None:
    """Say so when the file that a plan was compiled from has changed since."""
    source = Path(plan.source_name)
    if not source.is_file():
        return
    if read_source(source).text != plan.source_text:
        note = f"the plan '{path}' is older than '{source}', which has changed since"
        hint = "compile it again with 'lnetc compile'"
        click.echo(render_all([Diagnostic("W606", note, hints=(hint,))], None), err=True)


# --- files -----------------------------------------------------------------------------------------------


@main.command()
@click.argument("files", nargs=-1, required=True, type=Existing)
@_json
def check(files: tuple[Path, ...], as_json: bool) -> None:
    """Report everything that is wrong with .lnet files; write nothing."""
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
    line, column = (None, None)
    if source is not None and diagnostic.span is not None:
        line, column = source.position(diagnostic.span.start)
    return {
        "file": str(path),
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
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 if a file would change.")
@click.option("--diff", is_flag=True, help="Write nothing; print what would change.")
def fmt(files: tuple[Path, ...], check: bool, diff: bool) -> None:
    """Bring .lnet files into the standard layout; comments and the spelling of numbers stay."""
    changed = False
    for path in files:
        source = read_source(path)
        text = format_source(source)
        if text.encode() == path.read_bytes():
            continue
        changed = True
        if diff:
            before, after = source.text.splitlines(keepends=True), text.splitlines(keepends=True)
            click.echo("".join(difflib.unified_diff(before, after, str(path), str(path))), nl=False)
        elif check:
            click.echo(f"{path}: would change")
        else:
            _write(path, text)
            click.echo(f"{path}: formatted")
    click.get_current_context().exit(1 if changed and check else 0)


def _write(path: Path, text: str) -> None:
    try:
        write_aside(path, text)
    except OSError as error:
        raise LnetError([Diagnostic("E608", f"'{path}' cannot be written", notes=(str(error),))]) from error


# --- plans -----------------------------------------------------------------------------------------------


@main.command("compile")
@click.argument("file", required=False, type=Existing)
@click.option(
    "-o", "--output", type=Existing, metavar="PLAN", help="Where to write the plan (default: beside FILE)."
)
@click.option(
    "--emit",
    metavar="STAGE",
    help="Print ast, graph, graph:PASS, partition, schedule, placement or plan; write nothing.",
)
@_layout
@_set
def compile_command(
    file: Path | None, output: Path | None, emit: str | None, settings: Sequence[str], **options: Any
) -> None:
    """Compile FILE, or the only .lnet file of this folder, into a plan."""
    path = file if file is not None else _the_only("*.lnet", ".lnet file")
    layout = layout_from(**options)
    if emit is not None:
        click.echo(dump(read_source(path), _overrides(settings), layout, emit), nl=False)
        return
    plan = _compile(read_source(path), _overrides(settings), layout)
    target = output if output is not None else path.with_suffix(".plan")
    plan.save(target)
    click.echo(f"{target}: {plan.summary()}")


@main.command()
@click.argument("file", required=False, type=Existing)
@click.option("--svg", type=Existing, metavar="PICTURE", help="Draw tiles, halos and homes into an SVG file.")
@click.option(
    "--kernels",
    is_flag=True,
    help="Show which kernels one process runs, and their times, predicted or measured.",
)
@_json
@_layout
@_set
def explain(
    file: Path | None,
    svg: Path | None,
    kernels: bool,
    as_json: bool,
    settings: Sequence[str],
    **options: Any,
) -> None:
    """Say what a .lnet file or a plan computes, what it costs, and how it is cut up."""
    from lnet.compiler.explain import explain_data, explain_text
    from lnet.compiler.picture import to_svg
    from lnet.runtime.kernels.explain import kernels_data, kernels_text
    from lnet.runtime.tune import kept

    plan = _plan_of(file, settings, layout_from(**options))
    if svg is not None:
        _write(svg, to_svg(plan))
    if as_json:
        tables = {"kernels": kernels_data(plan.graph, kept(plan.graph))} if kernels else {}
        click.echo(json.dumps(explain_data(plan) | tables, indent=2))
    else:
        click.echo(kernels_text(plan.graph, kept(plan.graph)) if kernels else explain_text(plan))


@main.command("tune")
@click.argument("file", required=False, type=Existing)
@_set
def tune_command(file: Path | None, settings: Sequence[str]) -> None:
    """Measure which kernels are fastest here for FILE; runs that begin later use them.

    What is measured is kept in the folder of caches (~/.cache/lnet, or $XDG_CACHE_HOME/lnet).
    """
    from lnet.runtime.kernels.explain import kernels_text

    plan = _plan_of(file, settings, Layout())
    try:
        measured = lnet.tune(plan)
    except OSError as error:
        raise LnetError(
            [Diagnostic("E608", "what was measured cannot be kept", notes=(str(error),))]
        ) from error
    click.echo(kernels_text(plan.graph, measured))


# --- runs ------------------------------------------------------------------------------------------------


@main.command()
@click.argument("file", required=False, type=Existing)
@click.option(
    "-d", "--directory", type=Existing, help="Where to keep the run (default: runs/NETWORK-1, -2, ...)."
)
@_data
@_steps
@_cluster
@_set
def run(
    file: Path | None,
    directory: Path | None,
    data: str | None,
    steps: int | None,
    cluster: str | None,
    settings: Sequence[str],
) -> None:
    """Train FILE, a .lnet file or a plan; without FILE the plan in this folder.

    In this process, or on a cluster. A cluster's machines must see the run (-d) and the images under the same path.
    """
    if cluster is not None and file is None and Path(cluster).suffix in (".lnet", ".plan"):
        file, cluster = Path(cluster), "local"  # 'run --cluster FILE'
    plan = _plan_of(file, settings, Layout())
    with _client(cluster, plan) as client:
        _train(
            lambda reporter: lnet.train(plan, data, steps, directory, reporter, client), cluster is not None
        )


@main.command()
@click.argument("directory", type=Existing)
@_data
@_steps
@_cluster
def resume(directory: Path, data: str | None, steps: int | None, cluster: str | None) -> None:
    """Go on with the run in DIRECTORY from its newest checkpoint, as if it had not stopped.

    In this process or on a cluster, whichever it ran on before.
    """
    with _client(cluster, lnet.open_run(directory).plan) as client:
        _train(lambda reporter: lnet.resume(directory, data, steps, reporter, client), cluster is not None)


def _client(cluster: str | None, plan: lnet.Plan) -> AbstractContextManager[Any]:
    """Return what gives a client of a cluster, or None where there is to be none."""
    if cluster is None:
        return nullcontext()
    from lnet.runtime.cluster.connect import connected

    return connected(cluster, plan)


def _train(begin: Callable[[Any], lnet.Run], cluster: bool) -> None:
    from lnet.runtime.progress import reporter_for

    context = click.get_current_context()
    try:
        finished = begin(reporter_for(Console(), cluster))
    except lnet.Interrupted as interrupted:
        click.echo(str(interrupted), err=True)
        context.exit(130)
    except KeyboardInterrupt:
        context.exit(130)
    click.echo(f"trained: {finished.directory}")


@main.command()
@click.argument("directory", type=Existing)
@click.option(
    "-o", "--output", type=Existing, metavar="PAGE", help="Where to write it (default: in the run)."
)
@click.option("--data", metavar="PATH", help="Images to reconstruct, in place of those it was trained on.")
def report(directory: Path, output: Path | None, data: str | None) -> None:
    """Write one HTML page about the run in DIRECTORY: network, losses, filters, reconstructions, configuration."""
    from lnet.runtime.analysis.report import write_report

    click.echo(str(write_report(lnet.open_run(directory), output, data)))
