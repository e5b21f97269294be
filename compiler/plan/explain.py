"""Layers, workers and cost of a plan, as text (`lnetc explain`) and as JSON (`--json`)."""

from __future__ import annotations

from dataclasses import asdict
from math import ceil
from typing import TYPE_CHECKING, Any

from lnet.compiler.core.layer import Parameter, learning_text
from lnet.compiler.core.shapes import unit_sheet
from lnet.compiler.cut.cost import TileCost, layer_cost, totals
from lnet.compiler.cut.decoding import Decoding, decoding, processes_of
from lnet.compiler.text_table import WIDE, TextTable, as_html, printed

if TYPE_CHECKING:
    from .plan import Plan

SHOWN_WORKERS = 24
"""Workers in the table for people; `--json` has all of them."""


def explain_text(plan: Plan, width: int = WIDE) -> str:
    """Return tables of layers, workers and totals as text, folded to `width` columns."""
    hidden = len(plan.workers) - SHOWN_WORKERS
    return printed(
        (
            f"network {plan.graph.name} from {plan.source_name}",
            "",
            *_network(plan),
            "",
            _workers(plan),
            *(
                [f"... and {hidden:,} workers more: 'lnetc explain --json' lists them all"]
                if hidden > 0
                else []
            ),
            "messages and bytes in a step: halo; dense (sums of dense layers and normalisations); reduce (shared weights); "
            "push and fetch (parameters between workers)",
            "x bound: halo over the fewest bytes that tiles of this area can do with",
            *([_worst_text(plan)] if len(plan.workers) > 1 else []),
            *_decoding(plan),
            "",
            *_sums(plan),
        ),
        width,
    )


def explain_html(plan: Plan) -> str:
    """Return the table of layers and the totals as HTML."""
    return as_html([*_network(plan), *_sums(plan)])


def _network(plan: Plan) -> list[str | TextTable]:
    """Return the table of layers, and lines about it."""
    graph, batch = plan.graph, plan.graph.training.batch_text
    return [
        _layers(plan),
        *_learning(plan),
        f"bytes of activations at a batch of {batch}; receptive field in pixels of '{graph.input.path}'",
        *_patches(plan),
    ]


def _layers(plan: Plan) -> TextTable:
    costs = [layer_cost(plan.graph, layer) for layer in plan.graph.layers]
    return TextTable(
        ("layer", "kind", "value"),
        ("field", "sees", "weights", "multiply-adds", "parameters", "state", "activations"),
        tuple(
            (
                cost.path,
                cost.kind,
                cost.extents,
                str(cost.field or ""),
                str(cost.receptive_field) if cost.receptive_field.rows else "",
                *map(_count, (cost.weights, cost.multiply_adds)),
                *map(size_text, (cost.parameter_bytes, cost.state_bytes, cost.activation_bytes)),
            )
            for cost in costs
        ),
    )


def _patches(plan: Plan) -> list[str]:
    """Return what the value of a layer with a patch says, by the first such layer."""
    layer = next((layer for layer in plan.graph.layers if layer.patch), None)
    if layer is None:
        return []
    units = unit_sheet(layer.sheet.size, layer.patch)
    return [
        f"({layer.patch}): the maps lie in a patch at each position; '{layer.path}' has a unit sheet of {units}"
    ]


def _learning(plan: Plan) -> list[str]:
    """Return the parameters that begin or learn otherwise than by default, one a line."""
    told = ((parameter.name, learning_text(parameter)) for parameter in plan.graph.parameters)
    return [f"{name}: {text}" for name, text in told if text]


def _workers(plan: Plan) -> TextTable:
    rows = []
    for worker in plan.workers[:SHOWN_WORKERS]:
        held = [plan.costs[tile] for _, tile in worker.tiles]
        names = " ".join(f"{replica}:{tile}" for replica, tile in worker.tiles) or "spare"
        traffic = size_text(round(worker.parameters))
        rows.append((worker.name, worker.host, names, size_text(worker.memory), *_exchange(held), traffic))
    return TextTable(
        ("worker", "host", "tiles"),
        ("memory", "input", "messages", "halo", "x bound", "dense", "reduce", "push, fetch"),
        tuple(rows),
    )


