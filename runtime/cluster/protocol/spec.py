"""What a run of the protocol is asked to do: fixed before it starts, the same for everybody in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import gcd
from typing import Literal, TypeVar

Durability = Literal["standby", "single"]
Name = TypeVar("Name", str, str | None)


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds, each by the clock of whoever counts them, which never jumps, and goes on while its machine sleeps.

    `drift` bounds how much faster or slower any clock runs than true time; leases are safe as long as it holds.
    Raises ValueError for a `link_timeout` that short pauses of a worker could fill.
    """

    heartbeat_interval: float = 0.25
    failure_timeout: float = 1.5  # without a heartbeat, after which a worker counts as lost
    lease: float = 1.0  # how long a primary may answer after the heartbeat that granted its lease
    retry: float = 0.5  # before a message that was not answered is sent again
    grace_period: float = 10.0  # for the lost worker of a shard's only copy to come back
    link_timeout: float = 3.0  # without an acknowledgement, after which a peer counts as unreachable
    suspicion: float = (
        30.0  # for which roles keep off a suspected link; twice as long each time that it comes back
    )
    drift: float = 0.02
    relief: float = 60.0  # between two moves of tiles from slow workers
    no_progress_timeout: float = 60.0  # of processes that end and no finished step, before a run is given up

    def __post_init__(self) -> None:
        if self.link_timeout < 3 * self.max_heartbeat_gap:
            raise ValueError(
                "a worker that stands still twice in a row would be taken for one that is cut off"
            )

    @staticmethod
    def for_workers(workers: int) -> Times:
        """Return those of a run: the coordinator hears all workers in turn, the more there are, the less often.

        A lease is seconds long since a process of Python can stand still for as long: while it imports or compiles.
        """
        beat = min(2.0, max(0.5, workers / 1000))
        lease = max(4.0, 4 * beat)
        timeout = lease + 2 * beat
        return Times(
            heartbeat_interval=beat,
            failure_timeout=timeout,
            lease=lease,
            retry=3.0,
            grace_period=max(20.0, 3 * timeout),
            link_timeout=max(3.0, 6 * beat),
        )

    def in_words(self) -> str:
        """Return the line of `lnetc explain` about them."""
        return (
            f"on a cluster, a heartbeat every {self.heartbeat_interval:.3g} s and leases of {self.lease:.3g} s: a worker "
            f"that is silent for {self.failure_timeout:.3g} s is lost, one that does not come back in "
            f"{self.grace_period:.3g} s is given up"
        )

    @property
    def max_heartbeat_gap(self) -> float:
        """The longest time between two heartbeats of a worker that is heard all the time."""
        return 2 * self.heartbeat_interval

    @property
    def until_expired(self) -> float:
        """By the coordinator's clock: when a lease granted now has surely expired by its holder's."""
        return self.lease * (1 + self.drift) / (1 - self.drift)


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes of memory that the plan counts for a tile, and for the primary or standby of its largest shard."""

    tile: int
    server: int


@dataclass(frozen=True)
class Spec:
    """A run: `run` is its token, carried by every message; raises ValueError for what could never go on.

    The parameters of each tile are in `shards_per_tile` shards: tile t's are those from t * shards_per_tile on. A replica
    computes steps; every `push` steps make one update. `batches` counts what all replicas compute together;
    synchronous, every step takes one batch for each replica slot.
    """

    run: str
    replicas: int
    tiles: int
    batches: int
    shards_per_tile: int = 1
    workers: int = 1  # that must have joined before roles are given out
    staleness: int | None = None
    fetch: int = 1
    push: int = 1
    warmup: int = 0  # batches that one replica computes before the others start
    durability: Durability = "standby"
    block: int = 4  # updates that a replica holds leases for
    window: int = 2  # updates of a tile that may be under way
    checkpoint: int = 0  # batches between two checkpoints; 0: only at the end and when asked
    validate_every: int = 0  # steps of each replica between two validations; 0: nothing is validated
    validated: int = 0  # the step whose parameters were validated last before the run goes on
    validations: int = 0  # numbers of attempts to validate that are taken
    prefer: tuple[tuple[int, int, str], ...] = ()  # replica slot, tile, the place that the plan gives it
    needs: tuple[Need, ...] = ()  # by tile; none: memory is not asked about
    partners: tuple[tuple[int, ...], ...] = ()  # by tile: those that it exchanges with; none: all others
    norms: int = (
        0  # squared norms in which a shard says how large a synchronous step is, 0: it is not clipped
    )
    work: tuple[int, ...] = ()  # planned for each tile in a step, by any measure; none: all have the same
    times: Times = field(default_factory=Times)

    def __post_init__(self) -> None:
        counts = (self.replicas, self.tiles, self.shards_per_tile, self.workers)
        if min(*counts, self.fetch, self.push, self.block, self.window) < 1:
            raise ValueError(
                "replicas, tiles, shards, workers, fetch, push, block and window must be positive"
            )
        if self.synchronous and (self.fetch, self.push) != (1, 1):
            raise ValueError("a synchronous run fetches and pushes in every step")
        if self.norms and not self.synchronous:
            raise ValueError("only the steps of a synchronous run are clipped by its shards")
        if self.synchronous and self.batches % self.replicas:
            raise ValueError("a synchronous run takes a whole number of steps of all replicas")
        if self.staleness is not None and self.staleness < self.least_staleness:
            raise ValueError(
                f"with fetch = {self.fetch} and push = {self.push} replicas would wait for each other for ever "
                f"below staleness = {self.least_staleness}, found {self.staleness}"
            )

    @cached_property
    def places(self) -> Mapping[tuple[int, int], str]:
        """The place that the plan gives each tile of each slot."""
        return {(slot, tile): place for slot, tile, place in self.prefer}

    def partners_of(self, tile: int, workers: Sequence[Name]) -> tuple[Name, ...]:
        """Return the workers of the tiles that a tile exchanges with, of the workers of all tiles of its replica."""
        if not self.partners:
            return tuple(workers)
        return tuple(workers[other] for other in self.partners[tile])

    @property
    def shards(self) -> int:
        return self.tiles * self.shards_per_tile

    def shards_of(self, tile: int) -> range:
        """Return the shards that a tile's parameters are in."""
        return range(tile * self.shards_per_tile, (tile + 1) * self.shards_per_tile)

    def tile_of(self, shard: int) -> int:
        return shard // self.shards_per_tile

    @property
    def synchronous(self) -> bool:
        return self.staleness == 0

    @property
    def steps(self) -> int:
        """Steps of each replica, on average where replicas are not synchronous."""
        return self.batches // self.replicas

    @property
    def least_staleness(self) -> int:
        """Steps that the slowest replica has computed at a fetch without having pushed them, and those until the next.

        A fetch falls on steps t = 0 (mod fetch), of which t mod push are not pushed yet: at most push - gcd of both.
        """
        return self.fetch - 1 + self.push - gcd(self.fetch, self.push)

    def updates_needed(self, step: int) -> int:
        """Return how many updates of each live replica must be applied before a fetch for `step` is answered.

        What is fetched for step t is used until step u, the last one before the next fetch. There, all steps of the
        others up to u - 1 - staleness must be in.
        """
        if self.staleness is None:
            return 0
        last = (step // self.fetch + 1) * self.fetch - 1
        return max(0, -((self.staleness - last) // self.push))


@dataclass(frozen=True, slots=True)
class Rules:
    """What makes the protocol safe, and lets it go on past links that are cut.

    No setting reaches this: tests switch one off to see the properties fail.
    """

    fence: bool = True  # refuse what carries another term or generation, or comes after the lease
    dedupe: bool = True  # apply no update twice
    standby_ack: bool = True  # acknowledge only what the standby has
    exact_renewal: bool = True  # renew leases only where just this desired state is obeyed
    based: bool = True  # take nothing from a difference to what never came
    hear_both: bool = True  # suspect a link only while both of its ends are heard
    part_tiles: bool = True  # move tiles off a suspected link
    part_servers: bool = True  # move primaries and standbys off a suspected link
    back_off: bool = True  # suspect a link for longer each time that it comes back
    relieve: bool = True  # move tiles from slow workers
    rest: bool = True  # leave them alone for a while then
