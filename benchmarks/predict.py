"""Predicted steps against measured ones, and against published ones: python benchmarks/predict.py

    measured     rates of one worker and links of two, measured; from these alone the steps of one to four workers,
                 beside what they took: medians of runs in turn, and their spread
    published    DistBelief (Dean et al. 2012): one link fitted to two points, a third one predicted (distbelief.py)

Every worker is a process of this machine that gets `--cores` of a processor by its cgroup, so that four of them do not
share what one has for itself. Processes start and compile without a limit.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import distbelief
import numpy as np
from distributed import Client
from timing import machine

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/runtime/cluster"))

from shares import Shares, may_share

import lnet
from lnet.compiler.cut.cluster_spec import ClusterSpec, Link, Rates, Worker
from lnet.compiler.pipeline import compile_source, layout_from
from lnet.compiler.plan.plan import Plan, plan_from_json
from lnet.compiler.predict.explain_time import predict
from lnet.dsl.diagnostics import Collector
from lnet.dsl.source import Source
from lnet.links import LinkTest, MeasuredLink
from lnet.runtime.cluster.transport.connect import LOCAL, connected, workers_of
from lnet.runtime.data.in_memory import InMemory
from lnet.runtime.store.events import ClusterStepDone
from lnet.runtime.training.progress import Silent
from lnet.runtime.training.rates import MeasuredRates, measured_rates

NETWORK = """
stage sense() {
    filter: local(10, maps = 4)
    pool:   l2pool(3)
    norm:   lcn(5, edge = valid)
    learn:  rica()
}
network bench { image: input(64x64x3); V1: sense(); V2: sense() }
train { batch = 64; data = frames("-"); update = adagrad(rate = 1e-3); checkpoint = 1000000 }
"""
WARM = 6
"""Steps of a run without a limit, and not counted: they compile; of the next ones the first is not counted either."""
LAYOUTS = {
    "1 worker": (1, 1, "1x1"),
    "2 workers": (2, 1, "1x2"),
    "2 replicas": (2, 2, "1x1"),
    "3 workers": (3, 1, "1x3"),
    "4 workers": (4, 1, "2x2"),
    "4 in 2 replicas": (4, 2, "1x2"),
}
"""Workers, replicas and tiles."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cores", type=float, default=0.2, help="of a processor for each worker")
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("parts", nargs="*", default=["published", "measured"])
    asked = parser.parse_args()
    warnings.filterwarnings("ignore", message="Port 8787")
    for part in asked.parts:
        {"measured": measured, "published": lambda _: distbelief.main()}[part](asked)


def measured(asked: argparse.Namespace) -> None:
    print(machine())
    print(f"two stages, field 10, 4 maps, 64x64x3, batch 64, adagrad; {asked.cores} cores a worker")
    plans = {name: _plan(*layout, asked.steps + WARM) for name, layout in LAYOUTS.items()}
    with ExitStack() as stack:
        clients = {
            count: stack.enter_context(_cluster(plans[f"{count} worker{'s' * (count > 1)}"]))
            for count in (1, 2, 3, 4)
        }
        limit = _Limit(list(clients.values()), asked.cores)
        stack.callback(limit.close)
        test = LinkTest(
            clients[2], _pair(clients[2]), Path(stack.enter_context(tempfile.TemporaryDirectory()))
        )
        rates: list[MeasuredRates] = []
        times: dict[str, list[float]] = {name: [] for name in plans}
        for _ in range(asked.rounds):
            limit.set(True)
            rates += clients[1].run(_rates, plans["1 worker"].to_json()).values()
            print(rates[-1], file=sys.stderr)
            test.run()
            print(test.seconds, file=sys.stderr)
            limit.set(False)
            for name, plan in plans.items():
                times[name].append(_run(clients[len(plan.workers)], plan, limit))
                print(f"{name}: {times[name][-1]:.3f} s", file=sys.stderr, flush=True)
        link = test.solve()
    _compare(plans, _known(rates, link), link.link, times)


