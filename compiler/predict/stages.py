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
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from heapq import heapify, heappop, heappush
from math import inf

from lnet.compiler.cut.cluster_spec import Rates
from lnet.compiler.cut.deal import dealt
from lnet.compiler.cut.decoding import decoding, group_of, processes_of
from lnet.compiler.cut.messages import all_messages
from lnet.compiler.cut.schedule import Programme, schedule
from lnet.compiler.cut.weights import weight_messages
from lnet.compiler.plan.plan import Plan

from .step import Stage

Bytes = Mapping[tuple[int, int], float]
"""Bytes from one to another, both by number: tiles of a replica, or workers."""


def stages_of(plan: Plan, rates: Rates) -> tuple[Stage, ...]:
    """Return the stages of a step; raises `LnetError` for a layer whose rate is unknown."""
    return tuple(_Stages(plan, rates).all())


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
        traffic = _Traffic(plan, rates.copies)
        for homes in plan.placement.tiles:
            traffic.add((homes[by], homes[to], size, 1.0) for (by, to), size in work.between.items())
        return Stage(work.part, traffic.seconds)
    seconds = [0.0] * len(plan.placement.cluster.workers)
    for homes in plan.placement.tiles:
        for home, each in zip(homes, work.seconds, strict=True):
            seconds[home] += each
    return Stage(work.part, tuple(seconds))


def parameters_stage(plan: Plan, rates: Rates) -> Stage:
    """Return the stage that depends on `fetch` and `push`."""
    return Stage("parameters", _Stages(plan, rates).parameters())


@dataclass(frozen=True)
class _Stages:
    plan: Plan
    rates: Rates

    def all(self) -> Iterator[Stage]:
        for work in self.work():
            yield placed(work, self.plan, self.rates)
        yield Stage("parameters", self.parameters())

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

    # --- parameters ---

    def parameters(self) -> tuple[float, ...]:
        """Return each worker's seconds for updates, and for the parameters and gradients of a step on the way."""
        plan, training = self.plan, self.plan.graph.training
        replicas = len(plan.placement.tiles)
        pushes = 1 / training.push
        updates = pushes if training.staleness == 0 else pushes * replicas
        if training.staleness == 0 and training.clip is not None:
            updates *= 2  # measuring a step goes over all gradients once more
        own_steps = 1 - 1 / training.fetch
        seconds, traffic = [0.0] * len(plan.workers), _Traffic(plan, inf)
        sizes = [size for cost in plan.costs for size in cost.shards]
        for shard, (server, size) in enumerate(zip(plan.placement.servers, sizes, strict=True)):
            update, standby = size / training.value_bytes / self.rates.updates, self._standbys[shard]
            for home in (server, standby):
                if home is not None:
                    seconds[home] += update * updates
            if standby is not None:
                traffic.add([(server, standby, size, pushes * replicas)])
            for homes in plan.placement.tiles:
                home = homes[shard // plan.partition.shards_per_tile]
                seconds[home] += update * own_steps
                traffic.add([(server, home, size, 1 / training.fetch), (home, server, size, pushes)])
        return tuple(a + b for a, b in zip(seconds, traffic.seconds, strict=True))

    @cached_property
    def _standbys(self) -> tuple[int | None, ...]:
        """The worker of each shard's standby, as the coordinator chooses: on another host, with the fewest servers."""
        workers, primaries = self.plan.placement.cluster.workers, self.plan.placement.servers
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


@dataclass
class _Traffic:
    """The messages between workers in an exchange, whose bytes are copied at a rate."""

    plan: Plan
    copies: float
    sent: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    received: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    left: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    entered: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, messages: Iterable[tuple[int, int, float, float]]) -> None:
        """Add messages: sender, receiver, bytes, how often in a step; those inside a worker are free."""
        cluster = self.plan.placement.cluster
        for sender, receiver, size, times in messages:
            if sender == receiver:
                continue
            here, there = cluster.workers[sender].host, cluster.workers[receiver].host
            link = cluster.link(here, there)
            seconds = times * (link.seconds(size) + size / self.copies)
            self.sent[sender] += seconds
            self.received[receiver] += seconds
            if here != there:
                self.left[here] += times * size / link.bandwidth
                self.entered[there] += times * size / link.bandwidth

    @property
    def seconds(self) -> tuple[float, ...]:
        """The seconds of each worker: its own messages, or those of its host if they take longer."""
        return tuple(
            max(self.sent[i], self.received[i], self.left[worker.host], self.entered[worker.host])
            if i in self.sent or i in self.received
            else 0.0
            for i, worker in enumerate(self.plan.placement.cluster.workers)
        )
