"""Faults by a seed: what goes wrong, when, and that it ceases."""

from fake_numerics import undisturbed_steps
from properties import Watch
from simulator import Cluster, Network, spec

from lnet.runtime.cluster.protocol import events as on
from lnet.runtime.cluster.protocol.spec import Rules

CALM, END = 5.0, 90.0


class Disorder:
    """Faults for one cluster until `CALM`. `one_at_a_time`: the next one waits until the last one is repaired."""

    def __init__(self, cluster, faults, one_at_a_time, whole_cluster=False, kinds=()):
        self.cluster, self.random = cluster, cluster.random
        self.one_at_a_time = one_at_a_time
        self.kinds = [
            self.crash,
            self.crash,
            self.stop,
            self.stop,
            self.cut,
            self.exchange,
            self.drain,
            self.stand_still,
            self.disk,
            self.ask,
        ]
        if kinds:
            self.kinds = [getattr(self, kind) for kind in kinds]
        if whole_cluster:
            self.kinds += [self.commit, self.everything]
        self.struck = cluster.watch.struck
        for _ in range(faults):
            cluster.after(self.random.uniform(0.5, CALM), self.strike, self.random.choice(self.kinds))
        cluster.after(CALM, self.cease)

    def strike(self, kind):
        cluster = self.cluster
        if self.one_at_a_time and not self.repaired():
            if cluster.time < 4 * CALM:
                cluster.after(0.2, self.strike, kind)
            return
        workers = cluster.workers()
        if workers:
            self.struck[kind.__name__] += 1
            kind(self.random.choice(workers))

    def repaired(self):
        table = self.cluster.table
        process = self.cluster.processes[on.COORDINATOR]
        fresh = process.clock(self.cluster.time) - 2.5 * table.spec.times.heartbeat_interval
        heard = all(contact.heard > fresh for contact in table.contacts.values())
        awake = all(max(p.freeze, p.wakes - self.cluster.time) <= 0 for p in self.cluster.processes.values())
        there = {shard.primary for shard in table.shards} | {shard.standby for shard in table.shards}
        whole = there <= set(self.cluster.processes) and all(shard.ready for shard in table.shards)
        exposed = table.spec.durability == "single" and any(
            shard.retiring or (shard.primary in table.members and table.members[shard.primary].draining)
            for shard in table.shards
        )
        return not exposed and heard and awake and whole and not self.cluster.network.cut

    def cease(self):
        network = self.cluster.network
        network.loss = network.twice = network.late = 0.0

    # --- kinds of faults -----------------------------------------------------------------------------------------

    def crash(self, victim):
        index = int(victim.host.removeprefix("host"))
        self.cluster.crash(victim, noticed=self.random.random() < 0.5)
        self.cluster.after(self.random.uniform(0.2, 2.0), self.come_back, index, self.cluster.runs)

    def come_back(self, index, run):
        if run == self.cluster.runs:
            self.cluster.join(index)

    def stop(self, victim):
        """SIGSTOP, half of the time between a decision and what follows from it."""
        self.cluster.stop(victim, self.random.uniform(0.3, 3.5))

    def sleep(self, victim):
        """Its machine is suspended; at times the coordinator's."""
        head = self.cluster.processes[on.COORDINATOR]
        seconds = 0.1 * 600 ** self.random.random()
        self.cluster.stop(head if self.random.random() < 0.2 else victim, seconds, asleep=True)

    def stand_still(self, victim):
        self.stop(self.cluster.processes[on.COORDINATOR])

    def cut(self, victim):
        """A connection that works one way only."""
        names = [name for name in self.cluster.processes if name != victim.name]
        ways = [(victim.name, name) for name in names] + [(name, victim.name) for name in names]
        some = {way for way in ways if self.random.random() < 0.5}
        self.cluster.network.cut |= some
        self.cluster.after(self.random.uniform(0.3, 3.0), self.mend, some)

    def mend(self, ways):
        self.cluster.network.cut -= ways

    def exchange(self, victim):
        for tile in victim.state.tiles.values():
            self.cluster.tell(victim, on.PeerLost, tile.role)
            return

    def drain(self, victim):
        """Let a worker leave, unless nobody would be left: a run of which all are to leave waits for others."""
        members = self.cluster.table.members
        if not any(not member.draining for name, member in members.items() if name != victim.name):
            return
        self.cluster.tell(self.cluster.processes[on.COORDINATOR], on.DrainRequested, victim.name)
        index, run = int(victim.host.removeprefix("host")), self.cluster.runs
        self.cluster.after(0.5, self.leave, victim, index, run)

    def leave(self, victim, index, run):
        """A drained worker ends when it is told that it may."""
        if not victim.alive or run != self.cluster.runs:
            return
        if victim.name not in self.cluster.watch.drained:
            self.cluster.after(0.5, self.leave, victim, index, run)
            return
        self.cluster.crash(victim, noticed=True)
        self.come_back(index, run)

    def disk(self, victim):
        self.cluster.disk_full = True
        self.cluster.after(1.0, setattr, self.cluster, "disk_full", False)

    def ask(self, victim):
        self.cluster.tell(self.cluster.processes[on.COORDINATOR], on.CheckpointRequested)

    def commit(self, victim):
        """The coordinator dies at its next commit, before or after the rename."""
        self.cluster.crash_at_commit = self.random.choice(["before", "after"])

    def everything(self, victim):
        self.cluster.crash_all()