def _plan(workers: int, replicas: int, tiles: str, steps: int) -> Plan:
    source = Source(NETWORK, "bench.lnet")
    overrides = {"train.steps": str(steps)}
    return compile_source(source, overrides, Collector(source), layout_from(workers, replicas, tiles))


@contextmanager
def _cluster(plan: Plan) -> Iterator[Client]:
    with connected(LOCAL, plan) as client:
        yield client


# --- limits --------------------------------------------------------------------------------------------------------


class _Limit:
    """Gives each worker its share of a processor, or all."""

    def __init__(self, clients: list[Client], cores: float) -> None:
        self.cores, self.shares = cores, Shares()
        self.pids = [pid for client in clients for pid in client.run(os.getpid).values()]
        if not may_share():
            raise SystemExit("workers cannot be limited, which needs the right to make cgroups")

    def set(self, on: bool) -> None:
        for pid in self.pids:
            self.shares.give(pid, self.cores if on else None)

    def close(self) -> None:
        self.shares.close()


# --- measuring -----------------------------------------------------------------------------------------------------


def _pair(client: Client) -> tuple[Worker, Worker]:
    first, second = (Worker(str(found["name"]), found["host"]) for found in workers_of(client).values())
    return first, second


def _known(rates: list[MeasuredRates], link: MeasuredLink) -> Rates:
    """Return the medians of what was measured in one worker and between two."""
    layers = {kind: _median([each.layers[kind] for each in rates]) for kind in rates[0].layers}
    images = _median([each.images for each in rates if each.images is not None])
    known = Rates(
        layers, _median([each.updates for each in rates]), images, link.overhead, link.copies, "measured"
    )
    print(known)
    print(link.link)
    return known


def _median(values: list[float]) -> float:
    return float(np.median(values))


def images() -> np.ndarray:
    return np.random.default_rng(1).random((256, 64, 64, 3), np.float32)


def _rates(text: str) -> MeasuredRates:
    plan = plan_from_json(text)
    return measured_rates(plan, {}, InMemory(images(), None).open(plan.graph, Path()))


class _Limiting(Silent):
    """Lets a run begin without limits."""

    def __init__(self, limit: _Limit, after: int) -> None:
        self.limit, self.after = limit, after

    def stepped(self, step: int, objectives: object, images_per_second: float) -> None:
        if step == self.after:
            self.limit.set(True)


def _run(client: Client, plan: Plan, limit: _Limit) -> float:
    """Return the median seconds between two steps of a replica."""
    replicas = len(plan.placement.tiles)
    with tempfile.TemporaryDirectory() as folder:
        run = lnet.train(
            plan,
            images(),
            directory=Path(folder) / "run",
            reporter=_Limiting(limit, WARM * replicas),
            client=client,
        )
        limit.set(False)
        steps = [e for e in run.events() if isinstance(e, ClusterStepDone)]
    ends = [step.time for step in steps if step.replica == 0][WARM:]
    return float(np.median([b - a for a, b in pairwise(ends)]))


def _compare(plans: Mapping[str, Plan], known: Rates, link: Link, times: Mapping[str, list[float]]) -> None:
    print(f"{'':18}{'measured':>10}{'spread':>9}{'predicted':>11}{'off':>7}   of the prediction")
    for name, plan in plans.items():
        time = predict(_linked(plan, link), known).time
        median, spread = float(np.median(times[name])), float(np.ptp(times[name]))
        parts = ", ".join(f"{part} {seconds:.3f}" for part, seconds in time.path.items() if seconds)
        off = time.seconds / median - 1
        print(f"{name:18}{median:10.3f}{spread / median:9.0%}{time.seconds:11.3f}{off:+7.0%}   {parts}")


def _linked(plan: Plan, link: Link) -> Plan:
    workers = tuple(Worker(worker.name, "here") for worker in plan.placement.cluster.workers)
    return replace(plan, placement=replace(plan.placement, cluster=ClusterSpec(workers, within=link)))


if __name__ == "__main__":
    main()
