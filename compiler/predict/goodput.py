"""What failures leave of a predicted speed: `lnetc explain --time --failures R`, `lnetc compile --best N --failures R`.

    goodput = moved x staffed / (1 + rate x sum over machines of the seconds that a failure of it costs)

    moved      speed once primaries are on other machines than their tiles, where a failure leaves them
    staffed    speed while failed machines are missing: without a spare, a worker computes two tiles
    seconds    that replicas stand still, until the nanny or silence says that a process has ended

docs/scale.md holds it against the simulator, which strikes machines.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from functools import cached_property
from math import exp
from statistics import mean

from lnet.compiler.cut.cluster_spec import Rates
from lnet.compiler.plan.plan import Plan
from lnet.compiler.settings import Training

from .stages import TileStage, Work, standbys
from .step import StepTime

PER_HOURS = 1000 * 3600.0
"""Seconds in which a rate counts the failures of a machine."""
CONFIRMED = 0.6
"""Seconds until others have the roles of a process that is seen to end, as simulated (docs/scale.md)."""


@dataclass(frozen=True, slots=True)
class Failures:
    """Failures of machines: half of them processes that end and are seen to end, half machines that fall silent.

    `rate`: of each machine in 1,000 hours; `repair`: seconds until what failed is back; `silence`: seconds after which a
    silent worker counts as lost.
    """

    rate: float
    repair: float
    silence: float


@dataclass(frozen=True, slots=True)
class Goodput:
    """Shares of a speed that failures leave; `standing`: after the time in which replicas stand still."""

    moved: float
    staffed: float
    standing: float

    @property
    def share(self) -> float:
        """The share that all of them leave together."""
        return self.moved * self.staffed * self.standing


UNDISTURBED = Goodput(1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Struck:
    """A plan whose machines fail; `tiles`: the stages of its tiles."""

    plan: Plan
    rates: Rates
    failures: Failures
    tiles: tuple[TileStage, ...]

    def goodput(self, training: Training, time: StepTime) -> Goodput:
        """Return what is left of the speed in a long run, for a step trained like this, which takes this time."""
        if not self.failures.rate:
            return UNDISTURBED
        alone = _held_up_by_one(training, len(self.plan.placement.tiles))
        moved = time.seconds / self._moved.time(training).seconds
        doubled = 0.0 if self._doubled is None else time.seconds / self._doubled.time(training).seconds
        slowed = self._slowed(min(1.0, alone * (1 if self.plan.partition.count > 1 else 2)))
        return Goodput(moved, 1 - slowed * (1 - doubled), 1 / (1 + self.per_second * self.seconds(alone)))

    @cached_property
    def hosts(self) -> tuple[tuple[int, ...], ...]:
        """The workers of each machine."""
        found = defaultdict[str, list[int]](list)
        for number, worker in enumerate(self.plan.placement.cluster.workers):
            found[worker.host].append(number)
        return tuple(map(tuple, found.values()))

    @property
    def per_second(self) -> float:
        """How often any machine fails."""
        return self.failures.rate / PER_HOURS * len(self.hosts)

    # --- standing still ---

    def seconds(self, alone: float) -> float:
        """Return the seconds of the whole run that a failure costs on average while replicas stand still."""
        return mean(
            (self._ended(workers, alone) + self._silent(workers, alone)) / 2 for workers in self.hosts
        )

    def _ended(self, workers: tuple[int, ...], alone: float) -> float:
        """One of a machine's processes ends: a shard waits for its primary's successor, a replica for its tile's."""
        return CONFIRMED * mean(
            1.0 if one in self._primaries else self._part((one,), alone) for one in workers
        )

    def _silent(self, workers: tuple[int, ...], alone: float) -> float:
        """All of a machine's processes fall silent: a primary waits for its standby to acknowledge, too."""
        all_stop = any(worker in self._servers for worker in workers)
        return self.failures.silence * (1.0 if all_stop else self._part(workers, alone))

    def _part(self, workers: tuple[int, ...], alone: float) -> float:
        """Return the part of all replicas that stands still without some workers' tiles."""
        return min(1.0, alone * sum(self._replicas[worker] for worker in workers))

    @cached_property
    def _primaries(self) -> frozenset[int]:
        """The workers that have primaries."""
        return frozenset(self.plan.placement.servers)

    @cached_property
    def _servers(self) -> Counter[int | None]:
        """How many primaries and standbys each worker has."""
        return Counter([*self.plan.placement.servers, *standbys(self.plan)])

    @cached_property
    def _replicas(self) -> Counter[int]:
        """Of how many replicas each worker has tiles."""
        return Counter(home for homes in self.plan.placement.tiles for home in {*homes})

    # --- slower steps ---

    @cached_property
    def _moved(self) -> Work:
        """The work once every primary is on a machine of others: those without one first."""
        placement = self.plan.placement
        servers = placement.servers
        others = sorted({*self._replicas} - self._primaries)
        moved = (*others, *servers[1:], servers[0])[: len(servers)]
        return self._work(replace(self.plan, placement=replace(placement, servers=moved)))

    @cached_property
    def _doubled(self) -> Work | None:
        """The work of a worker that computes another tile besides its own, of its replica if it has others; None: nobody."""
        placement = self.plan.placement
        first, *others = placement.tiles
        left = first[1:] or tuple(homes[0] for homes in others)
        if not left:
            return None
        tiles = ((min(left, key=self._servers.__getitem__), *first[1:]), *others)
        return self._work(replace(self.plan, placement=replace(placement, tiles=tiles)))

    def _work(self, plan: Plan) -> Work:
        return Work.of(plan, self.rates, self.tiles)

    def _slowed(self, part: float) -> float:
        """Return the share of the replicas that are slowed down, where each worker beyond the spares slows `part` down."""
        size = (1 + mean(map(len, self.hosts))) / 2  # workers that a failure takes
        spares = (len(self.plan.placement.cluster.workers) - len(self._replicas)) / size
        missing = size * _beyond(spares, self.per_second * self.failures.repair)
        return 1 - exp(-part * missing)


def _held_up_by_one(training: Training, replicas: int) -> float:
    """Return the part of all replicas that one holds up: those with a bound of staleness wait for each other."""
    return 1.0 if training.staleness is not None else 1 / replicas


def _beyond(spares: float, expected: float) -> float:
    """Return by how many those that are missing exceed the spares on average, if their number is Poisson's."""
    if expected > 700:  # exp(-expected) is no longer a number, and the spares hardly count
        return max(0.0, expected - spares)
    left, chance = expected - spares, exp(-expected)
    for number in range(int(spares) + 1):
        left += (spares - number) * chance
        chance *= expected / (number + 1)
    return max(0.0, left)
