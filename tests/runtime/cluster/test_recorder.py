"""What is logged when a worker is lost, and when its roles are filled again."""

import json
import time

import made_events
import pytest
from made_events import tile

from lnet.compiler.core.codec import Malformed
from lnet.runtime.cluster.actors.roles import changes, roles, short_name, with_short_names
from lnet.runtime.cluster.monitor.recorder import EventRecorder
from lnet.runtime.cluster.monitor.recovery import RecoveryTracker
from lnet.runtime.cluster.protocol.messages import Promoted, TileStatus
from lnet.runtime.cluster.protocol.records import Records
from lnet.runtime.cluster.protocol.spec import Spec
from lnet.runtime.cluster.protocol.table import BatchPool, Member, ServerPair, Slot, Table
from lnet.runtime.cluster.published import Published, UpdateApplied, published, to_publish
from lnet.runtime.store.events import (
    CheckpointWritten,
    MessagesRefused,
    PartLost,
    ProcessEnded,
    Repaired,
    ReplicaRoles,
    RolesChanged,
    ShardRoles,
    StandbyPromoted,
    WorkerLeft,
    WorkerLost,
)
from lnet.runtime.store.log import EventLog
from lnet.runtime.training.progress import Silent

# --- the coordinator's table ---------------------------------------------------------------------------------------

LEFT, RIGHT, OTHER = "tcp://10.0.0.1:1#a", "tcp://10.0.0.1:12#b", "tcp://10.0.0.2:1#c"
ADDRESS = "tcp://10.0.0.1:9"


def member(place, *tiles, drained=False):
    return Member("host", place, 9, tiles=tiles, drained=drained)


def table(**changed):
    """Two replicas of two tiles: `left` computes the first one with `right`, a worker without a name the second."""
    members = {
        LEFT: member("left", TileStatus(0, 0, 1, 7, False)),
        RIGHT: member("right", TileStatus(0, 1, 1, 5, False)),
        OTHER: member("tcp://10.0.0.2:1"),
    }
    slots = (
        Slot((LEFT, RIGHT), generation=1, active=True, low_water=4),
        Slot((OTHER, OTHER), generation=1, active=True),
    )
    shards = (
        ServerPair(term=1, primary=LEFT, standby=RIGHT, ready=True),
        ServerPair(term=2, primary=RIGHT, standby=OTHER),
    )
    spec = Spec("run", replicas=2, tiles=2, batches=100, warmup=10)
    usual = {"pool": BatchPool(fresh=20), "members": members, "begun": True} | changed
    return Table(spec, slots, shards, **usual | {"members": Records(usual["members"])}).indexed()


def without(before, name):
    return {n: m for n, m in before.members.items() if n != name}


def test_roles_by_short_names():
    found = roles(table())
    assert found.replicas[0] == ReplicaRoles("computing", ("left", "right"), 1)
    assert found.replicas[1].workers == ("10.0.0.2:1", "10.0.0.2:1")
    assert found.shards[1] == ShardRoles("right", "10.0.0.2:1", False, 2)
    assert found.workers == ("10.0.0.2:1", "left", "right")


def state(slot, **changed):
    made = table(**changed)
    return roles(made.with_slot(0, slot)).replicas[0].state


def test_states_of_a_replica():
    staffed, vacant = (LEFT, RIGHT), (None, RIGHT)
    assert state(Slot(vacant)) == "waiting"
    assert state(Slot(vacant, generation=1)) == "lapsed"
    assert state(Slot(staffed, generation=1)) == "warming up"
    assert state(Slot(staffed, generation=1), pool=BatchPool(fresh=20, used=10)) == "starting"
    assert state(Slot(staffed, generation=1), pool=BatchPool(fresh=100, used=99)) == "done"
    assert state(Slot(staffed, generation=1), pool=BatchPool(fresh=100, returned=(7,), used=99)) == "starting"
    assert state(Slot(staffed, generation=1), stopping=True) == "done"


