"""What failures leave of a run on many machines: python benchmarks/goodput.py [--check] [--layouts] [--svg FILE]

    goodput = moved / (1 + rate x sum over roles of n(role) x C(role))

n: machines whose first role is primary, standby, tile. C: seconds of the run that are lost while replicas stand still. It is
measured by striking machines in the simulator (lnet.runtime.cluster.simulation): 5 replicas of 1x2 tiles with one shard each
and spares, with the times (heartbeat, lease, silence) of the large run, and rates scaled so that a step takes as long as
there. A lost primary or standby stops everybody, a lost tile its own replica: that part is divided by the replicas. Half of
the failures are processes that end, half machines that fall silent. moved: the predicted speed once primaries have moved to
others' machines, since they stay there. `--check`: the formula against a simulation with a failure a minute, and C at 2x2
tiles. `--layouts`: what layouts of 845 machines make of failures, with one shard a tile, and with one for each replica.
`--svg docs/goodput.svg` draws it.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import product
from pathlib import Path
from statistics import mean

import matplotlib.pyplot as plt
import numpy as np

import lnet
from lnet.compiler.core.shapes import Size
from lnet.compiler.cut.cluster_spec import ClusterSpec, Link, Rates, read_cluster_spec, read_rates
from lnet.compiler.pipeline import Layout, lay_out
from lnet.compiler.plan.plan import Plan
from lnet.compiler.predict.explain_time import predict
from lnet.compiler.predict.goodput import PER_HOURS
from lnet.compiler.predict.goodput import Failures as Under
from lnet.runtime.cluster.protocol.spec import Times
from lnet.runtime.cluster.simulation.failures import KINDS, Failures, Kind, role_of
from lnet.runtime.cluster.simulation.machines import Machines, Process

HERE = Path(__file__).parent
TILES, SIZES, RATES = 169, (845, 4_225, 10_000), (1, 10, 100)
ROLES = ("primary", "standby", "tile")
STEP = 1.06
"""Seconds of a step: catface in 5 replicas of 13x13 tiles, as predicted."""
REPLICAS, SPARES, SMALL, LARGER = 5, 3, Size(1, 2), Size(2, 2)
BEGINS, APART, TIMES_EACH = 20.0, 4, 2
STRIKES = 12
"""Virtual seconds before the first strike; how many failure timeouts lie between two, and how often each role is struck."""
GRIDS = (Size(13, 13), Size(9, 9), Size(6, 7), Size(4, 5))


@dataclass(frozen=True)
class Loss:
    """Seconds of the run lost by a failure, by kind and role, where there are `REPLICAS`."""

    seconds: dict[tuple[str, str], float]

    def mean(self, role: str) -> float:
        return sum(self.seconds[kind, role] for kind in KINDS) / len(KINDS)

    def of(self, role: str, replicas: int) -> float:
        """Return the seconds for another number of replicas: one replica's part is smaller where there are more."""
        own = self.mean("tile")
        shared = 0.0 if role == "tile" else max(0.0, self.mean(role) - own)
        return shared + own * REPLICAS / replicas

    def lost(self, plan: Plan) -> list[float]:
        """Return the seconds lost by a failure of every machine, by the first of the roles that it has in a plan."""
        replicas, shards = len(plan.placement.tiles), len(plan.placement.servers)
        machines = replicas * plan.partition.count
        primaries = min(machines, shards)
        standbys = min(machines - primaries, shards)
        counts = (primaries, standbys, machines - primaries - standbys)
        return [count * self.of(role, replicas) for count, role in zip(counts, ROLES, strict=True)]

    def goodput(self, rate: float, plan: Plan) -> float:
        """Return the goodput, moved primaries aside, of machines that fail so often in 1,000 hours."""
        return 1 / (1 + rate / PER_HOURS * sum(self.lost(plan)))


@cache
def described() -> tuple[ClusterSpec, Rates]:
    return read_cluster_spec(HERE / "scale.toml"), read_rates(HERE / "scale.toml")


def laid_out(replicas: int, tiles: Size, shards: int, every: int = 1, spares: int = 0) -> Plan:
    whole = lnet.compile(
        HERE.parent / "examples/catface/model.lnet",
        replicas=1,
        set={"train.fetch": str(every), "train.push": str(every)},
    )
    workers = replicas * tiles.rows * tiles.columns + spares
    cluster = replace(described()[0], workers=described()[0].workers[:workers])
    cut, placement = lay_out(whole.graph, Layout(None, replicas, tiles, cluster, shards))
    return replace(whole, partition=cut, placement=placement)


