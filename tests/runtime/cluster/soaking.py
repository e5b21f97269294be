"""A run whose workers are really killed and stopped, each with a share of the processor of its own.

    compiling | calm          | one fault after the other                      | stop
    ----------|---------------|------x-----------x-----------x-----------x-----|-- checkpoint --> resumed to its end
                steps a second  useful steps a second, time without a step after each fault

Kinds by turns: SIGKILL, and SIGSTOP for 12 to 16 s. Which worker is hit is drawn by a seed. A fault comes when all shards
have their standby again. Nannies start a new process for one that was killed; it gets the share of its place, so that the
dead lend nothing to the living.
"""

import os
import signal
import time
from collections import Counter
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from threading import Event, Thread, Timer

from processes import cluster, control, images, plan_of
from shares import Shares, may_share

import lnet
from lnet.runtime.cluster.protocol.spec import Times
from lnet.runtime.store.events import RolesChanged
from lnet.runtime.training.progress import Silent

WARM = 20
"""Steps of each replica after which everything is compiled."""
STOPPED = 12.0, 16.0
"""Seconds for which a worker stands still: more than it may be silent."""
PROMOTED = 1.5
"""Seconds until a standby takes over when a nanny has seen its primary's process end."""
HEAD = 0.4
"""The share of scheduler, nannies and command, in which new processes start; twice that, as workers have, until all is
compiled."""
KINDS = ("kill", "stop")


@dataclass(frozen=True)
class Fault:
    """What was done to a worker with which role; `still`: the longest time without a step of a replica from then on, until
    the next fault."""

    kind: str
    role: str
    still: float


@dataclass(frozen=True)
class Soaked:
    """`calm`, `struck`: useful steps a second before and among faults; `lost`: acknowledged updates that are gone, all that
    `unexplained` says of a shard that had a standby; `shared`: whether workers had shares of their own."""

    faults: tuple[Fault, ...]
    calm: float
    struck: float
    lost: int
    unexplained: tuple[str, ...]
    shared: bool
    run: lnet.Run

    @property
    def goodput(self):
        return self.struck / self.calm


def bound(kind, workers):
    """The longest time that a fault may cost those that wait for what was hit, in seconds."""
    times = Times.for_workers(workers)
    return PROMOTED if kind == "kill" else times.failure_timeout + 1


def soak(directory, calm, seconds, every=30.0, kinds=KINDS, seed=0, staleness="none", asked=None):
    """Train in calm, then among faults, stop, and go on in one process for a few steps more.

    `asked`: workers, replicas, tiles and `cores`, the share of each worker; None: all that others leave.
    """
    asked = {"workers": 4, "replicas": 2, "tiles": None, "cores": None, **(asked or {})}
    cores, workers = asked.pop("cores"), asked["workers"]
    plan = plan_of(steps=10**7, staleness=staleness, **asked)
    with ExitStack() as stack:
        shared = cores is not None and may_share()
        shares = stack.enter_context(closing(Shares())) if shared else None
        if shared:
            shares.give(os.getpid(), 2 * HEAD)
        client = stack.enter_context(cluster(workers))
        disorder = Disorder(client, Random(seed), kinds, every, shares, cores)
        thread = Thread(target=disorder.go, args=(calm, seconds, WARM * plan.graph.training.replicas))
        thread.start()
        try:
            with suppress(lnet.Interrupted):
                lnet.train(plan, images(), directory=directory, client=client, reporter=disorder)
        finally:
            disorder.over.set()
            thread.join()
    reached = max(lnet.open_run(directory).checkpoints.files())
    return disorder.soaked(lnet.resume(directory, images(), steps=reached + 5))


