"""Training on a Dask cluster of this machine's own processes against training in one: python benchmarks/cluster.py

Runs in turn, round after round. Wall time is of whole steps, from the log of each run; processor time is that of all
processes of a run (scheduler and client included), which other work on the machine disturbs less.

    overhead    one tile, one replica, its server in the same process, no standby, against one process
    standby     the same with a second process that holds every update before it is acknowledged
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest import mock

import numpy as np
from distributed import Client
from step import NETWORK
from timing import machine

import lnet
from lnet.compiler.core.shapes import Size
from lnet.compiler.cut.cost import totals
from lnet.compiler.pipeline import Layout, compile_source
from lnet.compiler.plan.plan import Plan
from lnet.dsl.diagnostics import Collector
from lnet.dsl.source import Source
from lnet.runtime.cluster import launch
from lnet.runtime.cluster.protocol.spec import Durability
from lnet.runtime.cluster.transport.connect import LOCAL, connected
from lnet.runtime.store.run import Run
from lnet.runtime.training.progress import Silent

WARM = 4
"""Steps at the beginning of a run that compile and are not counted; so many before its end processor time is read: after
the last one a checkpoint is written."""


@dataclass
class Processors(Silent):
    """Reads the processor time of all processes when a run is warm, and before it ends."""

    spent: Callable[[], float]
    last: int
    read: dict[int, float] = field(default_factory=dict)

    def stepped(self, step: int, objectives: object, images_per_second: float) -> None:
        if step in (WARM, self.last):
            self.read[step] = self.spent()

    @property
    def seconds(self) -> float:
        """Processor time of a step."""
        return (self.read[self.last] - self.read[WARM]) / (self.last - WARM)


@dataclass
class Measured:
    """Seconds of the steps of several runs of one kind: of the log, from step to step, and of all processors."""

    steps: list[float] = field(default_factory=list)
    walls: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    processors: list[float] = field(default_factory=list)

    def add(self, run: Run, processors: Processors) -> None:
        events = [event for event in run.events() if event.name == "step"]
        self.steps += [event.seconds for event in events[WARM:]]
        self.waits += [event.waited for event in events[WARM:]]
        self.walls += np.diff([event.time for event in events[WARM - 1 :]]).tolist()
        self.processors.append(processors.seconds)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--maps", type=int, default=4, help="of each stage; 8 as in benchmarks/step.py")
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("parts", nargs="*", default=["overhead", "standby"])
    asked = parser.parse_args()
    warnings.filterwarnings("ignore", message="Port 8787")
    print(machine())
    plan = plan_of(asked.maps, asked.steps)
    print(
        f"three stages, field 10, {asked.maps} maps, 96x96x3: {totals(plan.graph, plan.partition).parameters:,} "
        f"parameters, batch {plan.graph.training.batch}, adagrad"
    )
    for part in asked.parts:
        {"overhead": overhead, "standby": standby}[part](asked)


def plan_of(maps: int, steps: int, workers: int = 1, count: int = 1) -> Plan:
    """Return a plan of the network of benchmarks/step.py that is cut into a number of tiles."""
    text = NETWORK.replace("maps = 8", f"maps = {maps}")
    text = text.replace("batch = 64", f"batch = 64\n steps = {steps}\n checkpoint = 1000000")
    source = Source(text, "bench.lnet")
    layout = Layout(workers=workers, tiles=Size(1, 1)) if count == 1 else Layout(workers=count)
    return compile_source(source, {}, Collector(source), layout)


def images() -> np.ndarray:
    return np.random.default_rng(1).random((256, 96, 96, 3), np.float32)


@contextmanager
def durable(durability: Durability) -> Iterator[None]:
    """Ask for standbys, or none, where the launcher would decide by the number of machines."""
    config = launch._config

    def asked(*arguments: object) -> object:
        return replace(config(*arguments), durability=durability)  # type: ignore[arg-type]

    with mock.patch.object(launch, "_config", asked):
        yield


def spent_by(client: Client | None) -> float:
    """Return the processor seconds of this process, and of a cluster's workers."""
    others = client.run(time.process_time) if client is not None else {}
    return time.process_time() + sum(others.values())


def measure(plan: Plan, client: Client | None, into: Measured) -> Run:
    """Train once, from the beginning, and take down its times."""

    processors = Processors(lambda: spent_by(client), plan.graph.training.steps - WARM)
    with tempfile.TemporaryDirectory() as folder:
        run = lnet.train(plan, images(), directory=Path(folder) / "run", reporter=processors, client=client)
        into.add(run, processors)
    return run


# --- overhead ------------------------------------------------------------------------------------------------------


def overhead(asked: argparse.Namespace) -> None:
    plan = plan_of(asked.maps, asked.steps)
    found = {"one process": Measured(), "cluster": Measured()}
    with connected(LOCAL, plan) as client, durable("single"):
        for _ in range(asked.rounds):
            measure(plan, None, found["one process"])
            measure(plan, client, found["cluster"])
    print("\none tile, one replica, server beside it, no standby")
    compare(found)


def standby(asked: argparse.Namespace) -> None:
    alone = plan_of(asked.maps, asked.steps)
    pair = plan_of(asked.maps, asked.steps, workers=2)
    found = {"no standby": Measured(), "standby": Measured()}
    with connected(LOCAL, alone) as one, connected(LOCAL, pair) as two:
        for _ in range(asked.rounds):
            with durable("single"):
                measure(alone, one, found["no standby"])
            with durable("standby"):
                measure(pair, two, found["standby"])
    print("\none tile, one replica, server beside it, and a standby in a process of its own")
    compare(found)


def compare(found: dict[str, Measured]) -> None:
    """Print the times of kinds of runs, and their ratios to those of the first."""
    first = next(iter(found.values()))
    print(f"  {'':14}{'step':>9}{'wall':>9}{'shortest':>10}{'processors':>12}    ratios of the last three")
    for name, times in found.items():
        figures, base = row(times), row(first)
        ratios = "".join(f"{a / b:8.2f}" for a, b in zip(figures[1:], base[1:], strict=True))
        print("  {:14}{:9.3f}{:9.3f}{:10.3f}{:12.3f}".format(name, *figures) + ratios)


def row(times: Measured) -> tuple[float, float, float, float]:
    median = float(np.median(times.walls))
    return float(np.median(times.steps)), median, min(times.walls), float(np.median(times.processors))


if __name__ == "__main__":
    main()