def test_a_promoted_standby():
    def then(**shard):
        return before.with_shard(1, ServerPair(**shard))

    before = table()
    lost = then(term=2, missing=RIGHT, standby=OTHER)
    assert [event.name for event in changes(before, lost)] == ["roles"]
    promoted, changed = changes(lost, then(term=3, primary=OTHER, origin=Promoted(1)))
    assert (promoted, changed.name) == (StandbyPromoted(1, "10.0.0.2:1", 3), "roles")
    assert [event.name for event in changes(lost, then(term=3, primary=OTHER))] == ["roles"]


def test_a_lost_worker_and_what_it_played():
    before = table()
    after = table(members=without(before, RIGHT))
    found, changed = changes(before, after)
    assert found == WorkerLost("right", (PartLost(0, (1,), 5),), (1,), (0,))
    assert changed.name == "roles"


def test_a_drained_worker_is_not_lost():
    before = table(members={**table().members, "d": member("spare", drained=True)})
    assert next(changes(before, table())) == WorkerLeft("spare")


def test_nothing_is_told_before_a_run_begins_nor_after_it_ended():
    assert list(changes(table(begun=False, members={}), table(begun=False))) == []
    assert list(changes(table(), table(finished=True, members={}))) == []
    assert list(changes(table(), table())) == []
    assert [event.name for event in changes(table(begun=False), table())] == ["roles"]


def test_short_names_in_a_text():
    text = with_short_names(f"{RIGHT} and {LEFT}", table().members)
    assert text == "right and left"
    assert short_name("tls://a:1#b", None) == "a:1"


# --- recovery -------------------------------------------------------------------------------------------------------


def roles_of(generation=1, primary="left", workers=("left", "right")):
    replicas = (
        ReplicaRoles("computing", workers, generation),
        ReplicaRoles("computing", ("other", "other"), 1),
    )
    return RolesChanged(replicas, (ShardRoles(primary, None, False, 1),) * 2, ())


def step(replica=0, generation=1):
    return made_events.step(1, replica, generation=generation)


def lost(acknowledged=0, primaries=()):
    return made_events.lost(replicas=[PartLost(0, (1,), acknowledged)], primaries=primaries)


def fed(recovery, *timed):
    return [told for at, event in timed for told in recovery.take(event, at) if isinstance(told, Repaired)]


def repaired(replica, still):
    return Repaired("right", replica, still)


def test_a_replica_stands_still_until_its_next_step():
    found = fed(
        RecoveryTracker(),
        (0.0, roles_of()),
        (1.0, step()),
        (2.0, lost()),
        (2.0, roles_of(generation=2)),
        (6.5, step(generation=2)),
        (7.0, step(generation=2)),
    )
    assert found == [repaired(0, 5.5)]


def test_steps_that_were_under_way_repair_nothing():
    found = fed(
        RecoveryTracker(),
        (1.0, step()),
        (2.0, lost()),
        (2.0, roles_of(generation=1, workers=("left", None))),
        (2.5, step(generation=1)),
        (3.0, roles_of(generation=2)),
        (3.5, step(generation=1)),
        (8.0, step(generation=2)),
    )
    assert found == [repaired(0, 4.5)]


def test_the_longest_time_between_two_steps_counts():
    found = fed(
        RecoveryTracker(),
        (1.0, step()),
        (2.0, lost()),
        (2.0, roles_of(generation=2, primary=None)),
        (7.0, step(generation=2)),
        (7.5, roles_of(generation=2)),
        (8.0, step(generation=2)),
    )
    assert found == [repaired(0, 6.0)]


def test_all_replicas_stand_still_for_a_lost_primary():
    found = fed(
        RecoveryTracker(),
        (1.0, step(0)),
        (1.0, step(1)),
        (2.0, lost(primaries=[1])),
        (2.0, roles_of(generation=2, primary=None)),
        (2.5, step(1)),
        (6.0, roles_of(generation=2)),
        (6.5, step(1)),
        (7.0, step(0, generation=2)),
    )
    assert found == [repaired(1, 4.0), repaired(0, 6.0)]


