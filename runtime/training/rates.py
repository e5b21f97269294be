"""What this machine does in a second, measured for a network: the constants of `lnetc explain --time`.

[rates]
layers  = { local = 2.1e10, lcn = 4.3e8 }      # multiply-adds of the forward pass; gradients take part of the time
updates = 3.1e8                                # parameters
images  = 2.2e3                                # images read and decoded

A step's loss and gradients are timed as a worker with one tile computes them. The time is shared out among the kinds of
layers in proportion to their layers' times alone, which are no sum of it: objectives are in none of them, and XLA fuses
neighbours.
"""

from __future__ import annotations

import json
import os
import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

import jax
import jax.numpy as jnp

from lnet.compiler.core.layer import Layer
from lnet.compiler.core.shapes import Size
from lnet.compiler.cut.partition import partition
from lnet.compiler.graph.graph import Graph
from lnet.compiler.plan.plan import Plan
from lnet.compiler.settings import Training
from lnet.runtime.data import Dataset
from lnet.runtime.engine import running
from lnet.runtime.engine.evaluate import batch_last
from lnet.runtime.engine.lockstep import run_tiles
from lnet.runtime.engine.network import initial_params
from lnet.runtime.engine.shard import Shard
from lnet.runtime.engine.updates import update_rule
from lnet.runtime.kernels.choose import Choices, made
from lnet.runtime.kernels.mode import Mode, sample_numbers
from lnet.runtime.kernels.ops import computed
from lnet.runtime.process.precision import computing_in

ROUNDS = 5


@dataclass(frozen=True)
class MeasuredRates:
    """Rates as in `Rates`; `images` is None where none could be read."""

    layers: Mapping[str, float]
    updates: float
    images: float | None = None

    def toml(self, source: str) -> str:
        """Return the table [rates] of a cluster's description."""
        layers = ", ".join(f"{json.dumps(kind)} = {rate:.4g}" for kind, rate in self.layers.items())
        lines = [
            "[rates]",
            f"layers  = {{ {layers} }}  # multiply-adds a second",
            f"updates = {self.updates:.4g}  # parameters a second",
            "# images = ...  # not measured: state how many a worker reads and decodes in a second"
            if self.images is None
            else f"images  = {self.images:.4g}  # read and decoded in a second",
            f"source  = {json.dumps(source)}",
        ]
        return "\n".join(lines) + "\n"


def measured_rates(plan: Plan, choices: Choices, dataset: Dataset | None = None) -> MeasuredRates:
    """Measure a plan's network on this machine, with these kernel choices and at its batch."""
    graph = plan.graph
    with made(choices), computing_in(graph.training.dtype):
        kernels, alone, updates = kernel_seconds(plan), _alone(graph), _update_seconds(graph)
        images = None if dataset is None else _images(dataset, graph)
    work: dict[str, float] = defaultdict(float)
    for layer in _computed(graph):
        work[layer.op.kind] += layer.op.multiply_adds() * graph.training.batch_rows
    share = kernels / sum(alone.values())
    layers = {kind: work[kind] / (alone[kind] * share) for kind in work}
    parameters = sum(parameter.size for parameter in graph.parameters)
    return MeasuredRates(layers, parameters / updates, images)


def source(command: str, plan: Plan) -> str:
    """Return where measured rates are from: command, network, batch, machine."""
    device = jax.devices()[0].device_kind
    return f"{command} of {plan.graph.name} at batch {plan.graph.training.batch}, {os.cpu_count()} cores, {device}"


def kernel_seconds(plan: Plan) -> float:
    """Return the time of loss and gradients of a whole step, as a worker with one tile computes them."""
    graph = plan.graph
    shard = Shard(graph, partition(graph, Size(1, 1)), 0)
    owned = shard.owned(initial_params(graph, graph.training.seed))
    sheet, rows = graph.input.sheet, graph.training.batch_rows
    images = jax.random.normal(jax.random.key(0), (sheet.height, sheet.width, sheet.maps, rows))
    labels = jnp.zeros(rows, jnp.int32) if any(o.term.needs_labels for o in graph.objectives) else None
    targets = {
        layer.path: jnp.zeros((layer.sheet.height, layer.sheet.width, layer.sheet.maps, rows))
        for layer in graph.targets
    }
    samples = jnp.asarray(sample_numbers(0, rows))
    return _median(lambda: run_tiles([shard], [owned], images, labels, targets, samples))


def _alone(graph: Graph) -> dict[str, float]:
    """Return the time of each kind's layers alone, forward and with their gradients."""
    seconds: dict[str, float] = defaultdict(float)
    for layer in _computed(graph):
        sheets = [graph.layer(path).sheet for path in layer.reads]
        shapes = [(sheet.height, sheet.width, sheet.maps, graph.training.batch_rows) for sheet in sheets]
        values = [jax.random.normal(jax.random.key(i), shape) for i, shape in enumerate(shapes)]
        params = {p.role: jax.random.normal(jax.random.key(9), p.shape) for p in layer.parameters}
        program = jax.jit(partial(_both_passes, layer, graph.training))
        seconds[layer.op.kind] += _median(partial(program, values, params))
    return seconds


def _both_passes(
    layer: Layer, training: Training, values: list[jax.Array], params: dict[str, jax.Array]
) -> Any:
    mode = Mode(training.seed, layer.path, jnp.asarray(sample_numbers(0, training.batch_rows)))

    def run(values: list[jax.Array], params: dict[str, jax.Array]) -> jax.Array:
        return computed(layer.op, values, params, training.precision, mode)

    value, back = jax.vjp(run, values, params)
    return value, back(value)


def _update_seconds(graph: Graph) -> float:
    rule = update_rule(graph)
    program = jax.jit(rule.updated, donate_argnums=(0, 1))
    params = initial_params(graph, graph.training.seed)
    gradients = running.of_batch(rule.running, jax.tree.map(jnp.ones_like, params))
    held = params, rule.init(params)

    def update() -> Any:
        nonlocal held
        held = program(*held, gradients)
        return held

    return _median(update)


def _images(dataset: Dataset, graph: Graph) -> float:
    """Return the images of a batch over the time to read and decode it; each batch is another one."""
    batch, times = graph.training.batch, []
    for number in range(ROUNDS):
        began = perf_counter()
        images = batch_last(jnp.asarray(dataset.batch(number * batch, batch).images))
        jax.block_until_ready(images)  # type: ignore[no-untyped-call]
        times.append(perf_counter() - began)
    return batch / statistics.median(times)


def _computed(graph: Graph) -> list[Layer]:
    return [layer for layer in graph.layers if layer is not graph.input]


def _median(call: Callable[[], Any]) -> float:
    """Return the median time of a call, which has run twice before to compile."""
    times = []
    for number in range(2 + ROUNDS):
        began = perf_counter()
        jax.block_until_ready(call())  # type: ignore[no-untyped-call]
        if number > 1:
            times.append(perf_counter() - began)
    return statistics.median(times)
