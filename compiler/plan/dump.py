"""Stable text dumps of the compiler's state after each stage, for `lnetc compile --emit` and the golden tests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from lnet.compiler.core.kinds import FILLED_IN
from lnet.compiler.core.layer import Layer, Op
from lnet.compiler.core.learned import Learned
from lnet.compiler.core.shapes import Place, Region, Rows, Size, Strip, Window, extents
from lnet.compiler.cut.partition import Partition
from lnet.compiler.cut.placement import Placement
from lnet.compiler.cut.schedule import Phase, Programme, schedule
from lnet.compiler.graph.graph import Graph
from lnet.compiler.objectives import Objective
from lnet.compiler.ops.filters import Layout
from lnet.dsl import nodes
from lnet.dsl.printer import expression_text


def dump_module(module: nodes.Module) -> str:
    """Return the syntax tree, a node a line, children indented."""
    lines = [line for declaration in module.declarations for line in _node(declaration, "")]
    return "\n".join(lines) + "\n"


def _node(node: nodes.Node, indent: str) -> Iterator[str]:
    if isinstance(node, nodes.Path):
        yield f"{indent}Path {expression_text(node)}"
        return
    plain, children = [], []
    for field in fields(node):
        value = getattr(node, field.name)
        if field.name == "span" or (value is None and field.default is None):
            continue
        if isinstance(value, nodes.Name):
            plain.append(value.text)
        elif isinstance(value, nodes.Node):
            children.append(value)
        elif isinstance(value, tuple):
            flat = [v for pair in value for v in (pair if isinstance(pair, tuple) else (pair,))]
            children += [v for v in flat if isinstance(v, nodes.Node)]
            plain += [v for v in flat if isinstance(v, str)]
        else:
            plain.append(repr(value))
    yield f"{indent}{type(node).__name__} {' '.join(plain)}".rstrip()
    for child in children:
        yield from _node(child, indent + "  ")


def dump_graph(graph: Graph) -> str:
    """Return layers and objectives, one a line."""
    lines = [f"network {graph.name}", *map(_layer, graph.layers), *map(_objective, graph.objectives)]
    settings = graph.training
    lines += [f"train {field.name} = {getattr(settings, field.name)}" for field in fields(settings)]
    return "\n".join(lines) + "\n"


def _layer(layer: Layer) -> str:
    values = [(field.name, getattr(layer.op, field.name), field.default) for field in fields(layer.op)]  # type: ignore[arg-type]
    shown = " ".join(_argument(name, value) for name, value, default in values if value != default)
    parameters = " ".join(f"{p.name}{list(p.shape)}" for p in layer.parameters)
    line = f"{layer.path} = {layer.op.kind}({', '.join(layer.reads)}) {extents(layer.sheet, layer.patch)} {shown}".rstrip()
    return f"{line}  {parameters}" if parameters else line


def _argument(name: str, value: object) -> str:
    if isinstance(value, Window):
        rows, columns = value.rows, value.columns
        pad = f" pad={rows.before},{columns.before}-{rows.after},{columns.after}"
        padded = (rows.before, rows.after, columns.before, columns.after) != (0, 0, 0, 0)
        apart = f" dilation={rows.dilation}x{columns.dilation}" if value.span != value.field else ""
        strides = f"field={value.field} stride={rows.stride}x{columns.stride}{apart}"
        return strides + (pad if padded else "")
    if isinstance(value, Layout):
        block = "" if value.block == Size(1, 1) else f" blocks={value.block}"
        return f"groups={value.groups}{block}"
    if isinstance(value, Learned):
        return str(value)
    return f"{name}={_act(value) if isinstance(value, Op) else value}"


def _act(op: Op) -> str:
    """Return an op at the end of another as the language writes it."""
    given = [
        f"{field.name}={getattr(op, field.name)}"
        for field in fields(op)  # type: ignore[arg-type]
        if field.name not in FILLED_IN
    ]
    return f"{op.kind}({', '.join(given)})" if given else op.kind


def _objective(objective: Objective) -> str:
    return (
        f"{objective.path} = {objective.term.kind}({', '.join(objective.reads)}) "
        f"weight={objective.weight:g}{f' * {objective.change}' if objective.change else ''} part of {objective.part_of}"
    )


def dump_partition(partition: Partition) -> str:
    """Return the pieces of each tile and the messages it receives."""
    lines = [f"tiles {partition.tiles}", f"exchanged {' '.join(partition.exchanged)}"]
    for tile, pieces in enumerate(partition.pieces):
        lines.append(f"tile {tile}")
        for piece in pieces:
            owned, computed, held = map(_region, (piece.owned, piece.computed, piece.held))
            lines.append(f"  {piece.layer} owned {owned} computed {computed} held {held}")
        lines += [
            f"  {m.kind} {m.layer} from {m.sender} {_region(m.region)} {m.values:,} values"
            for m in partition.messages
            if m.receiver == tile
        ]
    return "\n".join(lines) + "\n"


def _region(region: Region) -> str:
    if not region.area:
        return "-"
    return f"{region.rows.start}:{region.rows.stop},{region.columns.start}:{region.columns.stop}"


def dump_placement(placement: Placement) -> str:
    """Return the home of every tile and of every shard."""
    names = [worker.name for worker in placement.cluster.workers]
    lines = [
        f"tile[{replica},{tile}] {names[home]}"
        for replica, homes in enumerate(placement.tiles)
        for tile, home in enumerate(homes)
    ]
    lines += [f"server[{shard}] {names[home]}" for shard, home in enumerate(placement.servers)]
    lines += [f"spare {worker.name}" for worker in placement.spares]
    return "\n".join(lines) + "\n"


def dump_schedule(graph: Graph, partition: Partition) -> str:
    """Return the phases of each tile's step."""
    programmes = [schedule(graph, partition, tile) for tile in range(partition.count)]
    return "".join(f"{line}\n" for programme in programmes for line in _programme(programme))


