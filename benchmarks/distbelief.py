"""The prediction's stages held against DistBelief's published speed-ups (Dean et al. 2012): python benchmarks/distbelief.py

    locally connected, 1.7 billion parameters    over 12 times as fast on 81 machines, about 14 times on 128
    fully connected, 42 million parameters       2.2 times as fast on 8 machines

Nothing is published about the machines' links. Latency and bandwidth, relative to a machine's multiply-adds a second, are
fitted to the points at 81 and at 8; the point at 128 is predicted. Parameters are updated where they are, for nothing.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from math import inf

from scipy.optimize import root

from lnet.compiler.core.shapes import Size
from lnet.compiler.cut.cluster_spec import ClusterSpec, Link, Rates
from lnet.compiler.cut.cost import totals
from lnet.compiler.pipeline import Layout, compile_source
from lnet.compiler.plan.plan import Plan
from lnet.compiler.predict.stages import Work
from lnet.compiler.predict.step import Stage, step_time
from lnet.dsl.diagnostics import Collector
from lnet.dsl.source import Source

LOCAL = """
stage sense() {
    filter: local(10, maps = 36)
    pool:   l2pool(5, pad = 2)
    norm:   lcn(5, edge = same)
}
network images { image: input(100x100x3); V1: sense(); V2: sense(); V3: sense(); out: l2() }
train { batch = 100 }
"""
"""Three stages of fields of 10x10, 100x100 pixels, 36 maps, as published. Pools and norms of 5x5 that keep the size are
our choice: they give 1.65 billion weights. So is the batch, and which objective trains: neither matters to the ratios."""
DENSE = (440, 2560, 2560, 2560, 2560, 8192)
"""Units of the published network for speech: 11 frames of 40 values, four layers of 2,560, 8,192 classes."""
BATCH = 100
RATE = 1e9
"""Multiply-adds a second of a machine: any number, since links are fitted relative to it."""
GRADIENTS = 3
"""Forward pass, gradients of weights, gradients of values: as many multiply-adds each."""
PUBLISHED = {81: 12.0, 128: 14.0}
PUBLISHED_DENSE = {8: 2.2}


def plan_of(machines: int) -> Plan:
    """Return the locally connected network on so many machines, in the squarest grid of tiles."""
    rows = max(p for p in range(1, machines + 1) if machines % p == 0 and p * p <= machines)
    source = Source(LOCAL, "images.lnet")
    layout = Layout(tiles=Size(rows, machines // rows))
    return compile_source(source, {}, Collector(source), layout)


def local_seconds(plan: Plan, link: Link) -> float:
    """Return the predicted step of the locally connected network."""
    rate = RATE / GRADIENTS
    rates = Rates(dict.fromkeys(("local", "l2pool", "lcn"), rate), inf, inf, 0.0, inf, "fitted")
    cluster = ClusterSpec(plan.placement.cluster.workers, within=link, between=link)
    placed = replace(plan, placement=replace(plan.placement, cluster=cluster))
    return step_time(Work.of(placed, rates).stages).seconds


def dense_stages(machines: int, link: Link) -> list[Stage]:
    """Return the stages of the fully connected network: each machine has an equal part of every layer's units.

    A layer's units go to all others, and the partial sums of their gradients to those that own them; the classes stay.
    """
    stages = []
    for before, after in pairwise(DENSE):
        work = BATCH * before * after * GRADIENTS / machines / RATE
        stages.append(Stage("kernels", (work,) * machines))
    for units in 2 * DENSE[1:-1]:
        message = link.seconds(BATCH * 4 * units / machines)
        stages.append(Stage("halos", ((machines - 1) * message,) * machines))
    return stages


def fitted(plans: dict[int, Plan]) -> Link:
    """Return the link with which the points at 81 and at 8 machines come out."""
    alone, dense_alone = (
        local_seconds(plans[1], Link(0, inf)),
        step_time(dense_stages(1, Link(0, inf))).seconds,
    )

    def off(unknown: list[float]) -> list[float]:
        link = Link(unknown[0] * 1e-3, 1e7 / unknown[1])
        local = alone / local_seconds(plans[81], link)
        dense = dense_alone / step_time(dense_stages(8, link)).seconds
        return [local - PUBLISHED[81], dense - PUBLISHED_DENSE[8]]

    found = root(off, [1.0, 1.0])
    if not found.success:
        raise SystemExit(f"no link gives the published points: {found.message}")
    return Link(found.x[0] * 1e-3, 1e7 / found.x[1])


def main() -> None:
    plans = {machines: plan_of(machines) for machines in (1, 8, 16, 32, 64, 81, 128)}
    weights = totals(plans[1].graph, plans[1].partition).encoding_weights
    link = fitted(plans)
    print(f"locally connected: {weights:,} weights; fully connected: {_weights(DENSE):,}")
    print(f"fitted for {RATE:.0e} multiply-adds a second: {link.latency:.3g} s, {link.bandwidth:.3g} bytes/s")
    print(f"{'machines':>10}{'tiles':>8}{'speed-up':>10}{'published':>11}{'off':>7}")
    alone = local_seconds(plans[1], link)
    for machines, plan in plans.items():
        speed_up = alone / local_seconds(plan, link)
        said = PUBLISHED.get(machines)
        print(
            f"{machines:10}{plan.partition.tiles!s:>8}{speed_up:10.2f}"
            + (f"{said:11.1f}{speed_up / said - 1:+7.0%}" if said else "")
            + ("  fitted" if machines == 81 else "  predicted" if said else "")
        )


def _weights(units: tuple[int, ...]) -> int:
    return sum(a * b for a, b in pairwise(units))


if __name__ == "__main__":
    main()
