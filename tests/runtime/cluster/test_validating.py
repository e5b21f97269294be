"""Validations by the protocol in virtual time: who makes them, and what becomes of them when workers end."""

import pytest
from disorder import END
from properties import Watch
from simulator import Cluster, spec

from lnet.runtime.cluster.protocol.events import COORDINATOR, DrainRequested, StopRequested


class Slow(Watch):
    """Has a replica that validates take thirty times as long as the others, and does something when that begins.

    `meanwhile`: steps of each slot while somebody validates.
    """

    def __init__(self, then=lambda cluster, pending: None):
        super().__init__()
        self.then, self.orders, self.meanwhile = then, [], {}

    def decided(self, before, after):
        super().decided(before, after)
        pending = after.validation
        busy = after.slots[pending.slot].tiles if pending is not None else ()
        for process in self.cluster.workers():
            process.slowness = 30.0 if process.name in busy else 1.0
        if pending not in (None, before.validation) and pending.stage == "computing":
            self.orders.append((pending.order.step, pending.slot))
            self.cluster.after(1.5, self.then, self.cluster, pending)

    def stepped(self, slot):
        if self.cluster.table.validation is not None:
            self.meanwhile[slot] = self.meanwhile.get(slot, 0) + 1


def of_one_tile(watch, workers=3, **settings):
    """Three replicas of one tile each, on workers that have room for one each."""
    wanted = {"replicas": 3, "tiles": 1, "batches": 24, "workers": workers, "validate_every": 3, **settings}
    return Cluster(3, spec(**wanted), workers, watch, capacity=1)


def strike_once(cluster, pending):
    """End the worker that validates; nobody has room for its tile, so its replica lapses."""
    if pending.order.id == 1:
        name = cluster.table.slots[pending.slot].tiles[0]
        cluster.crash(cluster.processes[name], noticed=True)


@pytest.mark.parametrize("staleness", [None, 0, 4])
def test_another_replica_takes_over(staleness):
    watch = Slow(strike_once)
    cluster = of_one_tile(watch, staleness=staleness)
    assert cluster.run(END), watch.notes[-5:]
    watch.check_end()
    assert [slot for _, slot in watch.orders[:2]] == [0, 1]
    assert watch.orders[0][0] == watch.orders[1][0] == watch.validations[0] == 3


def test_no_step_is_committed_that_one_who_takes_over_is_to_validate():
    """Two replicas are away: the second has done its own part and one of theirs when the first one's go to the others, and
    stands still until these are done.
    """

    def leave(cluster, pending):
        if pending.order.id == 1:
            leaving, next_one = (cluster.table.slots[slot].tiles[0] for slot in (0, 1))
            assert cluster.table.index.safe == (0, 1, 1, 1, 0, 1)
            cluster.tell(cluster.processes[COORDINATOR], DrainRequested, leaving)
            cluster.stop(cluster.processes[next_one], 1.2)

    watch = Slow(leave)
    cluster = of_one_tile(watch, workers=4, replicas=6, batches=48, staleness=0, durability="single")
    assert cluster.run(END), watch.notes[-5:]
    watch.check_end()
    assert [slot for _, slot in watch.orders[:2]] == [0, 1]


def test_other_replicas_go_on():
    watch = Slow()
    assert of_one_tile(watch, batches=60).run(END)
    watch.check_end()
    assert min(watch.meanwhile.get(slot, 0) for slot in (1, 2)) > 5
    assert {slot for _, slot in watch.orders} == {0}


@pytest.mark.parametrize("staleness", [None, 0])
def test_a_validation_that_a_stop_cuts_off_is_made_when_the_run_goes_on(staleness):
    def stop(cluster, pending):
        if pending.order.step == 6 and cluster.runs == 1:
            cluster.tell(cluster.processes[COORDINATOR], StopRequested)

    watch = Slow(stop)
    cluster = of_one_tile(watch, staleness=staleness)
    assert cluster.run(END)
    assert watch.validations == [3]
    assert cluster.table.validation is None
    due = cluster.table.validation_due
    assert due == 6 if staleness == 0 else due >= 6
    cluster.finished = None
    cluster.crash_all()
    assert cluster.run(2 * END), watch.notes[-5:]
    watch.check_end()
    assert watch.validations[:2] == [3, due]