def _exchange(tiles: list[TileCost]) -> tuple[str, ...]:
    halo, bound = sum(tile.halo for tile in tiles), sum(tile.halo_bound for tile in tiles)
    return (
        size_text(sum(tile.input for tile in tiles)),
        _count(sum(tile.messages for tile in tiles)),
        size_text(halo),
        f"{halo / bound:.2f}" if bound else "-",
        size_text(sum(tile.dense for tile in tiles)),
        size_text(sum(tile.reduction for tile in tiles)),
    )


def worst_over_mean(plan: Plan) -> dict[str, float]:
    """Return what the worst worker has over the mean of those with tiles; 1 where no worker has any."""
    workers = [worker for worker in plan.workers if worker.tiles]
    found: dict[str, list[float]] = {
        "memory": [worker.memory for worker in workers],
        "messages": [worker.messages for worker in workers],
        "exchanged": [worker.exchanged for worker in workers],
        "parameters": [worker.parameters for worker in workers],
        "bytes": [worker.exchanged + worker.parameters for worker in workers],
    }
    return {name: max(each) * len(each) / sum(each) if sum(each) else 1.0 for name, each in found.items()}


def _worst_text(plan: Plan) -> str:
    worst = worst_over_mean(plan)
    return (
        f"worst worker over the mean: {worst['memory']:.2f} memory, {worst['messages']:.2f} messages, "
        f"{worst['exchanged']:.2f} bytes between tiles, {worst['parameters']:.2f} push and fetch, "
        f"{worst['bytes']:.2f} all bytes"
    )


def _decoding(plan: Plan) -> list[str]:
    """Return who decodes images, and what that costs; nothing where a replica lies on one worker."""
    cost = decoding(plan.graph, plan.partition, processes_of(plan.placement))
    if cost.processes == 1:
        return []
    workers, groups = f"each of {cost.processes:,} workers", _groups(cost)
    alone, together = f"{1000 * cost.alone:,.3g} ms", f"{1000 * cost.together:,.3g} ms"
    if cost.shared:
        return [
            f"images: {groups} decode each once and send each other windows, {size_text(cost.window)} to a tile in a step;",
            f"that takes {workers} {together} of processor time in a step, decoding all of them {alone}",
        ]
    return [
        f"images: {workers} decodes all of them, {alone} of processor time in a step;",
        f"decoding once for {groups} and sending windows would take {together}",
    ]


def _groups(cost: Decoding) -> str:
    most = max(map(len, cost.groups))
    return (
        f"{len(cost.groups):,} groups of {most} tiles or fewer"
        if len(cost.groups) > 1
        else f"all {most} tiles"
    )


def _sums(plan: Plan) -> list[str]:
    sums, views = totals(plan.graph, plan.partition), plan.graph.training.views
    halos = (
        f"; {size_text(sums.halo)} of halos in a step of one replica, {sums.halo_ratio:.2f} x the lower bound"
    )
    return [
        f"{sums.encoding_weights:,} encoding weights; {sums.parameters:,} parameters with decoders and biases",
        f"{sums.multiply_adds:,} multiply-adds forward for one {'view of an ' * (views > 1)}image",
        f"{size_text(sums.parameter_bytes)} of parameters, {size_text(sums.state_bytes)} of optimiser state, "
        f"{size_text(sums.activation_bytes)} of activations in each replica; "
        f"{size_text(sums.training_bytes)} to train one in one process",
        plan.summary().partition("; ")[2] + _shards(plan) + (halos if sums.halo else ""),
        *_duration(plan),
        *_validation(plan),
    ]


def _duration(plan: Plan) -> list[str]:
    """Return how long a run lasts where the file says it in epochs."""
    epochs = plan.graph.training.epochs
    return [] if epochs is None else [f"steps: those of {epochs:g} epochs, known at run"]


