"""Links between workers that are cut while both ends reach the coordinator, and what must hold meanwhile."""

from collections import Counter, defaultdict
from dataclasses import replace
from itertools import pairwise

from properties import Watch
from simulator import Cluster, Network, spec

from lnet.runtime.cluster.protocol.spec import Rules, Times

TIMES = Times(heartbeat_interval=0.5, failure_timeout=6.0, lease=4.0, retry=3.0, grace_period=20.0)
"""Those of a run."""
BOUND = 10.0
"""Seconds in which each replica must make a step, whatever links are cut."""
MOVES = 3
"""How often a role may move for the sake of links."""
SLOWLY = (4,)
"""Times the usual, for which each tile computes: a replica that steps seldom shows as much, in less time of the tests."""
WAYS = ("both", "one", "narrow", "closed")
"""What happens to a link: it swallows all, or all one way, or what is heavy, or refuses."""
KINDS = ("tile and tile", "tile and primary", "primary and standby")
"""Whose link it is."""


def grid(rows, columns):
    """By tile of a grid: those beside it, also across corners."""
    places = [(row, column) for row in range(rows) for column in range(columns)]
    return tuple(
        tuple(other for other, (y, x) in enumerate(places) if max(abs(y - row), abs(x - column)) == 1)
        for row, column in places
    )


