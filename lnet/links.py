"""The links of a cluster and a step's overhead, measured by training: `lnetc measure-links`.

Three plans with hardly any arithmetic are trained on two workers in turn. What a step takes beyond its kernels has three
unknowns, and their factors are those of the prediction's own stages:

    one tile                       seconds = overhead + a latency + b / bandwidth
    two tiles, a kilobyte                    overhead + c latency + d / bandwidth
    two tiles, megabytes                     overhead + e latency + f / bandwidth

So latency and bandwidth are those that tiles meet, with Python, Dask and copies in them.
"""

from __future__ import annotations

from collections.abc import Mapping
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
from lnet.compiler.predict.stages import stages_of
from lnet.compiler.predict.step import step_time
from lnet.dsl.diagnostics import Collector, refused
from lnet.dsl.source import Source
from lnet.runtime.cluster.transport.connect import workers_of
from lnet.runtime.store.events import ClusterStepDone
from lnet.runtime.store.run import Run
from lnet.runtime.train import train

NETWORK = """
network links {{
    image: input({rows}x8x1)
    f:     local(3, {maps}, share = all)
    g:     local(3, 1, share = all)
    out:   l2()
}}
train {{ data = frames("-"); batch = {batch}; steps = {steps}; checkpoint = 1000000; update = sgd(rate = 1e-6) }}
"""
LITTLE, MUCH = (8, 1, 1), (514, 8, 256)
"""Rows, maps and batch of the networks: tiles exchange 24 bytes, or 4 MB, and as much of gradients."""
ROUNDS, STEPS, WARM = 3, 30, 10
"""Runs of each plan, in turn; their steps; those of them that compile and are not counted."""


@dataclass(frozen=True)
class MeasuredLink:
    """A link between two workers, and the seconds of a step that are neither kernels nor messages."""

    link: Link
    overhead: float


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
            found[name] = _measured(client, pair, directory / name)
    return found


def pair_plan() -> Plan:
    """Return a plan for two workers of this machine, on which a link can be measured."""
    return _plan(ClusterSpec.uniform(2), LITTLE, 2)


def links_toml(measured: Mapping[str, MeasuredLink]) -> str:
    """Return the table [links] of a cluster's description; the overhead is the largest found."""
    lines = ["[links]"]
    for name, found in measured.items():
        link = f"latency = {found.link.latency:.3g}, bandwidth = {found.link.bandwidth:.3g}"
        lines.append(f"{name:8} = {{ {link} }}  # seconds; bytes a second")
    lines.append(f"overhead = {max(found.overhead for found in measured.values()):.3g}  # seconds of a step")
    return "\n".join(lines) + "\n"


def _measured(client: Client, pair: tuple[Worker, Worker], directory: Path) -> MeasuredLink:
    cluster = ClusterSpec(pair)
    plans = [_plan(cluster, LITTLE, 1), _plan(cluster, LITTLE, 2), _plan(cluster, MUCH, 2)]
    times: list[list[float]] = [[] for _ in plans]
    for number in range(ROUNDS):
        for plan, seconds in zip(plans, times, strict=True):
            seconds.append(_beyond_kernels(client, plan, directory / f"{number}-{plan.digest[:8]}"))
    factors = np.array([_factors(plan) for plan in plans])
    overhead, latency, by_byte = np.linalg.solve(factors, [median(seconds) for seconds in times])
    if min(overhead, latency, by_byte) <= 0:
        raise refused(
            "E761",
            f"'{pair[0].name}' and '{pair[1].name}' were too busy with other work to be measured",
            f"a step took {', '.join(f'{median(seconds):.3g}' for seconds in times)} s beyond its kernels alone, "
            "in two tiles, and in two tiles with megabytes to send",
            hint="measure again when the machines are idle",
        )
    return MeasuredLink(Link(float(latency), float(1 / by_byte)), float(overhead))


def _plan(cluster: ClusterSpec, size: tuple[int, int, int], tiles: int) -> Plan:
    rows, maps, batch = size
    source = Source(NETWORK.format(rows=rows, maps=maps, batch=batch, steps=STEPS), "links.lnet")
    return compile_source(source, {}, Collector(source), Layout(tiles=Size(1, tiles), cluster=cluster))


def _factors(plan: Plan) -> tuple[float, float, float]:
    """Return by how much overhead, latency and seconds of a byte count in a step, as the prediction has it."""

    workers = plan.placement.cluster.workers

    def counted(overhead: float, link: Link) -> float:
        cluster = ClusterSpec(workers, within=link, between=link)
        free = Rates({"local": inf, "l2pool": inf}, inf, inf, overhead, "")
        return step_time(stages_of(_on(plan, cluster), free)).seconds

    return counted(1.0, Link(0.0, inf)), counted(0.0, Link(1.0, inf)), counted(0.0, Link(0.0, 1.0))


def _on(plan: Plan, cluster: ClusterSpec) -> Plan:
    return replace(plan, placement=replace(plan.placement, cluster=cluster))


def _beyond_kernels(client: Client, plan: Plan, directory: Path) -> float:
    """Train a plan and return the median seconds of its steps, without those of the kernels of the slowest tile."""
    sheet = plan.graph.input.sheet
    images = np.random.default_rng(0).random((64, sheet.height, sheet.width, sheet.maps), np.float32)
    run = train(plan, images, directory=directory, client=client)
    return median(beyond_kernels(run)[WARM:])


def beyond_kernels(run: Run) -> list[float]:
    """Return the seconds of each step of a run of one replica, without those in which its slowest tile computed.

    The first step has none before it to be timed from.
    """
    steps = [event for event in run.events() if isinstance(event, ClusterStepDone)]
    return [after.time - before.time - _computing(after) for before, after in pairwise(steps)]


def _computing(step: ClusterStepDone) -> float:
    assert step.slowest is not None, "steps: a run of today names the slowest tile"
    return step.slowest.seconds - step.slowest.waited
