"""Commands on plans: compile, explain, plugins."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lnet.compiler.core.shapes import Size
from lnet.compiler.cut.cluster_spec import ClusterSpec, read_cluster_spec, read_rates
from lnet.compiler.graph.graph import Graph
from lnet.compiler.pipeline import Layout, compile_source, dump, layout_from
from lnet.compiler.plan.plan import Plan, load_plan
from lnet.dsl.diagnostics import Collector, Diagnostic, LnetError, refused, render_all
from lnet.dsl.source import Source
from lnet.dsl.sources import read_source

from .options import (
    Existing,
    Output,
    failures_option,
    grace_option,
    json_option,
    layout_options,
    overrides_from,
    repair_option,
    set_option,
    the_only,
    write_file,
)
from .program import main

if TYPE_CHECKING:
    from lnet.compiler.predict.goodput import Failures


def compiled(
    source: Source,
    overrides: dict[str, str],
    layout: Layout,
    before: Graph | None = None,
    freeze: Sequence[str] = (),
) -> Plan:
    """Compile a source, or recompile that of the plan `before`, and print warnings."""
    collector = Collector(source)
    plan = compile_source(source, overrides, collector, layout, before, freeze)
    if collector.warnings:
        click.echo(render_all(collector.warnings, source), err=True)
    return plan


def plan_of(path: Path | None, settings: Sequence[str], layout: Layout, freeze: Sequence[str] = ()) -> Plan:
    """Return the plan of a command's FILE: a `.lnet` file, a plan, or the only one in this folder.

    Layers and stages in `freeze` need no objective.
    """
    if path is None:
        plans = sorted(Path().glob("*.plan"))
        path = the_only("*.plan", "plan") if plans else the_only("*.lnet", ".lnet file")
    overrides = overrides_from(settings)
    if path.is_dir():
        raise _a_folder(path)
    if path.suffix != ".plan" and path.name != "plan.json":  # the name in a run
        return compiled(read_source(path), overrides, layout, freeze=freeze)
    plan = load_plan(path)
    _warn_if_stale(plan, path)
    if overrides or layout != Layout():
        settings_now, layout_now = dict(plan.overrides) | overrides, _layout_of(plan, overrides, layout)
        return compiled(plan.source, settings_now, layout_now, plan.graph, freeze)
    return plan


def _a_folder(path: Path) -> LnetError:
    """Return the error for a folder in place of a file: that of a run, or one with files in it."""
    hint = f"name a file in it, such as '{next(path.glob('*.lnet'), path / 'model.lnet')}'"
    if (path / "run.json").exists():
        hint = f"it is a run: 'lnetc resume {path}' goes on with it, and its plan is '{path / 'plan.json'}'"
    return refused("E002", f"expected a .lnet file or a plan, found the folder '{path}'", hint=hint)


def _layout_of(plan: Plan, overrides: Mapping[str, str], asked: Layout) -> Layout:
    """Merge the plan's layout with the options.

    Tiles follow from a number of workers or a cluster, workers from tiles or replicas; a described cluster stays.
    """
    had = plan.placement.cluster
    if asked == Layout() and "train.replicas" not in overrides:
        cut = plan.partition
        return Layout(len(had.workers), len(plan.placement.tiles), cut.tiles, had, cut.shards_per_tile)
    if asked.cluster == had:
        return _layout_of(plan, overrides, replace(asked, cluster=None))
    replicas, tiles, cluster = asked.replicas, asked.tiles, asked.cluster
    if replicas is None and "train.replicas" not in overrides:
        replicas = len(plan.placement.tiles)
    if tiles is None and asked.workers is None and cluster is None:
        tiles = plan.partition.tiles
    if cluster is None and had != ClusterSpec.uniform(len(had.workers)):
        cluster = had
    return Layout(asked.workers, replicas, tiles, cluster, asked.shards_per_tile)


def described(cluster_spec: Path | None) -> Path:
    """Return the description that a prediction needs; raises `LnetError` if there is none."""
    if cluster_spec is None:
        hint = "measure it with 'lnetc tune --rates' and 'lnetc measure-links'; then --cluster-spec FILE.toml"
        note = "expected --cluster-spec FILE.toml with [links], [[hosts]] and [rates]"
        raise refused("E611", "it is not known how fast workers and links are", note, hint=hint)
    return cluster_spec


def _warn_if_stale(plan: Plan, path: Path) -> None:
    """Warn if a plan's source file has changed since it was compiled."""
    source = plan.changed_source()
    if source is not None:
        note = f"the plan '{path}' is older than '{source}', which has changed since"
        hint = "compile it again with 'lnetc compile'"
        click.echo(render_all([Diagnostic("W606", note, hints=(hint,))], None), err=True)


