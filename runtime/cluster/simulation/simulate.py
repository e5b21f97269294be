"""A plan in virtual time on a described cluster: images a second, staleness, waiting, and what failures leave of it.

without failures   the first fifth of the steps is left out: workers join, standbys are filled
with failures      useful steps, those that are lost left out, over the steps without failures in the same time
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import NamedTuple

from lnet.compiler.cut.cluster_spec import Rates
from lnet.compiler.plan.plan import Plan
from lnet.compiler.predict.explain_time import predict
from lnet.compiler.predict.goodput import PER_HOURS
from lnet.dsl.diagnostics import LnetError, refused
from lnet.runtime.process.counted import reported

from .failures import Failure, Failures
from .machines import Machines

STEPS, PUSHES = 20, 10
"""Steps, and pushes, of each replica that are simulated unless others are asked for."""
FAILURES = 10
"""Failures that are expected unless a time is asked for."""
PATIENCE, PATIENCE_STEPS = 600.0, 50
"""Virtual seconds, and predicted steps, without any step, after which a run is not simulated further."""


@dataclass(frozen=True, slots=True)
class Asked:
    """`steps` of each replica, or `seconds`; None: enough for an answer. `failures` of a machine in 1,000 hours."""

    steps: int | None = None
    seconds: float | None = None
    failures: float = 0.0
    repair: float = 300.0
    seed: int = 0


class Waiting(NamedTuple):
    """Shares of the tiles' time: computing, waiting for other tiles of the replica, and kept by parameters."""

    computing: float
    tiles: float
    parameters: float


@dataclass(frozen=True, slots=True)
class Storm:
    """A run under failures for so many seconds; `longest`: without a step, of the run and of a replica."""

    seconds: float
    struck: tuple[Failure, ...]
    goodput: float
    longest: tuple[float, float]
    lost_updates: int
    rollbacks: int
    lapses: int
    given_up: bool


@dataclass(frozen=True, slots=True)
class Simulated:
    """A run without failures: steps of each replica in how many seconds, ages of updates (None: synchronous), the share of
    bytes that are sent again; `storm`: the same run with failures, if there are any.
    """

    steps: int
    seconds: float
    images_a_second: float
    predicted: float
    ages: Counter[int] | None
    waiting: Waiting
    again: float
    storm: Storm | None = None

    @property
    def step(self) -> float:
        """Seconds of a step of each replica."""
        return self.seconds / self.steps


def simulate(plan: Plan, rates: Rates, asked: Asked) -> Simulated:
    """Run a plan in virtual time; raises `LnetError` for a rate that is unknown, and if no replica makes a step."""
    calm = _calm(plan, rates, asked if not asked.failures else Asked(seed=asked.seed))
    return replace(calm, storm=_storm(plan, rates, asked, calm)) if asked.failures else calm


def _calm(plan: Plan, rates: Rates, asked: Asked) -> Simulated:
    """Return a run without failures."""
    run = _Run(plan, rates, asked.seed)
    steps = asked.steps if asked.steps is not None else run.enough
    first = run.first(steps)
    run.steps_until(first)
    began = run.machines.time
    run.machines.record.restart()
    if asked.seconds is not None:
        run.seconds_until(began + asked.seconds, "seconds")
        steps = max(first + 1, run.done)
    run.steps_until(steps)
    record, training = run.machines.record, plan.graph.training
    seconds = run.reached(steps) - run.reached(first)
    spent = record.busy + record.parted + record.served
    return Simulated(
        steps - first,
        seconds,
        (steps - first) * run.replicas * training.images / seconds,
        predict(plan, rates).images_a_second,
        None if training.staleness == 0 else record.ages,
        Waiting(record.busy / spent, record.parted / spent, record.served / spent),
        record.again / record.sent if record.sent else 0.0,
    )


def _storm(plan: Plan, rates: Rates, asked: Asked, calm: Simulated) -> Storm:
    """Return the same run under failures, which begin when the first steps are over."""
    run = _Run(plan, rates, asked.seed)
    machines, record, training = run.machines, run.machines.record, plan.graph.training
    failures = Failures(machines, asked.failures, asked.repair, asked.seed)
    run.steps_until(run.first(run.enough))
    began, used = machines.time, machines.table.pool.used
    record.restart()
    failures.begin()
    seconds = asked.seconds
    if seconds is None:
        every = PER_HOURS / asked.failures / len(failures.hosts)
        seconds = FAILURES * every if asked.steps is None else asked.steps * calm.step
    run.seconds_until(began + seconds, "seconds")
    useful = machines.table.pool.used - used - record.lost * training.push / run.machines.spec.tiles
    return Storm(
        seconds,
        tuple(failures.struck),
        max(0.0, useful / run.replicas * calm.step / seconds),
        record.longest(machines.time),
        record.lost,
        record.rollbacks,
        record.lapses,
        record.given_up,
    )


class _Run:
    """A run under way, by steps of each replica."""

    def __init__(self, plan: Plan, rates: Rates, seed: int) -> None:
        self.machines, self.replicas = Machines(plan, rates, seed), len(plan.placement.tiles)
        self.training, self.pace = plan.graph.training, predict(plan, rates).time.seconds

    @property
    def enough(self) -> int:
        """Steps that are simulated unless others are asked for."""
        return max(STEPS, PUSHES * self.training.push) + self.training.warmup

    def first(self, steps: int) -> int:
        """Return how many steps are left out before anything is measured: a fifth, in whole pushes."""
        push, warmup = self.training.push, self.training.warmup
        return warmup + max(1, (steps - warmup) // 5 // push) * push

    @property
    def done(self) -> int:
        return int(self.machines.table.pool.used // self.replicas)

    def reached(self, steps: int) -> float:
        return self.machines.record.reached(steps * self.replicas)

    def steps_until(self, steps: int) -> None:
        """Go on until each replica has made so many steps; raises `LnetError` if there are none for long."""
        machines, seen = self.machines, (0.0, -1)
        while self.done < steps:
            reported("steps", self.done, steps)
            machines.run(machines.time + self.pace / 4)
            if machines.table.pool.used != seen[1]:
                seen = machines.time, machines.table.pool.used
            if machines.time - seen[0] > max(PATIENCE, PATIENCE_STEPS * self.pace):
                raise _stands_still(machines.time - seen[0])

    def seconds_until(self, end: float, what: str) -> None:
        machines, began = self.machines, self.machines.time
        while machines.time < end and not machines.record.given_up:
            reported(what, int(machines.time - began), int(end - began))
            machines.run(min(end, machines.time + self.pace / 4))


def _stands_still(seconds: float) -> LnetError:
    return refused(
        "E612",
        f"the simulated run makes no step in {seconds:,.0f} s of its time",
        "roles find no place in the workers' memory, or messages take longer than the protocol waits for them",
        hint="give workers more memory or faster links in the description, or cut the network into more tiles",
    )
