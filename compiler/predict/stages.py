"""Plan x Rates -> the stages of a step: which seconds of which worker come from where.

    images > broadcast > phase 0 > halos of 0 > phase 1 > ... > gradients of halos > reduce > parameters > overhead

A layer's share of a tile takes its multiply-adds, recomputed halos included, over the rate of its kind. A worker sends its
messages of an exchange one after the other, each `latency + bytes / bandwidth`, with `bytes / copies` for halos, and
receives others meanwhile; workers of one host share its links to other hosts. Replicas go at the pace of the slowest. For
every update, a primary and its standby change their parameters once; replicas on other workers fetch and push over the
links, and a primary forwards gradients to its standby.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from heapq import heapify, heappop, heappush
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnet.compiler.cut.cluster_spec import Rates
from lnet.compiler.cut.deal import dealt
from lnet.compiler.cut.decoding import decoding, group_of, processes_of
from lnet.compiler.cut.messages import all_messages
from lnet.compiler.cut.schedule import Programme, schedule
from lnet.compiler.cut.weights import weight_messages
from lnet.compiler.plan.plan import Plan
from lnet.compiler.settings import Training

from .step import Stage, StepTime, step_time

_Numbers = NDArray[np.intp]
_Seconds = NDArray[np.floating[Any]]
Bytes = Mapping[tuple[int, int], float]
"""Bytes from one to another, both by number: tiles of a replica, or workers."""


@dataclass(frozen=True, slots=True)
class TileStage:
    """What the tiles of every replica do in a stage, wherever they are: the seconds of each, or bytes between two."""

    part: str
    seconds: tuple[float, ...] = ()
    between: Bytes = field(default_factory=dict)


def tile_stages(plan: Plan, rates: Rates) -> tuple[TileStage, ...]:
    """Return the stages of a step but for parameters; raises `LnetError` for a layer whose rate is unknown."""
    return tuple(_Stages(plan, rates).work())


def placed(work: TileStage, plan: Plan, rates: Rates) -> Stage:
    """Return the stage that the tiles' work makes where a plan places them."""
    if not work.seconds:
        traffic = _Traffic(_Links(plan))
        ways, sizes = np.array([*work.between], int).reshape(-1, 2), np.array([*work.between.values()])
        for replica in np.array(plan.placement.tiles):
            traffic.add(replica[ways[:, 0]], replica[ways[:, 1]], sizes, 1 / rates.copies)
        return Stage(work.part, tuple(traffic.seconds.tolist()))
    seconds = [0.0] * len(plan.placement.cluster.workers)
    for homes in plan.placement.tiles:
        for home, each in zip(homes, work.seconds, strict=True):
            seconds[home] += each
    return Stage(work.part, tuple(seconds))


@dataclass(frozen=True)
class Work:
    """What the workers of a plan do in a step, however often they fetch and push: the stages, and that of parameters."""

    stages: tuple[Stage, ...]
    parameters: ParameterWork

    @staticmethod
    def of(plan: Plan, rates: Rates, tiles: tuple[TileStage, ...] | None = None) -> Work:
        """Return the work of a plan; raises `LnetError` for a layer whose rate is unknown.

        `tiles`: the stages of a plan with the same network and tiles, which are then not computed again.
        """
        tiles = tile_stages(plan, rates) if tiles is None else tiles
        return Work(tuple(placed(work, plan, rates) for work in tiles), ParameterWork.of(plan, rates))

    def time(self, training: Training) -> StepTime:
        """Return the time of a step that is trained like this."""
        return step_time([*self.stages, self.parameters.stage(training)])


