"""Three faults: the run goes on, and loses nothing that two processes held. Five minutes: benchmarks/soak.py."""

import numpy as np
import pytest
from made_events import event, lost
from soaking import Fault, bound, counted, faults, role_of, soak, unexplained

from lnet.runtime.store.events import ReplicaRoles, RolesChanged, ShardRoles, UpdatesLost


@pytest.mark.slow
def test_a_run_among_faults_is_stopped_and_resumed(tmp_path):
    soaked = soak(tmp_path / "run", calm=8, seconds=50, every=20, asked={"cores": 0.35})
    assert sum(counted(soaked.faults).values()) > 0
    assert soaked.struck > 0
    assert not soaked.unexplained
    events = soaked.run.events()
    assert events[-1].name == "done"
    losses = [event.loss for event in events if event.name == "step"]
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])


ROLES = RolesChanged(
    (ReplicaRoles("computing", ("a", "b", "c"), 1),),
    (ShardRoles("a", "b", True, 1), ShardRoles("b", "d", True, 1)),
    ("a", "b", "c", "d", "e"),
)


def test_the_role_that_was_hit():
    assert [role_of(ROLES, name) for name in "abcde"] == ["primary", "primary", "tile", "standby", "none"]


def test_a_fault_costs_the_time_of_the_replica_that_stood_still_for_longest():
    steps = [(at, 0, at) for at in range(1, 40)] + [(1, 1, 1), (11, 1, 2), (14, 1, 3), (30, 1, 4), (35, 1, 5)]
    strikes = [(10, "kill", "primary"), (20, "stop", "tile")]
    assert list(faults(strikes, steps, 40)) == [Fault("kill", "primary", 6), Fault("stop", "tile", 10)]


def test_a_stopped_worker_may_be_missed_for_as_long_as_it_may_be_silent():
    assert (bound("kill", 4), bound("stop", 4)) == (1.5, 6.0)


def pair(primary, ready):
    return RolesChanged((), (ShardRoles(primary, None, ready, 1),), ())


def lost_worker(primaries=(), standbys=()):
    return lost(primaries=primaries, standbys=standbys)


LOST = event(UpdatesLost, shard=0)


@pytest.mark.parametrize(
    ("events", "count"),
    [
        ([pair("a", True), lost_worker([0]), pair(None, True), LOST], 1),
        ([pair("a", False), lost_worker([0]), pair(None, False), LOST], 0),
        ([pair("a", True), lost_worker([0]), pair(None, True), lost_worker([], [0]), LOST], 0),
        ([pair("a", True), lost_worker([0]), pair("b", False), lost_worker([0]), LOST, LOST], 1),
        ([pair("a", True), lost_worker([], [0]), LOST], 1),
    ],
    ids=["standby", "no standby", "both at once", "one after the other", "only the standby"],
)
def test_which_losses_have_a_reason(events, count):
    assert len(list(unexplained(events))) == count
