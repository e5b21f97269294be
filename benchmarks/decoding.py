"""Images decoded by groups of tiles together against decoded by every worker: python benchmarks/decoding.py

One replica on this machine's own processes, each with a tile; no run reads a file twice. Runs in turn, round after round:
processor time of all processes for a step, and the share of a step in which the slowest tile waited for images.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import warnings
from pathlib import Path
from unittest import mock

import numpy as np
from cluster import WARM, Processors, spent_by
from distributed import Client
from PIL import Image
from timing import machine

import lnet
from lnet.compiler.cut.decoding import decoding, processes_of
from lnet.compiler.plan.plan import Plan
from lnet.runtime.cluster import launch
from lnet.runtime.cluster.transport.connect import LOCAL, connected

NETWORK = """
network windows {{ image: input({size}x{size}x3); filter: local(8, {maps}, stride = 4); learn: l2(of = filter) }}
train {{ data = frames("images"); batch = {batch}; steps = {steps}; checkpoint = 1000000; update = sgd(rate = 0.001) }}
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=256, help="rows and columns of an image")
    parser.add_argument("--maps", type=int, default=16, help="of the only layer: what there is to compute")
    parser.add_argument("--tiles", type=int, default=4)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    warnings.filterwarnings("ignore", message="Port 8787")
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        photographs(Path("images"), asked.size, asked.batch * asked.steps)
        text = NETWORK.format(size=asked.size, maps=asked.maps, batch=asked.batch, steps=asked.steps)
        plan = lnet.compile(lnet.parse(text), workers=asked.tiles)
        found: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
        with connected(LOCAL, plan) as client:
            for round in range(asked.rounds):
                for shared in found:
                    found[shared].append(measured(plan, client, shared, f"run-{round}-{shared}"))
    report(plan, found)


def photographs(folder: Path, size: int, count: int) -> None:
    """Write so many different JPEGs."""
    folder.mkdir()
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 256, (size // 8, size // 8, 3), dtype=np.uint8)
    for number in range(count):
        image = Image.fromarray(np.roll(coarse, number, axis=1)).resize((size, size))
        image.save(folder / f"{number:05d}.jpg", quality=90)


def measured(plan: Plan, client: Client, shared: bool, name: str) -> tuple[float, float]:
    """Train once; return processor seconds of a step, and the share of the steps that images were waited for."""
    processors = Processors(lambda: spent_by(client), plan.graph.training.steps - WARM)
    with mock.patch.object(launch, "_shares", return_value=shared):
        run = lnet.train(plan, directory=name, reporter=processors, client=client)
    slowest = [event.slowest for event in run.events() if event.name == "step"][WARM:]
    waited = sum(tile.waited - tile.exchanged for tile in slowest)
    return processors.seconds, waited / sum(tile.seconds for tile in slowest)


def report(plan: Plan, found: dict[bool, list[tuple[float, float]]]) -> None:
    cost = decoding(plan.graph, plan.partition, processes_of(plan.placement))
    print(
        f"{plan.partition.count} tiles, batch {plan.graph.training.batch}, images of {plan.graph.input.sheet}"
    )
    print(f"{'':10}{'decoded':>9}{'processors':>12}{'planned':>9}{'waited':>8}")
    base, decoded = 0.0, plan.graph.training.batch
    for shared, rounds in found.items():
        seconds, waited = (float(np.median(column)) for column in zip(*rounds, strict=True))
        base = base or seconds
        times = len(cost.groups) if shared else cost.processes
        planned = (cost.together if shared else cost.alone) * cost.processes
        print(
            f"{'together' if shared else 'alone':10}{times * decoded:9,}{seconds:10.3f} s{planned:7.3f} s{waited:8.1%}"
            f"   {seconds / base:.2f} x the processor time"
        )


if __name__ == "__main__":
    main()
