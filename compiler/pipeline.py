"""From a file to a plan: the arrows of the compiler, in order."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from lnet.dsl import nodes
from lnet.dsl.diagnostics import Collector, LnetWarning, refused, render
from lnet.dsl.parser import parse_source
from lnet.dsl.printer import format_module
from lnet.dsl.source import Source
from lnet.dsl.sources import read_source

from .core.shapes import Size
from .cut.cluster_spec import ClusterSpec, read_cluster_spec
from .cut.cost import tile_costs
from .cut.partition import Partition, best_tiles, partition
from .cut.place import place
from .cut.placement import Placement
from .cut.shards import best_shards
from .graph.graph import Graph
from .graph.passes import PASSES
from .language.elaborate import Elaborated, elaborate
from .language.overrides import apply_overrides, as_text, overridden
from .language.version_0_1 import keep_pooling, warn_changed
from .plan.dump import dump_graph, dump_module, dump_partition, dump_placement, dump_schedule
from .plan.plan import Plan
from .plugins.load import load_plugins
from .plugins.registry import plugins_of
from .verify import demand, graph_faults, partition_faults


def build_graph(
    source: Source,
    overrides: Mapping[str, str],
    collector: Collector,
    before: Graph | None = None,
    freeze: Sequence[str] = (),
) -> Graph:
    """Source -> Module -> Graph; raises `LnetError` with everything that is wrong.

    `before`: the graph of an earlier plan, whose pooling is kept; `freeze`: layers and stages that are not trained.
    """
    load_plugins()
    module = apply_overrides(parse_source(collector), overrides)
    graph = understand(module, collector, before, freeze).graph
    collector.note(overridden(module, overrides))
    collector.raise_errors()
    assert graph is not None, "elaborate: no graph and no error"
    return graph


def understand(
    module: nodes.Module, collector: Collector, before: Graph | None = None, freeze: Sequence[str] = ()
) -> Elaborated:
    """Module -> Graph, if there are no errors; everything that is wrong goes to the collector."""
    found = elaborate(module, collector, freeze)
    graph = found.graph
    if graph is not None and before is not None:
        graph = keep_pooling(graph, before)
    if graph is not None and module.version is not None and module.version.value == 1:
        warn_changed(graph, collector)
    return replace(found, graph=graph)


def run_passes(graph: Graph) -> Iterator[tuple[str, Graph]]:
    """Graph -> Graph, by every pass in turn; yield the name and the graph of each stage, then verify it."""
    yield "graph", graph
    demand("graph", graph_faults(graph))
    for each in PASSES:
        stage, graph = f"graph:{each.name}", each.run(graph)
        yield stage, graph
        demand(stage, chain(graph_faults(graph), each.faults(graph)))


@dataclass(frozen=True, slots=True)
class Layout:
    """The layout asked for; None: as in the file, or the fewest possible. `shards_per_tile` None: the best."""

    workers: int | None = None
    replicas: int | None = None
    tiles: Size | None = None
    cluster: ClusterSpec | None = None
    shards_per_tile: int | None = None


def layout_from(
    workers: int | None = None,
    replicas: int | None = None,
    tiles: str | None = None,
    cluster_spec: str | os.PathLike[str] | None = None,
    shards_per_tile: int | None = None,
) -> Layout:
    """Return the layout from options; raises `LnetError` for invalid ones."""
    for name, count in (("workers", workers), ("replicas", replicas), ("shards_per_tile", shards_per_tile)):
        if count is not None and count < 1:
            raise refused("E609", f"'{name}' must be a positive integer, found {count}")
    cluster = None if cluster_spec is None else read_cluster_spec(Path(cluster_spec))
    return Layout(workers, replicas, None if tiles is None else _tiles(tiles), cluster, shards_per_tile)


def _tiles(text: str) -> Size:
    found = re.fullmatch("([0-9]+)x([0-9]+)", str(text))
    if found is None or not (int(found[1]) and int(found[2])):
        raise refused("E609", f"tiles are rows x columns such as 2x3, found '{text}'")
    return Size(int(found[1]), int(found[2]))


def lay_out(graph: Graph, layout: Layout) -> tuple[Partition, Placement]:
    """Graph -> Partition -> Placement."""
    replicas = layout.replicas or graph.training.replicas
    known = layout.cluster
    workers = layout.workers or (len(known.workers) if known else replicas * _count(layout.tiles))
    if workers < replicas:
        raise refused("E609", f"{replicas:,} replicas need at least {replicas:,} workers, found {workers:,}")
    if known is not None and workers > len(known.workers):
        raise refused("E609", f"expected {workers:,} workers, and the cluster has {len(known.workers):,}")
    tiles = layout.tiles or best_tiles(graph, workers // replicas)
    cut = partition(graph, tiles)
    demand("partition", partition_faults(graph, cut))
    cut = replace(cut, shards_per_tile=layout.shards_per_tile or best_shards(graph, cut, replicas))
    cluster = known or ClusterSpec.uniform(workers)
    return cut, place(cut, tile_costs(graph, cut), replicas, graph.training, cluster)


def _count(tiles: Size | None) -> int:
    return 1 if tiles is None else tiles.rows * tiles.columns


def compile_source(
    source: Source,
    overrides: Mapping[str, str],
    collector: Collector,
    layout: Layout = Layout(),
    before: Graph | None = None,
    freeze: Sequence[str] = (),
) -> Plan:
    """Source -> Graph -> Partition -> Placement -> Plan; raises `LnetError`."""
    *_, (_, graph) = run_passes(build_graph(source, overrides, collector, before, freeze))
    cut, placement = lay_out(graph, layout)
    return _plan(source, overrides, graph, cut, placement)


def _plan(
    source: Source, overrides: Mapping[str, str], graph: Graph, cut: Partition, placement: Placement
) -> Plan:
    settings, plugins = tuple(overrides.items()), plugins_of(graph)
    included = tuple((file.name, file.text) for file in source.included)
    return Plan(source.name, source.text, settings, graph, cut, placement, plugins, included)


def is_of_its_program(plan: Plan) -> bool:
    """Whether a plan computes, in its tiles, what its own program compiles to; raises `LnetError` if that is wrong."""
    source, had, cut = plan.source, plan.graph, plan.partition
    *_, (_, graph) = run_passes(build_graph(source, dict(plan.overrides), Collector(source), had, had.frozen))
    if _computed(graph) != _computed(had) or len(cut.pieces) != _count(cut.tiles):
        return False
    return replace(partition(had, cut.tiles), shards_per_tile=cut.shards_per_tile) == cut


def _computed(graph: Graph) -> tuple[object, ...]:
    """Return what a network computes: all of it but the initial values, of which older plans say less."""
    layers = [
        (layer.path, layer.op, layer.reads, [(p.role, p.name, p.shape) for p in layer.parameters])
        for layer in graph.layers
    ]
    return layers, graph.objectives, graph.stages, graph.derived


def compile_text(text: str, overrides: Mapping[str, str] | None = None, name: str = "<text>") -> Plan:
    """Return the plan of a text, for one worker a replica; raises `LnetError`."""
    source = Source(text, name)
    return compile_source(source, overrides or {}, Collector(source))


def compile_plan(
    source: str | os.PathLike[str] | nodes.Module,
    *,
    workers: int | None = None,
    replicas: int | None = None,
    tiles: str | None = None,
    shards_per_tile: int | None = None,
    cluster_spec: str | os.PathLike[str] | None = None,
    set: Mapping[str, object] | None = None,
) -> Plan:
    """Compile a `.lnet` file or a module and return the plan.

    `workers` is the number of workers in all: each replica gets `workers // replicas` tiles, and the servers live on the
    same workers. `tiles` ("2x3"), `shards_per_tile` (of its parameters) and `cluster_spec` (a TOML file) further fix the
    layout; `set` replaces settings of the file, `{"train.batch": 50, "let.k": 7}`. Raises `LnetError` with everything that
    is wrong; warns as `lnetc check` does.
    """
    text = (
        Source(format_module(source), "<module>") if isinstance(source, nodes.Module) else read_source(source)
    )
    overrides = {name: as_text(value) for name, value in (set or {}).items()}
    layout = layout_from(workers, replicas, tiles, cluster_spec, shards_per_tile)
    collector = Collector(text)
    plan = compile_source(text, overrides, collector, layout)
    for warning in collector.warnings:
        warnings.warn(render(warning, text), LnetWarning, stacklevel=2)
    return plan


def dump(source: Source, overrides: Mapping[str, str], layout: Layout, stage: str) -> str:
    """Return a stable text dump of the compiler's state after a stage."""
    collector = Collector(source)
    if stage == "ast":
        module = parse_source(collector)
        collector.raise_errors()
        return dump_module(module)
    names = []
    for name, graph in run_passes(build_graph(source, overrides, collector)):
        if name == stage:
            return dump_graph(graph)
        names.append(name)
    cut, placement = lay_out(graph, layout)
    match stage:
        case "partition":
            return dump_partition(cut)
        case "schedule":
            return dump_schedule(graph, cut)
        case "placement":
            return dump_placement(placement)
        case "plan":
            plan = _plan(source, overrides, graph, cut, placement)
            return plan.to_json() + "\n"
    stages = ["ast", *names, "partition", "schedule", "placement", "plan"]
    raise refused("E609", f"there is no stage '{stage}'", f"the stages are {', '.join(stages)}")
