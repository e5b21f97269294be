"""Half a minute of disorder: the run goes on, and loses nothing that two processes held. Five: benchmarks/soak.py."""

import numpy as np
import pytest
from made_events import event, lost
from soaking import soak, unexplained

from lnet.runtime.store.events import RolesChanged, ShardRoles, UpdatesLost


@pytest.mark.slow
def test_a_run_in_disorder_is_stopped_and_resumed(tmp_path):
    soaked = soak(tmp_path / "run", calm=8, seconds=30)
    assert sum(soaked.strikes.values()) > 0
    assert soaked.struck > 0
    assert not soaked.unexplained
    events = soaked.run.events()
    assert events[-1].name == "done"
    losses = [event.loss for event in events if event.name == "step"]
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])


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