def test_others_go_on_when_only_a_tile_is_lost():
    recovery = RecoveryTracker()
    fed(recovery, (0.0, roles_of()), (1.0, step(1)), (2.0, lost()), (3.0, step(1)))
    assert [outage.replica for outage in recovery.open] == [0]


def test_work_that_is_lost():
    recovery = RecoveryTracker()
    for number in range(6):
        for part in (tile(number=number), tile(number=number, tile=1), tile(number=number, replica=1)):
            recovery.computed_by(part)
    (told,) = recovery.take(lost(acknowledged=4), 1.0)
    assert told.replicas == (PartLost(0, (1,), 4, steps=4, updates=2),)
    (again,) = recovery.take(lost(acknowledged=4), 1.0)
    assert again.replicas[0].steps == 0


# --- the log -------------------------------------------------------------------------------------------------------


class Watching(Silent):
    def __init__(self):
        self.events, self.messages = [], []

    def happened(self, event):
        self.events.append(event.name)

    def said(self, message):
        self.messages.append(message)


def recorder(tmp_path):
    watching = Watching()
    return EventRecorder(EventLog(tmp_path / "events.jsonl"), watching), watching


def logged(tmp_path):
    return [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]


def test_what_is_logged_is_told(tmp_path):
    log, watching = recorder(tmp_path)
    for event in (roles_of(), step(), lost(), roles_of(2), step(generation=2)):
        log.add(event)
    kinds = ["roles", "step", "worker lost", "roles", "step", "repaired"]
    assert [event["event"] for event in logged(tmp_path)] == kinds
    assert watching.events == kinds
    assert watching.messages[0].startswith("replica 0 stood still for ")


def test_ages_add_up_with_every_checkpoint(tmp_path):
    log, watching = recorder(tmp_path)
    for slot, age in ((1, 0), (1, 3), (1, 3)):
        log.heard(UpdateApplied(0, slot, 0, age))
    log.add(CheckpointWritten(1, "a"))
    log.heard(UpdateApplied(0, 0, 0, 3))
    log.add_ages()
    first, last = [event for event in logged(tmp_path) if event["event"] == "ages"]
    assert first["replicas"] == [{}, {"0": 1, "3": 2}]
    assert last["ages"] == {"0": 1, "3": 3}
    assert last["replicas"] == [{"3": 1}, {"0": 1, "3": 2}]
    assert watching.events.count("update") == 4


@pytest.mark.parametrize(("place", "worker"), [("worker-3", "worker-3"), (ADDRESS, "10.0.0.1:9")])
def test_a_worker_goes_by_its_name_not_by_the_address_that_dask_adds(place, worker):
    message = to_publish(MessagesRefused("malformed", 1), place) | {"worker": ADDRESS}
    assert published(message) == Published(MessagesRefused("malformed", 1, worker), place, ADDRESS)


def test_a_worker_that_the_scheduler_names_keeps_its_name():
    event = ProcessEnded("exit 1", "w ended: exit 1", "w")
    assert published(to_publish(event)) == Published(event)


def test_what_no_process_of_a_run_publishes():
    assert published({"event": "of a newer version"}) is None
    for message in ("text", {"worker": ADDRESS}, {"event": "update", "shard": "first"}):
        with pytest.raises(Malformed):
            published(message)


@pytest.mark.parametrize("hours", [1, -1])
def test_how_long_a_replica_stood_still_is_not_counted_by_the_wall_clock(tmp_path, monkeypatch, hours):
    log = EventLog(tmp_path / "events.jsonl")
    recorder = EventRecorder(log, Silent())
    recorder.add(step())
    recorder.add(lost())
    monkeypatch.setattr(time, "time", lambda: time.clock_gettime(time.CLOCK_REALTIME) + 3600 * hours)
    recorder.add(roles_of(generation=2))
    recorder.add(step(generation=2))
    log.close()
    found = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    (repaired,) = [event for event in found if event["event"] == "repaired"]
    assert 0 <= repaired["still"] < 600