def scaled(plan: Plan, step: float) -> tuple[Plan, Rates]:
    """Return a plan and rates with which a step takes so long."""
    rates, cluster = described()[1], plan.placement.cluster
    by = predict(plan, rates).time.seconds / step
    faster = Rates(
        {kind: by * rate for kind, rate in rates.layers.items()},
        by * rates.updates,
        by * rates.images,
        rates.overhead / by,
        by * rates.copies,
        rates.source,
    )
    link = Link(cluster.between.latency / by, cluster.between.bandwidth * by)
    return replace(plan, placement=replace(plan.placement, cluster=replace(cluster, between=link))), faster


def begun(tiles: Size, times: Times, seed: int = 0) -> tuple[Machines, float]:
    """Return a small run that has begun, and its steps a second of all replicas."""
    plan = laid_out(REPLICAS, tiles, 1, spares=SPARES)
    machines = Machines(*scaled(plan, STEP), seed, times)
    machines.run(BEGINS)
    machines.record.restart()
    used = machines.table.pool.used
    machines.run(2 * BEGINS)
    return machines, (machines.table.pool.used - used) / BEGINS


def victims(machines: Machines, role: str) -> Iterator[Process]:
    """Yield the processes with a role and a tile, as all have where there are hardly more machines than tiles."""
    for process in machines.processes.values():
        if role_of(machines.table, process.name) == role and machines.table.roles(process.name).tiles:
            yield process


def losses(tiles: Size, times: Times) -> Loss:
    """Strike each role a few times, and return what that costs."""
    struck = list(product(KINDS, ROLES))
    with ProcessPoolExecutor() as pool:
        return Loss(dict(zip(struck, pool.map(partial(loss_of, tiles, times), struck), strict=True)))


def loss_of(tiles: Size, times: Times, struck: tuple[Kind, str]) -> float:
    """Return the mean seconds of the run that are lost by a failure of a kind that hits a role."""
    (kind, role), apart = struck, APART * times.failure_timeout
    machines, _ = begun(tiles, times)
    failures, lost = Failures(machines, 1.0, apart / 2), 0.0
    for number in range(TIMES_EACH):
        machines.run(machines.time + number * STEP / TIMES_EACH)
        failures.hit([next(victims(machines, role))], kind)
        lost += stood_still(machines, apart)
    return lost / TIMES_EACH


def stood_still(machines: Machines, seconds: float) -> float:
    """Go on for so long, and return how much longer than an ordinary step a replica stood still, on average."""
    ordinary = mean(machines.record.stood[replica] for replica in range(REPLICAS))
    machines.record.restart()
    machines.run(machines.time + seconds)
    lost = mean(machines.record.stood.get(replica, seconds) for replica in range(REPLICAS)) - ordinary
    machines.record.restart()
    machines.run(machines.time + 4 * STEP)
    return lost


def checked(loss: Loss, times: Times) -> str:
    """Hold the formula against a simulation with a failure a minute."""
    machines, pace = begun(SMALL, times)
    chance, failures, lost = random.Random(0), Failures(machines, 1.0, 30.0), 0.0
    began, used = machines.time, machines.table.pool.used
    for _ in range(STRIKES):
        process = chance.choice(list(machines.processes.values()))
        failures.hit([process], chance.choice(KINDS))
        lost += loss.seconds.get((failures.struck[-1].kind, failures.struck[-1].role), 0.0)
        machines.run(machines.time + 60.0)
    seconds, found = machines.time - began, machines.table.pool.used - used
    used = machines.table.pool.used
    machines.run(machines.time + 60.0)
    after = (machines.table.pool.used - used) / 60 / pace
    return (
        f"{STRIKES} failures in {seconds:,.0f} s: goodput {found / pace / seconds:.3f}; stand-stills leave "
        f"{1 - lost / seconds:.3f} by the formula, and the speed at the end is {after:.3f} of that before"
    )


def moved(plan: Plan) -> float:
    """Return the predicted speed with every primary on a machine of others, over that of the plan."""
    return predict(plan, described()[1], Under(1.0, 0.0, 0.0)).goodput.moved