@main.command("compile")
@click.argument("file", required=False, type=Existing)
@click.option(
    "-o", "--output", type=Output, metavar="PLAN", help="Where to write the plan (default: beside FILE)."
)
@click.option(
    "--emit",
    metavar="STAGE",
    help="Print ast, graph, graph:PASS, partition, schedule, placement or plan; write nothing.",
)
@click.option(
    "--best",
    type=click.IntRange(1),
    metavar="N",
    help="Compare layouts for N workers of --cluster-spec, and take the one predicted to be fastest.",
)
@failures_option
@repair_option
@layout_options
@set_option
def compile_command(
    file: Path | None,
    output: Path | None,
    emit: str | None,
    best: int | None,
    failures: float | None,
    repair: float,
    settings: Sequence[str],
    **options: Any,
) -> None:
    """Compile a .lnet file into a plan.

    FILE defaults to the only .lnet file in this folder.
    """
    path = file if file is not None else the_only("*.lnet", ".lnet file")
    layout = layout_from(**options)
    if emit is not None and best is not None:
        raise click.UsageError("'--emit' compares nothing: leave '--best' out")
    if failures is not None and best is None:
        raise click.UsageError("'--failures' needs '--best N'")
    if emit is not None and output is not None:
        raise click.UsageError("'--emit' prints and writes nothing: leave '-o' out")
    if emit is not None:
        click.echo(dump(read_source(path), overrides_from(settings), layout, emit), nl=False)
        return
    if best is not None:
        spec, under = described(options["cluster_spec"]), _under(failures, repair, best)
        plan = _fastest(path, best, overrides_from(settings), layout, spec, under)
    else:
        plan = compiled(read_source(path), overrides_from(settings), layout)
    target = output if output is not None else path.with_suffix(".plan")
    plan.save(target)
    click.echo(f"{target}: {plan.summary()}")


def _under(rate: float | None, repair: float, workers: int) -> Failures | None:
    """Return the failures that a prediction counts, with the times of a run on so many workers."""
    from lnet.compiler.predict.goodput import Failures
    from lnet.runtime.cluster.protocol.spec import Times

    return None if rate is None else Failures(rate, repair, Times.for_workers(workers).failure_timeout)


def _fastest(
    path: Path,
    workers: int,
    overrides: dict[str, str],
    layout: Layout,
    description: Path,
    failures: Failures | None,
) -> Plan:
    """Print the layouts that were compared, and return the plan of the fastest."""
    from lnet.compiler.predict.best import best_layout, comparison_text, settings_of
    from lnet.compiler.text_table import terminal_width

    if layout.workers is not None:
        raise click.UsageError("'--best N' counts the workers: leave '--workers' out")
    cluster, rates = read_cluster_spec(description), read_rates(description)
    if workers > len(cluster.workers):
        raise refused("E609", f"expected {workers:,} workers, and the cluster has {len(cluster.workers):,}")
    cluster = replace(cluster, workers=cluster.workers[:workers])
    whole = compiled(read_source(path), overrides, Layout(replicas=1, tiles=Size(1, 1)))
    fixed = layout.replicas, layout.tiles, layout.shards_per_tile
    comparison = best_layout(whole, cluster, rates, *fixed, failures)
    click.echo(comparison_text(comparison, terminal_width()))
    taken = comparison.best.plan
    cut = taken.partition
    now = Layout(workers, len(taken.placement.tiles), cut.tiles, cluster, cut.shards_per_tile)
    return compiled(read_source(path), overrides | settings_of(comparison.best, whole), now)


