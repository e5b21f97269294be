"""What failures leave of a run on many machines: python benchmarks/goodput.py [--check] [--layouts]

    goodput = worn / (1 + rate x sum over roles of n(role) x C(role))

n machines have a role; C: seconds of the run that are lost while replicas stand still; worn: the speed that is left once
primaries have moved to their standbys, since roles stay there. C is measured by striking machines in the simulator
(lnet.runtime.cluster.simulation): 5 replicas of 1x2 tiles and spares, with the times (heartbeat, lease, silence) of the
large run, and rates scaled so that a step takes as long as there. A lost primary or standby stops everybody, a lost tile its
own replica: that part is divided by the replicas. Half of the failures are processes that end, half machines that fall
silent. worn is what is predicted with every primary on a worker that had none. `--check`: the formula against a simulation
with a failure a minute, and C at 2x2 tiles. `--layouts`: what layouts of 845 machines make of failures.
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

import lnet
from lnet.compiler.core.shapes import Size
from lnet.compiler.cut.cluster_spec import ClusterSpec, Link, Rates, read_cluster_spec, read_rates
from lnet.compiler.pipeline import Layout, lay_out
from lnet.compiler.plan.plan import Plan
from lnet.compiler.predict.explain_time import predict
from lnet.runtime.cluster.protocol.spec import Times
from lnet.runtime.cluster.simulation.failures import KINDS, PER_HOURS, Failures, Kind, role_of
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
GRIDS = (Size(13, 13), Size(9, 9), Size(6, 7), Size(4, 5), Size(3, 4))


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

    def lost(self, role: str, tiles: int, replicas: int) -> float:
        """Return the seconds lost by a failure of each machine whose first role this is."""
        return tiles * (replicas - 2 if role == "tile" else 1) * self.of(role, replicas)

    def goodput(self, rate: float, tiles: int, replicas: int) -> float:
        """Return the goodput, worn aside, of so many tiles and replicas failing so often in 1,000 hours."""
        lost = sum(self.lost(role, tiles, replicas) for role in ROLES)
        return 1 / (1 + rate / PER_HOURS * lost)


@cache
def described() -> tuple[ClusterSpec, Rates]:
    return read_cluster_spec(HERE / "scale.toml"), read_rates(HERE / "scale.toml")


def laid_out(workers: int, replicas: int, tiles: Size, every: int = 1) -> Plan:
    whole = lnet.compile(
        HERE.parent / "examples/catface/model.lnet",
        replicas=1,
        set={"train.fetch": str(every), "train.push": str(every)},
    )
    cluster = replace(described()[0], workers=described()[0].workers[:workers])
    cut, placement = lay_out(whole.graph, Layout(None, replicas, tiles, cluster))
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
    workers = REPLICAS * tiles.rows * tiles.columns + SPARES
    machines = Machines(*scaled(laid_out(workers, REPLICAS, tiles), STEP), seed, times)
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
    worn = (machines.table.pool.used - used) / 60 / pace
    return (
        f"{STRIKES} failures in {seconds:,.0f} s: goodput {found / pace / seconds:.3f}; stand-stills leave "
        f"{1 - lost / seconds:.3f} by the formula, and the speed at the end is {worn:.3f} of that before"
    )


def worn(plan: Plan) -> float:
    """Return the predicted speed with every primary on a worker that had none, over that of the plan."""
    placement, rates = plan.placement, described()[1]
    others = sorted({home for homes in placement.tiles for home in homes} - {*placement.servers})
    moved = replace(placement, servers=tuple(others[: len(placement.servers)]))
    fresh = predict(plan, rates).images_a_second
    return predict(replace(plan, placement=moved), rates).images_a_second / fresh


def rate_of(loss: Loss, goodput: float, tiles: int, replicas: int) -> float:
    """Return the failures of a machine in 1,000 hours at which the goodput is so low."""
    return (1 / goodput - 1) / (1 / loss.goodput(1.0, tiles, replicas) - 1)


def layouts(loss: Loss, every: int) -> Iterator[str]:
    """Yield what failures leave of each layout of 845 machines, and above which rate one with fewer tiles is faster."""
    before: tuple[float, float] | None = None
    for tiles in GRIDS:
        count = tiles.rows * tiles.columns
        replicas = SIZES[0] // count
        speed = predict(laid_out(replicas * count, replicas, tiles, every), described()[1]).images_a_second
        lost = sum(loss.lost(role, count, replicas) for role in ROLES) / PER_HOURS
        left = "".join(f"{speed / (1 + rate * lost):9,.0f}" for rate in (0, *RATES, 1000))
        rate = None if before is None else overtakes(before, (speed, lost))
        yield f"{every:5}{replicas:5} of {tiles!s:>6}{left}" + (
            "" if rate is None else f"   above {rate:,.0f}"
        )
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
    asked = parser.parse_args()
    found = {}
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
    print(f"{'workers':>8}{'worn':>7}{'rate':>6}{'goodput':>9}   lost by primaries, standbys, tiles")
    for size in SIZES:
        loss, replicas = found[min(size, SIZES[1])], size // TILES
        slower = worn(laid_out(replicas * TILES, replicas, Size(13, 13)))
        for rate in RATES:
            lost = [loss.lost(role, TILES, replicas) for role in ROLES]
            shares = ", ".join(f"{each / sum(lost):.0%}" for each in lost)
            left = loss.goodput(rate, TILES, replicas)
            print(f"{size:8,}{slower:7.3f}{rate:6}{slower * left:9.3f}   {shares}")
        below = (rate_of(loss, level / slower, TILES, replicas) for level in (0.9, 0.5))
        print(
            f"{size:8,} at 0.9 and at 0.5: {', '.join(f'{rate:,.0f}' for rate in below)} in 1,000 hours",
            flush=True,
        )
    for every in (1, 10) if asked.layouts else ():
        print(
            "images a second of 845 machines: every, layout, at 0, 1, 10, 100, 1,000 failures in 1,000 hours"
        )
        for text in layouts(found[SIZES[0]], every):
            print(text, flush=True)


def table_of(loss: Loss) -> str:
    return "\n".join(f"  {kind:6}{role:10}{seconds:7.2f}" for (kind, role), seconds in loss.seconds.items())


if __name__ == "__main__":
    main()