def _programme(programme: Programme) -> Iterator[str]:
    yield f"tile {programme.tile} image {_region(programme.image)}"
    for weights in programme.weights:
        received = "".join(f" {_part(strip)} from {owner}" for owner, strip in weights.received)
        owned = dict(programme.owned)
        mine = f" owned {_part(owned[weights.name])}" if weights.name in owned else ""
        yield f"  weights {weights.name}{mine}{received and f' received{received}'}"
    for number, phase in enumerate(programme.phases):
        yield f"  phase {number}"
        yield from (f"    {line}" for line in _phase(phase))


def _phase(phase: Phase) -> Iterator[str]:
    for held in phase.held:
        received = "".join(f" {_region(region)} from {sender}" for sender, region in held.received)
        yield f"hold {held.layer} {held.size} own {_region(held.own)}{received}"
    for share in phase.shares:
        reads = ", ".join(f"{path}[{_part(region)}]" for path, region in share.reads)
        yield f"compute {share.layer} {share.op.sheet} = {share.op.kind}({reads})"
    for term in phase.terms:
        compared = "".join(f" compared {_part(regions[number])}" for number, regions in term.compared)
        owned = "".join(f" owned {_part(region)}" for region in term.owned[:1])  # none of what reads weights
        weights = f" weights {', '.join(term.weights)}" if term.weights else ""
        yield f"term {term.objective}{owned}{weights}{compared}"
    for receiver, parts in phase.sends:
        yield f"send to {receiver}: {', '.join(f'{path}[{_region(region)}]' for path, region in parts)}"


def _part(place: Place | Strip) -> str:
    match place:
        case Strip():
            maps = f" {len(place.maps)} maps from {place.maps.start} by {place.maps.step}"
            return f"{_region(place.region)}{maps}"
        case None:
            return "all"
        case Rows():
            return "rows " + " ".join(f"{i.start}-{i.stop}" for i in place.intervals)
        case Region():
            return _region(place)
