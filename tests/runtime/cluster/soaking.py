"""A run that is really struck, every few seconds, by what a seed draws; and what it got done all the same.

    compiling | calm          | disorder                                       | stop
    ----------|---------------|--x----x---x------x----x---x---x----x-----x-----|-- checkpoint --> resumed to its end
                steps a second  useful steps a second, longest stand-still

Strikes: SIGKILL, SIGTERM, SIGSTOP and later SIGCONT, draining, a worker that joins late. Nannies start a new process for
each that ended; a worker that joined late stays away. Never is the last worker struck: that may end the run.
"""

import os
import signal
import time
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from threading import Event, Thread, Timer

from processes import cluster, control, images, plan_of, started_by_hand

import lnet
from lnet.runtime.store.events import RolesChanged
from lnet.runtime.training.progress import Silent

WARM = 40
"""Steps after which everything is compiled."""


@dataclass(frozen=True)
class Soaked:
    """`calm`, `struck`: steps a second before and in disorder; `lost`: acknowledged updates that are gone, all that
    `unexplained` says of a shard that had a standby; `still`: the longest time without a step."""

    strikes: Counter
    calm: float
    struck: float
    still: float
    lost: int
    unexplained: tuple[str, ...]
    run: lnet.Run

    @property
    def goodput(self):
        return self.struck / self.calm


def soak(directory, calm, seconds, seed=0, staleness="none", workers=3):
    """Train in disorder for `seconds` after `calm` ones, stop, and go on in one process for a few steps more."""
    plan = plan_of(workers=4, steps=10**7, replicas=2, staleness=staleness)
    with cluster(workers) as client, ExitStack() as late:
        disorder = Disorder(client, lambda name: late.enter_context(started_by_hand(client, name)), seed)
        thread = Thread(target=disorder.go, args=(calm, seconds))
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

    def __init__(self, client, start, seed):
        self.client, self.start, self.random = client, start, Random(seed)
        self.roles = RolesChanged((), (), ())
        self.stopped, self.late, self.over = {}, {}, Event()
        self.times, self.marks, self.strikes, self.events = [], [], Counter(), []
        self.lost = 0

    # --- as a reporter ---------------------------------------------------------------------------------------------

    def stepped(self, step, objectives, images_per_second):
        self.times.append((time.monotonic(), step))

    def happened(self, event):
        self.events.append(event)
        if event.name == "roles":
            self.roles = event
        elif event.name == "lost":
            self.lost += event.updates
        elif event.name == "drained":
            self._signal(event.worker, signal.SIGTERM)

    # --- in its own thread -----------------------------------------------------------------------------------------

    def go(self, calm, seconds):
        """Strike while the run lasts, and stop it, whatever happens here."""
        try:
            self._strike_after(calm, seconds)
        finally:
            for name in list(self.stopped):
                self._wake(name)
            if not self.over.is_set():
                control(self.client, "stop")

    def _strike_after(self, calm, seconds):
        while not self.times or self.times[-1][1] < WARM:
            if self.over.wait(0.1):
                return
        self._mark()
        self.over.wait(calm)
        self._mark()
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.over.wait(self.random.uniform(2, 6)):
            self._strike()
        self._mark()

    def _mark(self):
        self.marks.append((time.monotonic(), self.times[-1][1] - self.lost))

    def _strike(self):
        """Three times of four only when all shards have a standby: else nothing would be learned but what is lost."""
        whole = all(shard.ready for shard in self.roles.shards)
        victims = [name for name in self.roles.workers if name not in self.stopped]
        if len(victims) < 2 or not (whole or self.random.random() < 0.25):
            return
        blow = self.random.choice(
            [self._kill, self._kill, self._terminate, self._stop, self._drain, self._join]
        )
        if blow(self.random.choice(sorted(victims))):
            self.strikes[blow.__name__.removeprefix("_")] += 1

    def _kill(self, name):
        return self._signal(name, signal.SIGKILL)

    def _terminate(self, name):
        return self._signal(name, signal.SIGTERM)

    def _stop(self, name):
        """For less time than a worker may be silent, or for more."""
        if not self._signal(name, signal.SIGSTOP):
            return False
        self.stopped[name] = Timer(self.random.uniform(0.5, 12), self._wake, (name,))
        self.stopped[name].start()
        return True

    def _wake(self, name):
        if timer := self.stopped.pop(name, None):
            timer.cancel()
            self._signal(name, signal.SIGCONT)

    def _drain(self, name):
        return control(self.client, "drain", name)

    def _join(self, name):
        """A worker more, unless one that came so is still there."""
        if any(process.poll() is None for process in self.late.values()):
            return False
        name = f"late-{len(self.late)}"
        self.late[name] = self.start(name)
        return True

    def _signal(self, name, number):
        """Send a signal to the process that a worker has now; return whether it has one."""
        process = self.late.get(name) or self.client.cluster.workers[name].process
        with suppress(
            AttributeError, TypeError, ProcessLookupError
        ):  # its nanny has not started a new one yet
            os.kill(process.pid, number)
            return True
        return False

    # --- afterwards ------------------------------------------------------------------------------------------------

    def soaked(self, run):
        (began, first), (struck, second), (ended, third) = self.marks
        times = [struck, *(at for at, _ in self.times if struck < at < ended), ended]
        return Soaked(
            self.strikes,
            calm=(second - first) / (struck - began),
            struck=(third - second) / (ended - struck),
            still=max(after - before for before, after in pairwise(times)),
            lost=self.lost,
            unexplained=tuple(unexplained(self.events)),
            run=run,
        )


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