@main.command()
@click.argument("file", required=False, type=Existing)
@click.option("--svg", type=Output, metavar="PICTURE", help="Draw tiles, halos and homes into an SVG file.")
@click.option(
    "--kernels",
    is_flag=True,
    help="Show which kernels one process runs, and their times, predicted or measured.",
)
@click.option(
    "--time",
    "time_",
    is_flag=True,
    help="Predict a step's time and bottleneck, from the rates and links in --cluster-spec.",
)
@failures_option
@repair_option
@json_option
@grace_option
@layout_options
@set_option
def explain(
    file: Path | None,
    svg: Path | None,
    kernels: bool,
    time_: bool,
    failures: float | None,
    repair: float,
    as_json: bool,
    grace: float,
    settings: Sequence[str],
    **options: Any,
) -> None:
    """Show a network's layers, cost, and partition into tiles.

    FILE is a .lnet file or a plan (default: the only one in this folder).
    """
    from lnet.compiler.plan.explain import explain_data, explain_text
    from lnet.compiler.plan.grace import warn_of_grace
    from lnet.compiler.plan.picture import to_svg
    from lnet.compiler.predict.explain_time import predict, time_data, time_text
    from lnet.compiler.text_table import terminal_width
    from lnet.runtime.cluster.descriptors import of_plan
    from lnet.runtime.cluster.protocol.spec import Times
    from lnet.runtime.kernels.explain import kernels_data, kernels_text
    from lnet.runtime.training.tune import kept

    layout = layout_from(**options)
    if kernels and layout != Layout():
        raise click.UsageError("'--kernels' shows one process: leave workers, replicas and tiles out")
    if time_ and kernels:
        raise click.UsageError("'--time' and '--kernels' are two tables: ask for one")
    if failures is not None and not time_:
        raise click.UsageError("'--failures' needs '--time'")
    rates = read_rates(described(options["cluster_spec"])) if time_ else None
    plan = plan_of(file, settings, layout)
    if svg is not None:
        write_file(svg, to_svg(plan))
    under = _under(failures, repair, len(plan.workers))
    predicted = None if rates is None else predict(plan, rates, under)
    descriptors = of_plan(plan)
    if as_json:
        tables: dict[str, Any] = {"kernels": kernels_data(plan.graph, kept(plan.graph))} if kernels else {}
        tables |= {} if predicted is None else {"prediction": time_data(predicted)}
        times = asdict(Times.for_workers(len(plan.workers)))
        tables |= {"times": times, "descriptors": asdict(descriptors)}
        click.echo(json.dumps(explain_data(plan) | tables, indent=2))
    elif predicted is not None:
        click.echo(time_text(predicted, terminal_width()))
    elif kernels:
        click.echo(kernels_text(plan.graph, kept(plan.graph), terminal_width()))
    else:
        click.echo(explain_text(plan, terminal_width()))
        if len(plan.workers) > 1:
            click.echo(Times.for_workers(len(plan.workers)).in_words())
            click.echo(descriptors.in_words())
    late = warn_of_grace(plan, grace, cluster=len(plan.workers) > 1)
    if late is not None:
        click.echo(render_all([late], None), err=True)


@main.command("plugins")
def plugins_command() -> None:
    """List what plug-ins define, and check it.

    The example of each kind must have the same gradients in one piece and in tiles.
    """
    from lnet.compiler.plugins.load import load_plugins
    from lnet.compiler.text_table import TextTable, printed, terminal_width
    from lnet.plugin_check import check_plugins

    load_plugins()
    rows = tuple(
        (each.brought.kind, each.brought.what, each.brought.plugin, each.text) for each in check_plugins()
    )
    if not rows:
        click.echo("no plug-in is loaded: lnetc --plugin FILE plugins")
        return
    table = TextTable(("kind", "what", "plug-in"), ("difference in tiles",), rows)
    click.echo(printed([table], terminal_width()))
