"""What machines would do for an example, predicted: python benchmarks/scale.py [--network catface] [--svg docs/scale.svg]

For each number of workers the fastest of a few layouts: replicas of grids of tiles, with the file's `fetch` and `push` of 1,
and with 10. The constants are those of benchmarks/scale.toml.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt

import lnet
from lnet.compiler.core.shapes import Size
from lnet.compiler.cut.cluster_spec import ClusterSpec, Rates, read_cluster_spec, read_rates
from lnet.compiler.pipeline import Layout, lay_out
from lnet.compiler.plan.plan import Plan
from lnet.compiler.predict.explain_time import Prediction, predictions, seconds_text

HERE = Path(__file__).parent
WORKERS = (1, 5, 20, 80, 250, 500, 1_000, 2_500, 5_000, 10_000)
REPLICAS = (1, 5, 20)
MOST = 500
"""Tiles of a replica, by the square that they hold; with more, halos take most of a step."""
EVERY = (1, 10)
"""Steps between two fetches, and two pushes."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", type=int, nargs="+", default=WORKERS)
    parser.add_argument("--network", default="catface", help="an example")
    parser.add_argument("--svg", type=Path)
    asked = parser.parse_args()
    cluster, rates = read_cluster_spec(HERE / "scale.toml"), read_rates(HERE / "scale.toml")
    found: dict[int, list[Prediction]] = {every: [] for every in EVERY}
    print(f"rates: {rates.source}")
    print(f"{'workers':>8}{'every':>7}{'layout':>16}{'step':>10}{'images/s':>11}   of the step")
    for workers in asked.workers:
        for every, best in fastest(asked.network, workers, cluster, rates).items():
            found[every].append(best)
            print(line(workers, every, best), flush=True)
    if asked.svg is not None:
        draw(found, asked.svg)


def fastest(network: str, workers: int, cluster: ClusterSpec, rates: Rates) -> dict[int, Prediction]:
    """Return the fastest layout for each number of steps between fetches and pushes."""
    found: dict[int, list[Prediction]] = {every: [] for every in EVERY}
    for plan in plans(network, workers, cluster):
        trainings = [replace(plan.graph.training, fetch=every, push=every) for every in EVERY]
        graphs = [replace(plan.graph, training=training) for training in trainings]
        for every, each in zip(EVERY, predictions(plan, rates, graphs), strict=True):
            found[every].append(each)
    return {every: max(some, key=lambda each: each.images_a_second) for every, some in found.items()}


def plans(network: str, workers: int, cluster: ClusterSpec) -> Iterator[Plan]:
    """Yield plans with each number of replicas, in the squarest grids that leave few workers over."""
    whole = lnet.compile(HERE.parent / f"examples/{network}/model.lnet", replicas=1)
    for replicas in REPLICAS:
        side = int((workers // replicas) ** 0.5)
        if 1 <= side * side <= MOST:
            tiles = Size(side, workers // replicas // side)
            used = replace(cluster, workers=cluster.workers[: replicas * tiles.rows * tiles.columns])
            cut, placement = lay_out(whole.graph, Layout(None, replicas, tiles, used))
            yield replace(whole, partition=cut, placement=placement)


def line(workers: int, every: int, best: Prediction) -> str:
    time, layout = best.time, f"{len(best.plan.placement.tiles)} of {best.plan.partition.tiles}"
    largest = sorted(((seconds, part) for part, seconds in time.path.items() if seconds), reverse=True)
    parts = ", ".join(f"{part} {seconds / time.seconds:.0%}" for seconds, part in largest)
    return f"{workers:8,}{every:7}{layout:>16}{seconds_text(time.seconds):>10}{best.images_a_second:11,.0f}   {parts}"


def draw(found: dict[int, list[Prediction]], path: Path) -> None:
    """Draw images a second over workers, beside as many times one worker's."""
    plt.rcParams["svg.hashsalt"] = "lnet"
    figure, axes = plt.subplots(figsize=(7, 4))
    alone = found[1][0].images_a_second
    workers = [len(each.plan.workers) for each in found[1]]
    axes.plot(
        workers, [alone * count for count in workers], "--", color="grey", label="as many times one worker's"
    )
    for every, of in found.items():
        axes.plot(
            [len(each.plan.workers) for each in of],
            [each.images_a_second for each in of],
            "o-",
            label=f"fetch and push every {every} step{'s' * (every > 1)}",
        )
    axes.set(xscale="log", yscale="log", xlabel="workers", ylabel="images a second")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})


if __name__ == "__main__":
    main()