def settings_of(seed):
    """Return the settings that a seed stands for: every eighth bit pattern of them comes soon."""
    bits = [seed >> shift & 1 for shift in range(2, 10)]
    settings = {
        "staleness": (None, 0, 1, 4)[seed % 4],
        "norms": 2 if seed % 8 == 5 else 0,
        "tiles": 1 + bits[0],
        "shards_per_tile": 1 + (seed % 3 == 1),
        "replicas": 2 + bits[1],
        "checkpoint": 5 * bits[2],
        "validate_every": 2 * (seed % 5 in (0, 2)),
        "durability": "single" if bits[4] else "standby",
        "warmup": 3 * bits[5],
        "window": 1 + bits[6],
    }
    return settings | ({"fetch": 2, "push": 2} if seed % 4 in (0, 3) and bits[3] else {})


def disturbed(seed, rules=None, looks_at_standby=True, **settings):
    """Run one seed to its end and check all properties; return the watch and the shards' final states.

    Of three seeds, one has its faults one at a time; of five others, one loses the coordinator as well.
    """
    one_at_a_time = seed % 3 == 0
    watch = Watch(not one_at_a_time, looks_at_standby)
    network = Network(loss=0.03, twice=0.05, late=0.04)
    settings = {"workers": 3, **settings_of(seed), **settings}
    cluster = Cluster(seed, spec(**settings), 4, watch, rules or Rules(), network)
    Disorder(cluster, 4, one_at_a_time, whole_cluster=seed % 5 == 0 and not one_at_a_time)
    cluster.run(END)
    return watch, watch.check_end()


def slept(seed, counts_sleep=True, **settings):
    """Run one seed in which machines sleep for 0.1 to 60 s, and processes end; check all properties."""
    watch = Watch()
    settings = {"workers": 3, **settings_of(seed), **settings}
    network = Network(loss=0.03, twice=0.05, late=0.04)
    cluster = Cluster(seed, spec(**settings), 4, watch, Rules(), network, counts_sleep=counts_sleep)
    Disorder(cluster, 5, one_at_a_time=False, kinds=("sleep", "sleep", "sleep", "crash"))
    cluster.run(END + 60)
    return watch, watch.check_end()


def drained(seed, rules=None):
    """Run one seed in which workers are drained while three messages in ten get lost; check all properties."""
    watch = Watch()
    settings = {"workers": 3, **settings_of(seed), "durability": "standby"}
    network = Network(loss=0.3, twice=0.05, late=0.1)
    cluster = Cluster(seed, spec(**settings), 4, watch, rules or Rules(), network)
    Disorder(cluster, 5, one_at_a_time=False, kinds=("drain",))
    cluster.run(END)
    return watch, watch.check_end()


def among_a_hundred(seed, rules=None):
    """Run one seed of four replicas of twelve tiles on a hundred workers, with twenty faults; check all properties."""
    watch = Watch()
    settings = settings_of(seed) | {
        "tiles": 12,
        "replicas": 4,
        "batches": 40,
        "workers": 100,
        "checkpoint": 10,
    }
    network = Network(loss=0.03, twice=0.05, late=0.04)
    cluster = Cluster(seed, spec(**settings), 100, watch, rules or Rules(), network, capacity=1)
    Disorder(cluster, 20, one_at_a_time=False)
    cluster.run(END)
    return watch, watch.check_end()


def undisturbed(spec):
    """Return the fold of the shards of a synchronous run that nothing disturbed."""
    return undisturbed_steps(spec.replicas, spec.steps, spec.shards, spec.norms)
