"""A training step of the published network on one device: python benchmarks/fullsize.py [SIDE [BATCH]]

examples/catface at its own size, 200 pixels: 2.3 billion weights with adagrad, for a GPU of 80 GB; or with another side of
its images. The floor is the time to copy what a step must touch at least: each weight is read for the layer's value, and
read and written with its sum of squares for the update.
"""

from __future__ import annotations

import sys
from pathlib import Path

import jax
from ceilings import copy_rate
from step import step_times
from timing import machine

from lnet.compiler.cut.cost import totals
from lnet.compiler.pipeline import compile_text
from lnet.runtime.kernels.explain import products
from lnet.runtime.training.tune import measure

MODEL = Path(__file__).parents[1] / "examples" / "catface" / "model.lnet"


def main() -> None:
    side, batch = (int(word) for word in (*sys.argv[1:], "200", "100")[:2])
    print(machine())
    report(side, batch, copy_rate(1 << 26))


def report(side: int, batch: int, copied: float) -> None:
    """Print the time of a step, in float32 and with products in bfloat16, beside the floor for `copied` bytes a second."""
    text = MODEL.read_text(encoding="utf-8").replace("200x200x3", f"{side}x{side}x3")
    for precision in ("float32", "bfloat16"):
        plan = compile_text(text.replace("batch    = 100", f"batch = {batch}\n    precision = {precision}"))
        graph = plan.graph
        weights = totals(graph, plan.partition).parameters
        images = jax.random.normal(jax.random.key(1), (batch, side, side, 3))
        fastest = {product: measure(product, 3) for product in {each for *_, each in products(graph)}}
        whole, _ = step_times(plan, images, fastest)
        floor = 1e3 * 4 * 5 * weights / copied
        print(
            f"catface of {side}x{side}, batch {graph.training.batch}, {precision}: {weights:,} weights, "
            f"{whole:,.1f} ms a step, {whole / floor:.1f} x the floor of {floor:,.1f} ms"
        )
        print(f"  products: {', '.join(sorted(choice.form for choice in fastest.values()))}")
        statistics = jax.devices()[0].memory_stats() or {}
        if "peak_bytes_in_use" in statistics:
            print(f"  memory at most: {statistics['peak_bytes_in_use'] / 1e9:.1f} GB")


if __name__ == "__main__":
    main()