class Parting(Watch):
    """Notes when replicas step and which roles move; `suspected`: links that the coordinator has ever suspected."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.steps, self.moves, self.suspected, self.since = defaultdict(list), Counter(), set(), 0.0

    def stepped(self, slot):
        self.steps[slot].append(self.cluster.time)

    def decided(self, before, after):
        super().decided(before, after)
        if after.suspicions is not before.suspicions:
            self.suspected |= set(after.suspicions)
        if self.cluster.time >= self.since:
            self.moves.update(role for role, old, new in _changes(before, after) if old not in (new, None))

    def check_steps(self, since, until):
        """All replicas step within the bound, all the time."""
        for slot in range(self.cluster.spec.replicas):
            times = [since, *(time for time in self.steps[slot] if since <= time <= until), until]
            gap, begun = max((b - a, a) for a, b in pairwise(times))
            assert gap <= BOUND, f"replica {slot} stood still for {gap:.1f} s from {begun:.1f} s on"

    def check_moves(self):
        moved = {role: count for role, count in self.moves.items() if count > MOVES}
        assert not moved, f"roles moved too often: {moved}"

    def check_suspicions(self, links):
        """No other link is suspected than those that are cut."""
        false = self.suspected - {tuple(sorted(link)) for link in links}
        assert not false, f"suspected without a reason: {sorted(false)}"


def _changes(before, after):
    """Yield the roles that may have changed hands between two tables, each with its workers then and now."""
    for s, (old, new) in enumerate(zip(before.slots, after.slots, strict=True)):
        if old.tiles is not new.tiles:
            yield from zip(((s, t) for t in range(len(new.tiles))), old.tiles, new.tiles, strict=True)
    if before.shards is not after.shards:
        for i, (old, new) in enumerate(zip(before.shards, after.shards, strict=True)):
            yield ("primary", i), old.primary, new.primary
            yield ("standby", i), old.standby, new.standby


def parted(
    seed, links=1, workers=None, until=75.0, rules=None, way=None, kinds=(), slowly=SLOWLY, **settings
):
    """Cut some links of a run at a time when it has settled, and check what must hold; return the watch and the links.

    `kinds`: of each of these so many links are cut, else so many of any kind.
    """
    watch = Parting()
    settings = {"replicas": 2, "tiles": 2, "batches": 10**6, "times": TIMES, **settings}
    settings.setdefault("shards_per_tile", 1 + seed // len(WAYS) % 2)
    tiles = settings["replicas"] * settings["tiles"]
    workers = workers or max(3, tiles + links * max(1, len(kinds)))
    settings = {"workers": workers, **settings}
    cluster = Cluster(
        seed,
        spec(**settings),
        workers,
        watch,
        rules or Rules(),
        Network(),
        capacity=tiles,
        work=slowly * settings["tiles"],
    )
    cluster.run(10.0)
    cut = cut_links(cluster, links, way or WAYS[seed % len(WAYS)], kinds)
    watch.since = cluster.time
    watch.struck["cut of a pair"] += len(cut)
    cluster.run(until)
    watch.check_steps(10.0, until)
    watch.check_moves()
    watch.check_suspicions(cut)
    return watch, cut


def cut_links(cluster, count, way, kinds=()):
    """Cut links between workers: so many of each kind, or so many in all, most of them where roles need them."""
    random, network = cluster.random, cluster.network
    chosen = {
        link for kind in kinds for link in random.sample(sorted(links_of(cluster.table, kind)), count)
    } or _any_links(cluster, count)
    for a, b in sorted(chosen):
        one = [random.choice([(a, b), (b, a)])]
        match way:
            case "both":
                network.cut |= {(a, b), (b, a)}
            case "one":
                network.cut |= set(one)
            case "narrow":
                network.narrow |= set(one)
            case "closed":
                network.closed |= {(a, b), (b, a)}
    return chosen


def _any_links(cluster, count):
    random, needed = cluster.random, sorted(needed_links(cluster.table))
    names = [process.name for process in cluster.workers()]
    every = [(a, b) for a in names for b in names if a < b]
    chosen = set()
    while len(chosen) < min(count, len(every)):
        left = [link for link in needed if link not in chosen]
        chosen.add(random.choice(left if left and random.random() < 0.8 else every))
    return chosen


def needed_links(table):
    """The links that roles need."""
    return {link for kind in KINDS for link in links_of(table, kind)}


def links_of(table, kind):
    """The links of tiles that exchange, of a tile and its primaries, or of a primary and its standby."""
    placed = [(slot.tiles, tile, name) for slot in table.slots for tile, name in enumerate(slot.tiles)]
    match kind:
        case "tile and tile":
            links = [
                (name, other) for tiles, tile, name in placed for other in table.spec.partners_of(tile, tiles)
            ]
        case "tile and primary":
            links = [(name, other) for _, tile, name in placed for other in table.primaries_of(tile)]
        case "primary and standby":
            links = [(shard.primary, shard.standby) for shard in table.shards]
    return {tuple(sorted(link)) for link in links if None not in link and link[0] != link[1]}


def halted(seed, rules=None, **settings):
    """Stop a worker for less than it takes to count as lost, with no link cut: none is suspected."""
    watch = Parting()
    settings = {"replicas": 2, "tiles": 2, "batches": 10**6, "times": TIMES, "workers": 4, **settings}
    cluster = Cluster(
        seed, spec(**settings), 4, watch, rules or Rules(), Network(), capacity=4, work=2 * SLOWLY
    )
    cluster.run(10.0)
    victim = cluster.random.choice(cluster.workers())
    victim.wakes = cluster.time + cluster.random.uniform(3.2, 5.8)
    cluster.run(20.0)
    watch.check_suspicions(())
    return watch


def tried(seed, rules=None, until=90.0, most=5):
    """Cut a link for good to which roles go back as soon as they may: it is tried again, ever more seldom.

    All three workers have to reach each other if each is to compute one of the three tiles.
    """
    watch = Parting()
    eager = replace(TIMES, grace_period=1.0, suspicion=4.0)
    settings = {"replicas": 1, "tiles": 3, "batches": 10**6, "times": eager, "workers": 3}
    cluster = Cluster(
        seed, spec(**settings), 3, watch, rules or Rules(), Network(), capacity=4, work=3 * SLOWLY
    )
    cluster.run(10.0)
    a, b, _ = cluster.table.slots[0].tiles
    cluster.network.cut |= {(a, b), (b, a)}
    cluster.run(until)
    trials = sum("do not reach each other" in what for _, what in watch.notes)
    assert trials > 1, "it was never tried again"
    assert trials <= most, f"the link was tried {trials} times"
    watch.check_steps(10.0, until)
    return watch
