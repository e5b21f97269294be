"""What an editor shows of the name under the pointer, in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from lnet.compiler.core.arguments import Argument, Signature, signature
from lnet.compiler.cut.cost import layer_cost, memory_of_one
from lnet.compiler.graph.graph import Graph
from lnet.compiler.objectives import OBJECTIVE_KINDS
from lnet.compiler.pipeline import run_passes
from lnet.compiler.plan.explain import size_text
from lnet.compiler.reference import SETTINGS, example_of, taken, usual, value_of
from lnet.compiler.words import TRAIN, objective_signature
from lnet.dsl import nodes
from lnet.dsl.printer import expression_text
from lnet.dsl.source import Span

from .meanings import BuiltIn, Called, Chosen, Given, Meaning, Symbol, stages_of
from .workspace import Analysis

MOST = 8
"""Layers that are listed for one line of a stage or a family; the rest are counted."""
BUILT_IN = {
    "input": "the layer that the instance of a stage reads",
    "index": "the number of an item in its family, from 0",
    "height": "rows of a layer's value",
    "width": "columns of a layer's value",
    "maps": "maps of a layer's value",
    "patch": "rows and columns of the patch in which a layer's maps lie",
}


def hover(analyses: Iterable[Analysis], path: str, offset: int) -> tuple[str, Span] | None:
    """Return what is known of the name at a position of a file, and where the name stands there.

    `analyses`: that of the file, and those of files that include it, whose layers are shown too.
    """
    own, *others = analyses
    meaning = own.meaning(offset)
    if meaning is None:
        return None
    parts = [_told(meaning, own)]
    for analysis in (own, *others):
        here = analysis.offset(path, offset)
        lines = facts(analysis, here) if here is not None else []
        if lines and analysis is not own and analysis.known is not None:
            parts.append(f"in the network `{analysis.known.name}`:")
        parts.append("\n".join(f"- {line}" for line in lines))
    return "\n\n".join(part for part in parts if part), meaning.span


def _told(meaning: Meaning, analysis: Analysis) -> str:
    match meaning.of:
        case Called(name, function):
            return about(name, function)
        case Given(owner, row) if owner == TRAIN.name:
            return setting(row)
        case Given(owner, row):
            return f"{argument(row)}, of `{owner}`"
        case Chosen(word, owner, row):
            return f"`{word}`: {row.name} of `{owner}`\n\n{argument(row)}"
        case BuiltIn(name):
            return f"`{name}`: {BUILT_IN.get(name, 'a word of the language')}"
        case Symbol() as symbol:
            return _declared(symbol, analysis)


# --- the language ----------------------------------------------------------------------------------------


def about(name: str, function: Callable[..., Any]) -> str:
    """Return the reference of a kind or a function."""
    table = objective_signature(name) if name in OBJECTIVE_KINDS else signature(name, function)
    example = example_of(function)
    return "\n\n".join(
        part
        for part in (
            f"```lnet\n{call_text(table)}\n```",
            value_of(function).replace(": below", ""),
            "\n".join(f"- {argument(row)}" for row in table.given),
            f"Example: `{example}`" if example else "",
        )
        if part
    )


def call_text(table: Signature) -> str:
    """Return a call with the arguments that must be given."""
    needed = [row.name for row in table.given if row.required]
    return f"{table.name}({', '.join([*needed, *(['...'] if len(needed) < len(table.given) else [])])})"


def argument(row: Argument) -> str:
    """Return what an argument takes, and its default."""
    told = taken(row)
    default = "must be given" if told.default is None else f"default `{told.default}`"
    return f"`{told.name}`: {told.expected} ({default})"


def setting(row: Argument) -> str:
    """Return the reference of a setting of `train`."""
    return f"`{row.name}`: {SETTINGS[row.name]}\n\n{taken(row).expected} (default `{usual(row.name)}`)"


# --- the file --------------------------------------------------------------------------------------------


def _declared(symbol: Symbol, analysis: Analysis) -> str:
    stages = stages_of(analysis.module)
    match symbol:
        case Symbol("stage", name) if name in stages:
            head = ", ".join(map(_parameter, stages[name].parameters))
            return f"```lnet\nstage {name}({head})\n```"
        case Symbol("parameter", name, block):
            rows = (_parameter(each) for each in stages[block].parameters if each.name.text == name)
            return f"`{next(rows, name)}`: parameter of the stage `{block}`"
        case Symbol("let", name):
            lets = (each for each in analysis.module.declarations if isinstance(each, nodes.Let))
            values = (expression_text(each.value) for each in lets if each.name.text == name)
            return f"```lnet\nlet {name} = {next(values, '')}\n```"
        case Symbol("network"):
            found = network_totals(analysis)
            return found[0] if found is not None else ""
    return ""


def _parameter(each: nodes.Parameter) -> str:
    return each.name.text if each.default is None else f"{each.name.text} = {expression_text(each.default)}"


def network_totals(analysis: Analysis) -> tuple[str, Span] | None:
    """Return the parameters and the memory of the network, and where its name stands; None if a file has mistakes."""
    networks = (each for each in analysis.module.declarations if isinstance(each, nodes.Network))
    network = next(networks, None)
    if network is None or analysis.graph is None:
        return None
    *_, (_, graph) = run_passes(analysis.graph)
    parameters, memory = sum(each.size for each in graph.parameters), memory_of_one(graph)
    text = (
        f"{parameters:,} parameters, {size_text(memory.parameter_bytes)}; "
        f"{size_text(memory.training_bytes)} to train it in one process"
    )
    return text, network.name.span


def facts(analysis: Analysis, offset: int) -> list[str]:
    """Return a line for each layer, stage instance and objective of the item whose name or kind is at a position."""
    graph, place = analysis.known, _item_at(analysis, offset)
    if graph is None or place is None:
        return []
    paths = [path for path, span in analysis.items.items() if span == place]
    lines = [line for path in paths if (line := _line(graph, path))]
    if len(lines) > MOST:
        lines[MOST:] = [f"... and {len(lines) - MOST:,} more"]
    return lines


def _item_at(analysis: Analysis, offset: int) -> Span | None:
    """Return the place of the item whose name or kind is at a position, or that a path at this position names."""
    meaning = analysis.meaning(offset)
    named = meaning.of if meaning is not None else None
    for block, item in _items(analysis.module):
        at_kind = item.kind.span.start <= offset <= item.kind.span.end
        if at_kind or named == Symbol("item", item.name.text, block):
            return item.span
    return None


def _items(module: nodes.Module) -> Iterator[tuple[str, nodes.Item]]:
    for each in module.declarations:
        if isinstance(each, nodes.Stage | nodes.Network):
            block = each.name.text if isinstance(each, nodes.Stage) else ""
            for item in each.items:
                if isinstance(item, nodes.Item):
                    yield block, item


def _line(graph: Graph, path: str) -> str:
    """Return shape, receptive field and parameters of a layer or of a stage instance; empty for what is not known."""
    objective = next((each for each in graph.objectives if each.path == path), None)
    if objective is not None:
        return f"`{path}` reads {', '.join(f'`{each}`' for each in objective.reads)}"
    if path not in graph:
        return ""
    layer = graph.layer(path)
    cost = layer_cost(graph, layer)
    inside = [each for each in graph.layers if each.path == path or each.path.startswith(f"{path}.")]
    parameters = sum({p.name: p.size for each in inside for p in each.parameters}.values())
    parts = [f"`{path}`: {cost.extents}"]
    if cost.field and layer.path == path:
        parts.append(f"field {cost.field}")
    if cost.receptive_field.rows and layer is not graph.input:
        parts.append(f"sees {cost.receptive_field} of `{graph.input.path}`")
    if parameters:
        parts.append(f"{parameters:,} parameters")
    return ", ".join(parts)
