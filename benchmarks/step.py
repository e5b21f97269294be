"""A whole training step of a three-stage network of 96x96 pixels: python benchmarks/step.py

Images per second, the process's peak memory, and the share of the time that each layer takes when it runs alone.
"""

from __future__ import annotations

import resource
from functools import partial
from types import MappingProxyType

import jax
import jax.numpy as jnp
from memory import bound_line, peak_bytes
from timing import jitted, machine, medians

from lnet.compiler.core.layer import Layer
from lnet.compiler.cut.cost import totals
from lnet.compiler.pipeline import compile_text
from lnet.compiler.plan.plan import Plan
from lnet.runtime.engine.evaluate import batch_last, total_loss
from lnet.runtime.engine.network import initial_params
from lnet.runtime.engine.updates import update_rule
from lnet.runtime.kernels.choose import Choices, made
from lnet.runtime.kernels.mode import sample_numbers
from lnet.runtime.kernels.ops import layer_kernel
from lnet.runtime.training.trainer import training_step

NETWORK = """
stage sense() {
    filter: local(10, maps = 8)
    pool:   l2pool(3)
    norm:   lcn(5, edge = valid)
    learn:  rica()
}
network bench { image: input(96x96x3); V1: sense(); V2: sense(); V3: sense() }
train { batch = 64 }
"""


def main() -> None:
    print(machine())
    plan = compile_text(NETWORK)
    graph, batch = plan.graph, plan.graph.training.batch
    sums = totals(graph, plan.partition)
    images = jax.random.normal(jax.random.key(1), (batch, 96, 96, 3))
    whole, gradients = step_times(plan, images)
    print(f"three stages, field 10, 8 maps, 96x96x3: {sums.parameters:,} parameters, batch {batch}, adagrad")
    print(f"  whole step: {whole:,.0f} ms, {1e3 * batch / whole:,.1f} images per second")
    print(f"  loss and gradients alone: {gradients:,.0f} ms")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"  peak memory of the process: {peak / 1e9:.2f} GB; of the step: {peak_bytes(graph) / 1e9:.2f} GB")
    print(bound_line(plan))
    shares(plan)


def step_times(plan: Plan, images: jax.Array, choices: Choices = MappingProxyType({})) -> tuple[float, float]:
    graph = plan.graph
    rule = update_rule(graph)
    step = training_step(graph, rule, choices)
    params = initial_params(graph, 0)
    state = (params, rule.init(params))
    last, samples = batch_last(images), sample_numbers(0, len(images))

    def one_step() -> jax.Array:
        nonlocal state
        params, update, terms, _ = step(*state, last, None, None, samples)
        state = (params, update)
        return sum(terms.values(), start=jnp.zeros(()))

    grads = jax.jit(jax.grad(lambda p: total_loss(graph, p, last, samples=samples)[0]))
    with made(choices):
        times = medians({"step": one_step, "gradients": lambda: grads(state[0])}, 5)
    return times["step"], times["gradients"]


def shares(plan: Plan) -> None:
    """Print the time of each layer alone, forward and with its gradients."""
    graph, batch = plan.graph, plan.graph.training.batch
    calls = {}
    for layer in graph.layers[1:]:
        sheets = [graph.layer(path).sheet for path in layer.reads]
        keys = jax.random.split(jax.random.key(2), len(sheets))
        values = [
            jax.random.normal(k, (s.height, s.width, s.maps, batch))
            for k, s in zip(keys, sheets, strict=True)
        ]
        params = {p.role: jax.random.normal(jax.random.key(3), p.shape) for p in layer.parameters}
        calls[layer.path] = jitted(partial(both_passes, layer), values, params)
    times = medians(calls, 5)
    total = sum(times.values())
    print(f"\n  {'layer':18}{'kind':10}{'ms':>8}{'share':>8}")
    for layer in graph.layers[1:]:
        print(f"  {layer.path:18}{layer.op.kind:10}{times[layer.path]:8.1f}{times[layer.path] / total:8.0%}")


def both_passes(layer: Layer, values: list[jax.Array], params: dict[str, jax.Array]) -> object:
    def run(values: list[jax.Array], params: dict[str, jax.Array]) -> jax.Array:
        return layer_kernel(layer.op)(layer.op, values, params, "float32")

    value, back = jax.vjp(run, values, params)
    return value, back(value)


if __name__ == "__main__":
    main()