def _validation(plan: Plan) -> list[str]:
    """Return what a run is validated on, and when; it computes as much of a step's memory as training does, or less."""
    training, count = plan.graph.training, ""
    if training.validation is None:
        return []
    every, path = training.validate_every, training.validation.path
    if every is not None and training.steps:
        times = ceil(training.steps / every)
        count = f", {times:,} time{'s' * (times > 1)}"
    when = (
        "every pass over the images"
        if every is None
        else f"every {every:,} steps"
        if every > 1
        else "every step"
    )
    best = "" if training.keep_best is None else f"; the parameters of the best {training.keep_best} are kept"
    return [
        f"validation: '{path}' after {when} and the last step{count}, in no more memory than training{best}"
    ]


def _shards(plan: Plan) -> str:
    number = plan.partition.shards_per_tile
    return f", each tile's parameters in {number:,} shards" if number > 1 else ""


def _count(number: int) -> str:
    return f"{number:,}" if number else ""


def size_text(number: int) -> str:
    """Return a number of bytes to three figures, in decimal units."""
    if not number:
        return "-"
    amount = float(number)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 999.5:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:,.3g} TB" if amount < 1000 else f"{amount:,.0f} TB"


def explain_data(plan: Plan) -> dict[str, Any]:
    """Return the contents of the tables, and more, as JSON values; sizes are [rows, columns] or [rows, columns, maps]."""
    graph, partition = plan.graph, plan.partition
    return {
        "network": graph.name,
        "source": plan.source_name,
        "digest": plan.digest,
        "batch": graph.training.batch,
        "views": graph.training.views,
        "accumulate": graph.training.accumulate,
        "steps": graph.training.steps or None,
        "epochs": graph.training.epochs,
        "validation": _validation_data(plan),
        "layers": [_plain(asdict(layer_cost(graph, layer))) for layer in graph.layers],
        "parameters": [_parameter(parameter) for parameter in graph.parameters],
        "tiles": [
            _plain(asdict(cost)) | {"memory": cost.memory, "halo_ratio": cost.halo_ratio}
            for cost in plan.costs
        ],
        "workers": [
            worker._asdict() | {"tiles": [list(tile) for tile in worker.tiles]} for worker in plan.workers
        ],
        "worst_over_mean": worst_over_mean(plan),
        "grid": [partition.tiles.rows, partition.tiles.columns],
        "replicas": len(plan.placement.tiles),
        "shards_per_tile": partition.shards_per_tile,
        "decoding": _decoding_data(plan),
        "totals": asdict(totals(graph, partition)),
    }


def _validation_data(plan: Plan) -> dict[str, Any] | None:
    """Return what a run is validated on, and after how many steps each; None: known at run."""
    training = plan.graph.training
    if training.validation is None:
        return None
    every, path = training.validate_every, training.validation.path
    return {"path": path, "every": every, "keep_best": training.keep_best}


def _parameter(parameter: Parameter) -> dict[str, Any]:
    """Return a parameter's shape, its initial values (`init` as in the file; no `spread`: all `fill`), and how it learns."""
    spread = parameter.spread
    return {
        "name": parameter.name,
        "shape": list(parameter.shape),
        "init": None if spread is None else str(parameter.init),
        "spread": None if spread is None else spread._asdict(),
        "fill": parameter.fill if spread is None else None,
        "speed": parameter.speed,
        "unit": parameter.unit,
    }


def _decoding_data(plan: Plan) -> dict[str, Any]:
    """Return seconds and bytes in a step as in `Decoding`, and how often an image is decoded in a replica."""
    cost = decoding(plan.graph, plan.partition, processes_of(plan.placement))
    return {
        "shared": cost.shared,
        "times": cost.times,
        "groups": [len(group) for group in cost.groups],
        "window": cost.window,
        "alone": cost.alone,
        "together": cost.together,
    }


def _plain(data: dict[str, Any]) -> dict[str, Any]:
    """Write extents as lists."""
    return {k: list(v.values()) if isinstance(v, dict) else v for k, v in data.items()}