@dataclass(frozen=True)
class _Stages:
    plan: Plan
    rates: Rates

    def work(self) -> Iterator[TileStage]:
        yield TileStage("images", tuple(count / self.rates.images for count in self._decoded()))
        for exchange in self._weights:
            yield TileStage("halos", between=exchange)
        for number in range(len(self.programmes[0].phases)):
            kernels = tuple(self._kernels(programme, number) for programme in self.programmes)
            yield TileStage("kernels", kernels)
        for exchange in self._halos:
            yield TileStage("halos", between=exchange)
        yield TileStage("overhead", (self.rates.overhead,) * self.plan.partition.count)

    def _decoded(self) -> list[int]:
        """Return how many images of a step each tile decodes: its share, where a group of tiles does that together."""
        plan = self.plan
        images, tiles = plan.graph.training.images, plan.partition.count
        if not decoding(plan.graph, plan.partition, processes_of(plan.placement)).shared:
            return [images] * tiles
        return [-(-images // len(group_of(tile, tiles))) for tile in range(tiles)]

    @cached_property
    def programmes(self) -> tuple[Programme, ...]:
        plan = self.plan
        return tuple(schedule(plan.graph, plan.partition, tile) for tile in range(plan.partition.count))

    def _kernels(self, programme: Programme, number: int) -> float:
        """Return the seconds of a tile's phase, forward and with its gradients.

        The parts of a layer that is dealt out over the tiles have its name first, and its rate: `top sums`.
        """
        graph = self.plan.graph
        return graph.training.step_rows * sum(
            share.op.multiply_adds() / self.rates.layer(graph.layer(share.layer.partition(" ")[0]).op.kind)
            for share in programme.phases[number].shares
            if share.layer != graph.input.path
        )

    # --- exchanges between tiles ---

    @cached_property
    def _weights(self) -> tuple[Bytes, ...]:
        """The bytes of shared weights, broadcast before a step, and of their gradients after it."""
        training, broadcast = self.plan.graph.training, defaultdict[tuple[int, int], float](float)
        for message in weight_messages(self.plan.graph, self.plan.partition):
            size = message.values * training.value_bytes * training.accumulate
            broadcast[message.sender, message.receiver] += size
        return broadcast, {(to, by): size for (by, to), size in broadcast.items()}

    @cached_property
    def _halos(self) -> tuple[Bytes, ...]:
        """The bytes between tiles after each phase, forward and back."""
        made_in, training = dict(self.programmes[0].made_in), self.plan.graph.training
        graph = dealt(self.plan.graph, self.plan.partition.tiles)
        found: dict[tuple[int, bool], dict[tuple[int, int], float]] = {}
        for message in all_messages(self.plan.graph, self.plan.partition):
            exchange = found.setdefault(
                (made_in[message.layer], message.kind == "backward"), defaultdict(float)
            )
            size = message.values * graph.value_bytes(message.layer) * training.accumulate
            exchange[message.sender, message.receiver] += size
        return tuple(found.values())


# --- parameters ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ParameterWork:
    """Seconds of each worker, and messages, for all parameters once.

    `updates`: of primaries and standbys for an update; `own`: of tiles for an update of their own copies.
    """

    replicas: int
    updates: _Seconds
    own: _Seconds
    fetched: _Traffic
    pushed: _Traffic
    logged: _Traffic

    @staticmethod
    def of(plan: Plan, rates: Rates) -> ParameterWork:
        """Return the work of a plan's parameters."""
        links = _Links(plan)
        updates, own = np.zeros(len(links.hosts)), np.zeros(len(links.hosts))
        fetched, pushed, logged = _Traffic(links), _Traffic(links), _Traffic(links)
        sizes = np.array([cost.shards for cost in plan.costs], float)  # of the shards of each tile
        update = sizes / plan.graph.training.value_bytes / rates.updates
        primaries = np.array(plan.placement.servers)
        np.add.at(updates, primaries, update.ravel())
        copied = np.array([-1 if standby is None else standby for standby in standbys(plan)])
        kept = copied >= 0
        np.add.at(updates, copied[kept], update.ravel()[kept])
        logged.add(primaries[kept], copied[kept], sizes.ravel()[kept])
        homes = np.array(plan.placement.tiles)  # [replica, tile]
        # one value for each index: numpy's 'at' reads beyond values that it would have to broadcast
        np.add.at(own, homes.ravel(), np.tile(update.sum(1), len(homes)))
        servers, tiles, all_sizes = np.broadcast_arrays(
            primaries.reshape(sizes.shape), homes[..., None], sizes
        )
        fetched.add(servers.ravel(), tiles.ravel(), all_sizes.ravel())
        pushed.add(tiles.ravel(), servers.ravel(), all_sizes.ravel())
        return ParameterWork(len(homes), updates, own, fetched, pushed, logged)

    def stage(self, training: Training) -> Stage:
        """Return each worker's seconds for updates, and for the parameters and gradients of a step on the way."""
        pushes, fetches = 1 / training.push, 1 / training.fetch
        updates = pushes if training.staleness == 0 else pushes * self.replicas
        if training.staleness == 0 and training.clip is not None:
            updates *= 2  # measuring a step goes over all gradients once more
        sent = _Traffic(self.fetched.links)
        sent.add_times(self.fetched, fetches)
        sent.add_times(self.pushed, pushes)
        sent.add_times(self.logged, pushes * self.replicas)
        seconds = self.updates * updates + self.own * (1 - fetches) + sent.seconds
        return Stage("parameters", tuple(seconds.tolist()))


def standbys(plan: Plan) -> tuple[int | None, ...]:
    """Return the worker of each shard's standby, as the coordinator chooses: on another host, with the fewest servers."""
    workers, primaries = plan.placement.cluster.workers, plan.placement.servers
    servers, found = Counter(primaries), list[int | None]()
    ranking = [(servers[i], i) for i in range(len(workers))]
    heapify(ranking)
    for primary in primaries:
        beside = []
        while ranking and workers[ranking[0][1]].host == workers[primary].host:
            beside.append(heappop(ranking))
        others = [each for each in beside if each[1] != primary]
        chosen = heappop(ranking) if ranking else min(others, default=None)
        found.append(None if chosen is None else chosen[1])
        for each in beside:
            heappush(ranking, each if each != chosen else (each[0] + 1, each[1]))
        if chosen is not None and chosen not in beside:
            heappush(ranking, (chosen[0] + 1, chosen[1]))
    return tuple(found)


class _Links:
    """The links of a plan's cluster: what lies between two workers, by number, of many pairs at once."""

    def __init__(self, plan: Plan) -> None:
        cluster = plan.placement.cluster
        self.within, self.between = cluster.within, cluster.between
        numbers: dict[str, int] = {}
        self.hosts = np.array([numbers.setdefault(worker.host, len(numbers)) for worker in cluster.workers])
        used = ((a, b, link) for a, b, link in cluster.pairs if a in numbers and b in numbers)
        self.pairs = [(numbers[a], numbers[b], link) for a, b, link in used]

    def of(self, here: _Numbers, there: _Numbers) -> tuple[_Seconds, _Seconds]:
        """Return the seconds before the first byte, and those of a byte, between pairs of hosts."""
        near = here == there
        waits = np.where(near, self.within.latency, self.between.latency)
        of_byte = np.where(near, 1 / self.within.bandwidth, 1 / self.between.bandwidth)
        for a, b, link in reversed(self.pairs):
            is_it = ((here == a) & (there == b)) | ((here == b) & (there == a))
            waits[is_it], of_byte[is_it] = link.latency, 1 / link.bandwidth
        return waits, of_byte


class _Traffic:
    """The messages between workers in an exchange: seconds by worker, and seconds of links by host."""

    def __init__(self, links: _Links) -> None:
        workers, hosts = len(links.hosts), int(links.hosts.max()) + 1
        self.links = links
        self.sent, self.received = np.zeros(workers), np.zeros(workers)
        self.left, self.entered = np.zeros(hosts), np.zeros(hosts)
        self.busy = np.zeros(workers, bool)

    def add(self, senders: _Numbers, receivers: _Numbers, sizes: _Seconds, of_byte: float = 0.0) -> None:
        """Add messages and their bytes, of which each is copied in so many seconds; those inside a worker are free."""
        apart = senders != receivers
        senders, receivers, sizes = senders[apart], receivers[apart], sizes[apart]
        here, there = self.links.hosts[senders], self.links.hosts[receivers]
        waits, on_link = self.links.of(here, there)
        seconds = waits + sizes * on_link + sizes * of_byte
        np.add.at(self.sent, senders, seconds)
        np.add.at(self.received, receivers, seconds)
        away = here != there
        np.add.at(self.left, here[away], (sizes * on_link)[away])
        np.add.at(self.entered, there[away], (sizes * on_link)[away])
        self.busy[senders] = self.busy[receivers] = True

    def add_times(self, other: _Traffic, times: float) -> None:
        """Add another exchange, so many times a step."""
        self.sent += times * other.sent
        self.received += times * other.received
        self.left += times * other.left
        self.entered += times * other.entered
        self.busy |= other.busy

    @property
    def seconds(self) -> _Seconds:
        """The seconds of each worker: its own messages, or those of its host if they take longer."""
        hosts = self.links.hosts
        most = np.max([self.sent, self.received, self.left[hosts], self.entered[hosts]], axis=0)
        return np.where(self.busy, most, 0.0)