class Disorder(Silent):
    """Follows a run as its reporter, and strikes its workers in a thread of its own."""

    def __init__(self, client, random, kinds, every, shares, cores):
        self.client, self.random, self.kinds, self.every = client, random, kinds, every
        self.shares, self.cores, self.share, self.over = shares, cores, 2 * (cores or 0), Event()
        self.roles, self.stopped, self.pids = RolesChanged((), (), ()), {}, {}
        self.steps, self.marks, self.strikes, self.events = [], [], [], []
        self.lost = 0

    # --- as a reporter ---------------------------------------------------------------------------------------------

    def happened(self, event):
        self.events.append(event)
        if event.name == "roles":
            self.roles = event
        elif event.name == "step":
            self.steps.append((time.monotonic(), event.replica, event.step))
        elif event.name == "lost":
            self.lost += event.updates

    # --- in its own thread -----------------------------------------------------------------------------------------

    def go(self, calm, seconds, warm):
        """Strike while the run lasts, and stop it, whatever happens here."""
        try:
            self._strike_after(calm, seconds, warm)
        finally:
            for name in list(self.stopped):
                self._wake(name)
            if not self.over.is_set():
                control(self.client, "stop")

    def _strike_after(self, calm, seconds, warm):
        while not self.steps or self.steps[-1][2] < warm:
            self._wait(0.2)
            if self.over.is_set():
                return
        if self.shares is not None:
            self.share = self.cores
            self.pids.clear()
            self.shares.give(os.getpid(), HEAD)
        self._wait(2.0)
        self._mark()
        self._wait(calm)
        self._mark()
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.over.is_set():
            self._strike()
            self._wait(min(self.every, end - time.monotonic()))
        self._mark()

    def _wait(self, seconds):
        """Wait, and give a new process the share of its place as soon as it is there."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self.over.wait(0.1):
            for name in self.client.cluster.workers if self.shares is not None else ():
                pid = self._pid(name)
                if pid is not None and self.pids.get(name) != pid:
                    with suppress(OSError):  # it has ended
                        self.shares.give(pid, self.share)
                        self.pids[name] = pid

    def _mark(self):
        self.marks.append((time.monotonic(), self.steps[-1][2] - self.lost))

    def _strike(self):
        """Wait until all shards have a standby, as else nothing would be learned but what is lost, and hit a worker."""
        while not (self.roles.shards and all(shard.ready for shard in self.roles.shards)):
            self._wait(0.1)
            if self.over.is_set():
                return
        name = self.random.choice(sorted(set(self.roles.workers) - set(self.stopped)))
        kind = self.kinds[len(self.strikes) % len(self.kinds)]
        role = role_of(self.roles, name)
        if self._signal(name, signal.SIGKILL if kind == "kill" else signal.SIGSTOP):
            self.strikes.append((time.monotonic(), kind, role))
            if kind == "stop":
                self.stopped[name] = Timer(self.random.uniform(*STOPPED), self._wake, (name,))
                self.stopped[name].start()

    def _wake(self, name):
        if timer := self.stopped.pop(name, None):
            timer.cancel()
            self._signal(name, signal.SIGCONT)

    def _pid(self, name):
        with suppress(AttributeError, TypeError, KeyError):  # its nanny has not started a new one yet
            return self.client.cluster.workers[name].process.pid
        return None

    def _signal(self, name, number):
        """Send a signal to the process that a worker has now; return whether it has one."""
        pid = self._pid(name)
        with suppress(ProcessLookupError, TypeError):
            os.kill(pid, number)
            return True
        return False

    # --- afterwards ------------------------------------------------------------------------------------------------

    def soaked(self, run):
        (began, first), (struck, second), (ended, third) = self.marks
        return Soaked(
            tuple(faults(self.strikes, self.steps, ended)),
            calm=(second - first) / (struck - began),
            struck=(third - second) / (ended - struck),
            lost=self.lost,
            unexplained=tuple(unexplained(self.events)),
            shared=self.shares is not None,
            run=run,
        )


def role_of(roles, name):
    """The role of a worker that others wait for most."""
    if any(shard.primary == name for shard in roles.shards):
        return "primary"
    if any(shard.standby == name for shard in roles.shards):
        return "standby"
    return "tile" if any(name in replica.workers for replica in roles.replicas) else "none"


def faults(strikes, steps, ended):
    """Yield each strike with the longest time that a replica then stood still; `steps`: times, replicas and numbers."""
    ends = [*(at for at, *_ in strikes[1:]), ended]
    for (at, kind, role), until in zip(strikes, ends, strict=True):
        still = 0.0
        for replica in {replica for _, replica, _ in steps}:
            times = [at, *(t for t, of, _ in steps if of == replica and at < t < until), until]
            still = max(still, *(after - before for before, after in pairwise(times)))
        yield Fault(kind, role, still)


def counted(faults):
    """Return the numbers of faults by kind and role."""
    return Counter((fault.kind, fault.role) for fault in faults)


def unexplained(events):
    """Yield the losses of shards that had a copy left: which had a standby, and lost not both before it took over."""
    ready, widowed, exposed = set(), set(), set()
    for event in events:
        match event.name:
            case "roles":
                shards = list(enumerate(event.shards))
                ready = {index for index, shard in shards if shard.ready}
                widowed -= {index for index, shard in shards if shard.primary is not None}
            case "worker lost":
                exposed |= (set(event.primaries) - ready) | (set(event.standbys) & widowed)
                widowed |= set(event.primaries)
            case "lost" | "rollback" if event.shard not in exposed:
                yield f"{event.name} of shard {event.shard} in spite of its standby"
            case "lost" | "rollback":
                exposed.discard(event.shard)