def layouts(loss: Loss, every: int) -> Iterator[str]:
    """Yield what failures leave of each layout of 845 machines, and above which rate it is faster than the one before."""
    before: tuple[float, float] | None = None
    for tiles in GRIDS:
        replicas = SIZES[0] // (tiles.rows * tiles.columns)
        for shards in (replicas, 1):
            plan = laid_out(replicas, tiles, shards, every)
            speed, lost = predict(plan, described()[1]).images_a_second, sum(loss.lost(plan)) / PER_HOURS
            left = "".join(f"{speed / (1 + rate * lost):9,.0f}" for rate in (0, *RATES, 1000))
            rate = None if before is None else overtakes(before, (speed, lost))
            above = "" if rate is None else f"   above {rate:,.0f}"
            yield f"{every:5}{replicas:5} of {tiles!s:>6}{shards:7}{left}{above}"
            before = speed, lost


def overtakes(one: tuple[float, float], other: tuple[float, float]) -> float | None:
    """Return the rate above which the other layout is faster, by speeds and losses at a rate of 1; None: at none."""
    (speed, lost), (speed_of_other, lost_of_other) = one, other
    gains = speed_of_other * lost - speed * lost_of_other
    return max(0.0, (speed - speed_of_other) / gains) if gains > 0 else None


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--layouts", action="store_true")
    parser.add_argument("--svg", type=Path)
    asked = parser.parse_args()
    found: dict[int, Loss] = {}
    curves: dict[tuple[int, int], tuple[float, float]] = {}
    for size in SIZES[:2]:
        times = Times.for_workers(size)
        found[size] = losses(SMALL, times)
        print(
            f"seconds of the run lost by a failure, {REPLICAS} replicas, with the times of {size:,} workers:"
        )
        print(table_of(found[size]), flush=True)
        if asked.check and size == SIZES[0]:
            print(f"at {LARGER} tiles:\n{table_of(losses(LARGER, times))}", flush=True)
            print(checked(found[size], times), flush=True)
    print(
        f"{'workers':>8}{'shards':>8}{'moved':>7}{'rate':>6}{'goodput':>9}   lost by primaries, standbys, tiles"
    )
    for size in SIZES:
        loss, replicas = found[min(size, SIZES[1])], size // TILES
        for shards in (replicas, 1):
            plan = laid_out(replicas, Size(13, 13), shards)
            slower, lost = moved(plan), loss.lost(plan)
            curves[size, shards] = slower, sum(lost) / PER_HOURS
            of = f"{size:8,}{shards:8}{slower:7.3f}"
            shares = ", ".join(f"{each / sum(lost):.0%}" for each in lost)
            for rate in RATES:
                print(f"{of}{rate:6}{slower * loss.goodput(rate, plan):9.3f}   {shares}")
            below = ((slower / level - 1) * PER_HOURS / sum(lost) for level in (0.9, 0.5))
            print(
                f"{of} 0.9 and 0.5: {', '.join(f'{rate:,.0f}' for rate in below)} in 1,000 hours", flush=True
            )
    if asked.svg is not None:
        draw(curves, asked.svg)
    for every in (1, 10) if asked.layouts else ():
        print(
            "images a second of 845 machines: every, layout, shards, at 0, 1, 10, 100, 1,000 failures in 1,000 hours"
        )
        for text in layouts(found[SIZES[0]], every):
            print(text, flush=True)


def draw(curves: dict[tuple[int, int], tuple[float, float]], path: Path) -> None:
    """Draw goodput over the rate of failures: what is left at a rate of 0, and the share lost at a rate of 1."""
    plt.rcParams["svg.hashsalt"] = "lnet"
    figure, axes = plt.subplots(figsize=(7, 4))
    rates = np.logspace(-1, 4, 101)
    for (size, shards), (slower, lost) in curves.items():
        label = f"{size:,} workers, {shards} shard{'s' * (shards > 1)} a tile"
        style = "--" if shards == 1 else "-"
        axes.plot(rates, slower / (1 + rates * lost), style, color=f"C{SIZES.index(size)}", label=label)
    axes.set(xscale="log", ylim=(0, 1), xlabel="failures of a machine in 1,000 hours", ylabel="goodput")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})


def table_of(loss: Loss) -> str:
    return "\n".join(f"  {kind:6}{role:10}{seconds:7.2f}" for (kind, role), seconds in loss.seconds.items())


if __name__ == "__main__":
    main()
