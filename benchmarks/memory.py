"""What a training step holds at its peak, against what it needs: python benchmarks/memory.py

What `lnetc explain` says, and a bound: weights, optimiser state, gradients, and three times the activations. XLA's own
figure for the compiled step, and for the first rule what the process held while it took three of them.
"""

from __future__ import annotations

import resource

import jax
import jax.numpy as jnp
from timing import machine

from lnet.compiler.cut.cost import totals
from lnet.compiler.graph.graph import Graph
from lnet.compiler.pipeline import compile_text
from lnet.compiler.plan.plan import Plan
from lnet.runtime.engine.network import initial_params
from lnet.runtime.engine.updates import update_rule
from lnet.runtime.kernels.mode import sample_numbers
from lnet.runtime.training.trainer import training_step

NETWORK = """
stage sense() {
    filter: local(18, maps = 8)
    pool:   l2pool(3)
    norm:   lcn(5, edge = valid)
    learn:  rica()
}
network bench { image: input(80x80x3); V1: sense(); V2: sense() }
train { batch = 100 }
"""


def main() -> None:
    print(machine())
    print("two stages, field 18, 8 maps, 80x80x3, batch 100")
    for number, rule in enumerate(("adagrad", "adam", "sgd")):
        plan = compile_text(NETWORK, {"train.update": f"{rule}(rate = 0.01)"})
        print(f"{rule}:")
        print(bound_line(plan))
        print(f"  peak of a step: {peak_bytes(plan.graph) / 1e9:.2f} GB")
        if number == 0:
            print(f"  the process took {grown_by_steps(plan.graph) / 1e9:.2f} GB for three steps")


def bound_line(plan: Plan) -> str:
    """Return what a step needs, and the bound."""
    sums = totals(plan.graph, plan.partition)
    bound = 2 * sums.parameter_bytes + sums.state_bytes + 3 * sums.activation_bytes
    return (
        f"  weights and gradients {2 * sums.parameter_bytes / 1e9:.2f} GB, optimiser state"
        f" {sums.state_bytes / 1e9:.2f} GB, activations {sums.activation_bytes / 1e9:.2f} GB: bound {bound / 1e9:.2f} GB,"
        f" explain {sums.training_bytes / 1e9:.2f} GB"
    )


def peak_bytes(graph: Graph) -> int:
    """Return what XLA reserves for a step: what goes in, what comes out elsewhere, and all between."""
    rule = update_rule(graph)
    params = {p.name: jax.ShapeDtypeStruct(p.shape, jnp.float32) for p in graph.parameters}
    images = jax.ShapeDtypeStruct(shape_of_images(graph), jnp.float32)
    state, samples = jax.eval_shape(rule.init, params), sample_numbers(0, graph.training.batch_rows)
    step = training_step(graph, rule).lower(params, state, images, None, None, samples)
    memory = step.compile().memory_analysis()
    held = memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes
    return int(held - memory.alias_size_in_bytes)


def grown_by_steps(graph: Graph) -> int:
    """Return how far the peak of the process rises while it makes a network and trains it for three steps."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rule = update_rule(graph)
    step, params = training_step(graph, rule), initial_params(graph, 0)
    state, images = rule.init(params), jnp.ones(shape_of_images(graph))
    samples = sample_numbers(0, graph.training.batch_rows)
    for _ in range(3):
        params, state, _, _ = jax.block_until_ready(step(params, state, images, None, None, samples))
    return 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)


def shape_of_images(graph: Graph) -> tuple[int, ...]:
    sheet = graph.input.sheet
    return (sheet.height, sheet.width, sheet.maps, graph.training.batch_rows)


if __name__ == "__main__":
    main()
