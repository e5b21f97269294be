"""The links of a cluster and a step's overhead, measured by training: `lnetc measure-links`.

Four plans with hardly any arithmetic are trained on two workers in turn. What a step takes beyond its kernels has four
unknowns, and their factors are those of the prediction's own stages:

    one tile                              overhead, latency
    two tiles that exchange bytes         overhead, latency
    two tiles that exchange megabytes     overhead, latency, bandwidth, copies
    two replicas that fetch megabytes     overhead, latency, bandwidth

So they are what tiles and servers meet, with Python and Dask in them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from math import inf
from pathlib import Path
from statistics import median

import numpy as np
from distributed import Client

from lnet.compiler.core.shapes import Size
from lnet.compiler.cut.cluster_spec import ClusterSpec, Link, Rates, Worker
from lnet.compiler.pipeline import Layout, compile_source
from lnet.compiler.plan.plan import Plan
from lnet.compiler.predict.stages import Work
from lnet.dsl.diagnostics import Collector, refused
from lnet.dsl.source import Source
from lnet.runtime.cluster.transport.connect import workers_of
from lnet.runtime.store.events import ClusterStepDone
from lnet.runtime.train import train

EXCHANGE = """
network links {{
    image: input({rows}x8x1)
    f:     local(3, {maps}, share = all)
    g:     local(3, 1, share = all)
    out:   l2()
}}
train {{ data = frames("-"); batch = {batch}; steps = {steps}; checkpoint = 1000000; update = sgd(rate = 1e-6) }}
"""
LITTLE, MUCH = (8, 1, 1), (514, 64, 32)
"""Rows, maps and batch: tiles exchange 24 bytes, or 4 MB, and as much of gradients."""
FETCH = """
network links {{ image: input(40x40x3); f: local(9, 12); out: l2() }}
train {{ data = frames("-"); batch = 1; steps = {steps}; push = {push}; checkpoint = 1000000; update = sgd(rate = 1e-6) }}
"""
"""Replicas fetch 12 MB in every step, and push every `PUSH` steps: most steps, and so the median, push nothing."""
PUSH, NEVER = 10, 10**6
ROUNDS, STEPS, WARM = 3, 30, 10
"""Runs of each plan, in turn; their steps; those of them that compile and are not counted."""


@dataclass(frozen=True)
class MeasuredLink:
    """A link between two workers, and the constants of a step on them: `overhead` and `copies` as in `Rates`."""

    link: Link
    overhead: float
    copies: float


def measured_links(client: Client, directory: Path) -> dict[str, MeasuredLink]:
    """Measure a link within a host and one between two hosts, where the cluster has such workers.

    `directory`: an empty folder that all workers see. Raises `LnetError` for fewer than two workers.
    """
    workers = [Worker(str(found["name"]), found["host"]) for found in workers_of(client).values()]
    if len(workers) < 2:
        raise refused("E760", f"a link needs two workers, found {len(workers)}", hint="start another one")
    found: dict[str, MeasuredLink] = {}
    for pair in combinations(workers, 2):
        name = "within" if pair[0].host == pair[1].host else "between"
        if name not in found:
            test = LinkTest(client, pair, directory / name)
            for _ in range(ROUNDS):
                test.run()
            found[name] = test.solve()
    return found


def pair_plan() -> Plan:
    """Return a plan for two workers of this machine, on which a link can be measured."""
    return _exchange(ClusterSpec.uniform(2), LITTLE, 2)


def links_toml(measured: Mapping[str, MeasuredLink]) -> str:
    """Return the table [links] of a cluster's description; of a step's constants the worst found."""
    lines = ["[links]"]
    for name, found in measured.items():
        link = f"latency = {found.link.latency:.3g}, bandwidth = {found.link.bandwidth:.3g}"
        lines.append(f"{name:8} = {{ {link} }}  # seconds; bytes a second")
    lines.append(f"overhead = {max(found.overhead for found in measured.values()):.3g}  # seconds of a step")
    lines.append(f"copies   = {min(found.copies for found in measured.values()):.3g}  # bytes a second")
    return "\n".join(lines) + "\n"


class LinkTest:
    """The four plans on two workers, and the seconds of their steps beyond kernels in each run so far."""

    def __init__(self, client: Client, pair: tuple[Worker, Worker], directory: Path) -> None:
        self.client, self.pair, self.directory = client, pair, directory
        cluster = ClusterSpec(pair)
        self.plans = (
            _exchange(cluster, LITTLE, 1),
            _exchange(cluster, LITTLE, 2),
            _exchange(cluster, MUCH, 2),
            _fetch(cluster, PUSH),
        )
        self.factors = [_factors(plan) for plan in (*self.plans[:3], _fetch(cluster, NEVER))]
        self.seconds: list[list[float]] = [[] for _ in self.plans]

    def run(self) -> None:
        """Train each plan once."""
        for number, (plan, seconds) in enumerate(zip(self.plans, self.seconds, strict=True)):
            seconds.append(_beyond_kernels(self.client, plan, self.directory / f"{number}-{len(seconds)}"))

    def solve(self) -> MeasuredLink:
        """Return the constants that the medians of all runs give; raises `LnetError` if they give none.

        Copies that do not show beside the link take no time: the other constants then fit all four medians best.
        """
        medians, factors = [median(seconds) for seconds in self.seconds], np.array(self.factors)
        found = np.linalg.solve(factors, medians)
        if found[3] <= 0:
            found = np.append(np.linalg.lstsq(factors[:, :3], medians)[0], 0.0)
        if min(found[:3]) <= 0:
            raise refused(
                "E761",
                f"'{self.pair[0].name}' and '{self.pair[1].name}' were too busy with other work to be measured",
                f"beyond its kernels a step took {', '.join(f'{seconds:.3g}' for seconds in medians)} s in one tile, "
                "in two, in two with megabytes to exchange, and in two replicas with megabytes to fetch",
                hint="measure again when the machines are idle",
            )
        overhead, latency, by_byte, by_copy = map(float, found)
        return MeasuredLink(Link(latency, 1 / by_byte), overhead, 1 / by_copy if by_copy else inf)


def _exchange(cluster: ClusterSpec, size: tuple[int, int, int], tiles: int) -> Plan:
    rows, maps, batch = size
    text = EXCHANGE.format(rows=rows, maps=maps, batch=batch, steps=STEPS)
    return _compiled(text, Layout(tiles=Size(1, tiles), cluster=cluster))


def _fetch(cluster: ClusterSpec, push: int) -> Plan:
    text = FETCH.format(steps=2 * STEPS, push=push)
    return _compiled(text, Layout(replicas=2, tiles=Size(1, 1), cluster=cluster))


def _compiled(text: str, layout: Layout) -> Plan:
    source = Source(text, "links.lnet")
    return compile_source(source, {}, Collector(source), layout)


def _factors(plan: Plan) -> list[float]:
    """Return by how much overhead, latency, and a byte's seconds sent and copied count in a predicted step."""
    workers = plan.placement.cluster.workers

    def counted(overhead: float, latency: float, by_byte: float, by_copy: float) -> float:
        link = Link(latency, 1 / by_byte if by_byte else inf)
        cluster = ClusterSpec(workers, within=link, between=link)
        free = Rates({"local": inf}, inf, inf, overhead, 1 / by_copy if by_copy else inf, "")
        return Work.of(_on(plan, cluster), free).time(plan.graph.training).seconds

    return [counted(*unknown) for unknown in np.eye(4).tolist()]


def _on(plan: Plan, cluster: ClusterSpec) -> Plan:
    return replace(plan, placement=replace(plan.placement, cluster=cluster))


def _beyond_kernels(client: Client, plan: Plan, directory: Path) -> float:
    """Train a plan and return the median seconds of a step of its slowest replica, without kernels and images."""
    sheet = plan.graph.input.sheet
    images = np.random.default_rng(0).random((32, sheet.height, sheet.width, sheet.maps), np.float32)
    run = train(plan, images, directory=directory, client=client, prepared=True)
    steps = [event for event in run.events() if isinstance(event, ClusterStepDone)]
    return max(
        median(_beyond([step for step in steps if step.replica == replica])[WARM:])
        for replica in range(len(plan.placement.tiles))
    )


def _beyond(steps: Sequence[ClusterStepDone]) -> list[float]:
    """Return the seconds from each step of a replica to the next, without those in which its slowest tile was busy."""
    return [after.time - before.time - _busy(after) for before, after in pairwise(steps)]


def _busy(step: ClusterStepDone) -> float:
    assert step.slowest is not None, "steps: a run of today names the slowest tile"
    return step.slowest.seconds - step.slowest.exchanged
