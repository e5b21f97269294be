"""One situation at a time: what the roles do when this happens, without any disorder besides."""

from collections import Counter
from dataclasses import replace

import pytest
from fake_numerics import undisturbed_steps
from properties import Watch
from simulator import TIMES, Cluster, spec

from lnet.runtime.cluster.protocol import events as on
from lnet.runtime.cluster.protocol import follower as follow
from lnet.runtime.cluster.protocol import instructions as do
from lnet.runtime.cluster.protocol import lead, worker
from lnet.runtime.cluster.protocol.changes import difference
from lnet.runtime.cluster.protocol.deaths import Cause
from lnet.runtime.cluster.protocol.follower import Follower
from lnet.runtime.cluster.protocol.ledger import Ledger
from lnet.runtime.cluster.protocol.manifest import Manifest, SlotRecord
from lnet.runtime.cluster.protocol.messages import (
    AppendAck,
    AppendEntries,
    InstallSnapshot,
    Promoted,
    Pull,
    PullReply,
    Push,
    PushedUpdate,
    Reinstated,
    ReserveAssignment,
    Restored,
    Roster,
    ShardMetadata,
    StandbyFence,
    Task,
    TileFence,
)
from lnet.runtime.cluster.protocol.primary import PendingAck, PendingPull, Primary
from lnet.runtime.cluster.protocol.retry import doubled, doublings_for, wait
from lnet.runtime.cluster.protocol.spec import Times
from lnet.runtime.cluster.protocol.updates import AppliedUpdates, SlotUpdates, Update


def cluster(workers=4, losses_allowed=False, manifest=None, **settings):
    settings = {"workers": workers, "tiles": 1, **settings}
    return Cluster(0, spec(**settings), workers, Watch(losses_allowed), manifest=manifest)


def told(cluster, event, *arguments):
    cluster.tell(cluster.processes[on.COORDINATOR], event, *arguments)


def primary_of(cluster, shard=0):
    return cluster.processes[cluster.table.shards[shard].primary]


def noted(cluster, text):
    return [what for _, what in cluster.watch.notes if text in what]


# --- server --------------------------------------------------------------------------------------------------------


def test_a_lost_primary_costs_no_acknowledged_update():
    run = cluster(batches=30)
    run.run(1.5)
    run.crash(primary_of(run), noticed=True)
    assert run.run(30)
    run.watch.check_end()
    assert noted(run, "promoted to term 2")
    assert not run.watch.losses


def test_a_primary_that_is_called_back_before_it_knew_of_retiring_drops_what_it_was_asked_in_its_old_term():
    run = cluster(batches=10**6)
    run.run(2.0)
    process = primary_of(run)
    primary, now = process.state.servers[0], process.clock(run.time)
    term, live = primary.assignment.term, primary.assignment.roster.live[0]
    fence = TileFence(run.spec.run, 0, term, live.slot, live.generation)
    asked = replace(
        primary,
        pending_acks={Update(live.slot, 10**6): PendingAck(10**6, "w", fence)},
        pending_pulls={live.slot: PendingPull("w", fence, 10**6)},
    )
    same, _ = lead.reconcile(asked, now, primary.assignment, now)
    assert same.pending_acks
    assert same.pending_pulls
    again = replace(primary.assignment, term=term + 2, origin=Reinstated(term))
    back, _ = lead.reconcile(asked, now, again, now)
    assert not back.pending_acks
    assert not back.pending_pulls


class Early:
    """A pull that comes to a server of shard 0 before the desired state that it belongs to."""

    def __init__(self, to="primary", generations=1, terms=0, slot=None):
        self.run = cluster(batches=10**6)
        self.run.run(2.0)
        shard, primary = self.run.table.shards[0], primary_of(self.run).state.servers[0]
        live = primary.assignment.roster.live[0]
        self.process, self.assignment = self.run.processes[getattr(shard, to)], primary.assignment
        slot, term = live.slot if slot is None else slot, primary.assignment.term + terms
        fence = TileFence(self.run.spec.run, 0, term, slot, live.generation + generations)
        self.state, self.said = self.step(self.process.state, "w", Pull(fence, 10**6))

    def step(self, state, sender, message):
        return worker.step(state, on.Received(self.process.clock(self.run.time), sender, message))

    def roster(self, generations):
        before = self.assignment.roster
        first = replace(before.live[0], generation=before.live[0].generation + generations)
        return Roster(before.version + 1, (first, *before.live[1:]))

    def then(self, **roles):
        """Let the worker have these roles alone; return what it says of the pull."""
        nothing = {"tiles": (), "primaries": (), "standbys": (), "reserves": ()}
        version = self.state.desired.version + 1
        desired = replace(self.state.desired, version=version, echo=10**6, **{**nothing, **roles})
        self.state, done = self.step(self.state, on.COORDINATOR, difference(None, desired))
        return about_pulls(done)


def about_pulls(instructions):
    """Return the reasons for which pulls are refused, and `ReadParams` for one that is to be answered."""
    refused = [each.reason for each in instructions if isinstance(each, do.Refused)]
    return refused + [do.ReadParams for each in instructions if isinstance(each, do.ReadParams)]


def test_a_pull_of_a_generation_that_the_primary_has_not_heard_of_is_answered_once_it_has():
    early = Early()
    assert about_pulls(early.said) == []
    assert early.then(primaries=(early.assignment,)) == []
    known = replace(early.assignment, roster=early.roster(1))
    assert early.then(primaries=(known,)) == [do.ReadParams]
    assert early.then(primaries=(known,)) == []


def test_a_pull_at_a_standby_is_answered_once_it_is_promoted():
    early = Early(to="standby", generations=0, terms=1)
    assert about_pulls(early.said) == []
    standby = early.process.state.servers[0]
    promoted = replace(
        early.assignment,
        term=early.assignment.term + 1,
        origin=Promoted(standby.fence.incarnation),
        standby=None,
    )
    assert early.then(primaries=(promoted,)) == [do.ReadParams]


def test_a_pull_that_came_early_is_not_answered_in_another_generation_or_term():
    early = Early()
    newer = replace(early.assignment, roster=early.roster(2))
    assert early.then(primaries=(newer,)) == ["of another generation"]
    early = Early()
    assert early.then() == ["no such role here"]
    early = Early()
    term = early.assignment.term
    assert early.then(reserves=(ReserveAssignment(0, term),)) == []
    back = replace(early.assignment, term=term + 2, origin=Reinstated(term), roster=early.roster(1))
    assert early.then(primaries=(back,)) == ["of another term"]
    assert not early.state.early


@pytest.mark.parametrize(
    ("pull", "reason"),
    [
        ({"generations": -1}, "of another generation"),
        ({"terms": -1}, "of another term"),
        ({"slot": 2}, "of another generation"),
        ({"to": "standby", "terms": 0}, "no such role here"),
    ],
)
def test_a_pull_that_nobody_will_ever_answer_is_refused(pull, reason):
    assert about_pulls(Early(**pull).said) == [reason]


def test_one_pull_of_a_tile_is_kept_the_newest():
    early = Early()
    (pull,) = early.state.early.values()
    newer = replace(pull.message, step=10**6 + 1)
    state, _ = early.step(early.state, "w", newer)
    assert [kept.message for kept in state.early.values()] == [newer]


def test_a_pull_waits_for_the_checkpoint_that_a_primary_loads():
    early = Early(generations=0)
    primary = early.process.state.servers[0]
    origin = replace(early.assignment, origin=Restored(None), standby=None)
    fresh, _ = lead.begin(primary.spec, primary.rules, primary.role, origin, 10**6)
    live = early.assignment.roster.live[0]
    fence = TileFence(early.run.spec.run, 0, origin.term, live.slot, live.generation)
    fresh, done = lead.step(fresh, on.Received(1.0, "w", Pull(fence, 10**6)))
    assert done == ()
    _, done = lead.step(fresh, on.CheckpointLoaded(2.0, primary.role, None))
    assert about_pulls(done) == [do.ReadParams]


class LateOrders(Cluster):
    """What the coordinator tells primaries comes later than what it tells tiles. `pulls`: how often each was sent."""

    def __init__(self, **settings):
        self.late, self.pulls = frozenset(), Counter()
        super().__init__(0, spec(**settings), settings["workers"], Watch(losses_allowed=False))

    def _Send(self, process, send):
        if isinstance(send.message, Pull):
            self.pulls[process.name, send.message] += 1
        if process.name == on.COORDINATOR and send.to in self.late:
            self.after(0.06, self._arrive, process.name, send)
        else:
            super()._Send(process, send)


@pytest.mark.parametrize("lost", ["tile", "primary"])
def test_what_a_replica_needs_after_a_loss_is_asked_for_once(lost):
    run = LateOrders(workers=5, replicas=3, tiles=1, batches=10**6)
    run.run(2.0)
    (shard,) = run.table.shards
    run.late = {shard.primary, shard.standby}
    (alone,) = {slot.tiles[0] for slot in run.table.slots} - run.late
    victim = run.processes[shard.primary if lost == "primary" else alone]
    run.pulls.clear()
    run.crash(victim, noticed=True)
    run.tell(run.processes[on.COORDINATOR], on.WorkerExited, victim.name, victim.name, Cause(), True)
    run.run(3.0)
    again = [pull for _, pull in run.pulls if pull.fence.generation > 1 or pull.fence.term > 1]
    assert again
    assert {count for (_, pull), count in run.pulls.items() if pull in again} == {1}


def test_a_primary_that_wakes_up_after_its_lease_answers_nobody():
    run, replies = cluster(batches=30), []
    run.watch.replied = lambda process, message: replies.append((run.time, process))
    run.run(1.5)
    zombie = primary_of(run)
    zombie.freeze = 2 * (TIMES.failure_timeout + TIMES.lease)
    run.run(1.5 + 4 * (TIMES.failure_timeout + TIMES.lease))
    before = [time for time, process in replies if process is zombie]
    taken_over = [time for time, process in replies if process is not zombie]
    assert taken_over
    assert max(before) < min(taken_over)
    assert run.run(60)


def test_without_a_standby_nothing_is_acknowledged_or_only_counted_as_single():
    waits = cluster(workers=1, replicas=1)
    assert not waits.run(20)
    assert not waits.watch.ever
    single = cluster(workers=1, replicas=1, durability="single")
    assert single.run(20)
    assert set(single.watch.acknowledged[0].values()) == {False}


def test_both_servers_lost_goes_on_from_the_checkpoint_and_says_what_is_lost():
    run = cluster(losses_allowed=True, batches=40, checkpoint=8)
    run.run(2.6)
    assert run.manifests
    shard = run.table.shards[0]
    for name in (shard.primary, shard.standby):
        run.crash(run.processes[name], noticed=True)
    run.after(0.5, run.join, 7)
    assert run.run(60)
    run.watch.check_end()
    (declared,) = run.watch.losses
    assert declared.updates
    assert declared.checkpoint is not None


def test_a_silent_primary_with_the_only_copy_gets_its_shard_back():
    run = cluster(workers=2, replicas=1, batches=20, durability="single")
    run.run(1.0)
    other = next(p for p in run.workers() if p is not primary_of(run))
    run.crash(other, noticed=True)
    run.run(1.2)
    primary_of(run).wakes = run.time + TIMES.failure_timeout + 0.8
    assert run.run(60)
    run.watch.check_end()
    assert not run.watch.losses


def test_a_worker_that_was_silent_obeys_again_at_once_however_many_orders_it_had_obeyed():
    run = cluster(batches=400)
    run.run(6.0)
    sleeper = primary_of(run)
    obeyed = sleeper.state.version
    sleeper.wakes = run.time + TIMES.failure_timeout + 0.8
    run.run(sleeper.wakes - 0.1)
    assert noted(run, f"{sleeper.name} is lost")
    assert sleeper.state.version == obeyed > 20
    run.run(sleeper.wakes + 2 * TIMES.heartbeat_interval)
    assert sleeper.state.version > obeyed
    assert run.run(60)
    run.watch.check_end()


def test_a_standby_is_filled_in_the_background():
    run = cluster(batches=40)
    run.run(1.5)
    run.crash(run.processes[run.table.shards[0].standby], noticed=True)
    run.run(4.0)
    assert run.table.shards[0].ready
    assert isinstance(primary_of(run).state.servers[0], Primary)
    assert run.run(60)


def test_the_table_of_updates_is_a_floor_with_exceptions():
    seen = AppliedUpdates.nothing(2).add(Update(0, 0), 1).add(Update(0, 2), 1).add(Update(0, 3), 2)
    assert numbers(seen.slots[0]) == (1, {2, 3})
    assert seen.slots[1] == SlotUpdates()
    assert Update(0, 1) not in seen
    assert numbers(seen.add(Update(0, 1), 3).slots[0]) == (4, set())
    assert numbers(seen.raised(0, 3).slots[0]) == (4, set())
    assert [seen.generation(Update(0, number)) for number in range(5)] == [1, None, 1, 2, None]


def numbers(table):
    return table.low_water, table.above


def test_a_synchronous_step_is_applied_in_the_order_of_its_parts():
    ledger = Ledger(on.RoleId("server", 0, 0, 1), True, 0, 0, 0, AppliedUpdates.nothing(3))
    for slot in (2, 0, 1):
        ledger, _, todo = ledger.take(PushedUpdate(Update(slot, 0), 1, slot, 0, 0))
        assert not todo
        assert Update(slot, 0) in ledger
    ledger, entry, (apply,) = ledger.take(None)
    assert [part.payload for part in apply.parts] == [0, 1, 2]
    assert (entry.position, ledger.committed, ledger.staged) == (4, 1, ())
    assert Update(1, 0) in ledger
    assert Update(1, 1) not in ledger


# --- replica -------------------------------------------------------------------------------------------------------


def test_a_lost_tile_ends_the_generation_and_its_step_is_computed_again():
    run = cluster(workers=5, tiles=2, batches=30)
    run.run(1.5)
    before = run.table.slots[1]
    run.crash(run.processes[before.tiles[1]], noticed=True)
    assert run.run(60)
    run.watch.check_end()
    assert run.table.slots[1].generation > before.generation


@pytest.mark.parametrize("number", range(4))
def test_a_tile_goes_to_a_worker_of_its_own_replica_where_no_other_has_fewer_tiles(number):
    run = cluster(workers=4, replicas=2, tiles=2, batches=10**6)
    run.run(1.5)
    victim = run.workers()[number]
    (index, tile) = run.table.roles(victim.name).tiles[0]
    run.crash(victim, noticed=True)
    run.run(2.0)
    slot = run.table.slots[index]
    assert slot.tiles[tile] == slot.tiles[1 - tile] != victim.name


def test_a_tile_goes_to_the_worker_with_the_fewest_servers_where_each_has_as_many_tiles():
    run = cluster(workers=4, replicas=4, tiles=1, batches=10**6)
    run.run(1.5)
    victim, left = (process for process in run.workers() if not run.table.roles(process.name).servers)
    run.crash(victim, noticed=True)
    run.run(2.0)
    assert len(run.table.roles(left.name).tiles) == 2


def test_a_replica_without_room_lapses_and_a_late_worker_takes_it_up():
    run = cluster(workers=2, tiles=2, batches=40)
    run.run(1.0)
    run.crash(run.workers()[-1], noticed=True)
    run.run(2.5)
    assert run.watch.given_back
    assert [slot.active for slot in run.table.slots].count(True) == 1
    run.join(1)
    run.run(6.0)
    assert all(slot.staffed for slot in run.table.slots)
    assert run.run(60)
    run.watch.check_end()


def test_one_replica_warms_up_before_the_others_start():
    run = cluster(batches=20, warmup=8)
    while run.table.pool.used < 8:
        assert [slot.next for slot in run.table.slots][1:] == [0]
        run.run(run.time + 0.1)
    assert run.run(30)
    assert run.table.slots[1].next > run.table.slots[1].start > 0


def test_a_bound_on_staleness_holds_a_fast_replica_back():
    def farthest(staleness):
        run, ahead = cluster(staleness=staleness, batches=60), []
        run.watch.computing = lambda c: ahead.append(
            c.update.number - min(s.low_water for s in run.table.slots)
        )
        assert run.run(60)
        return max(ahead)

    assert farthest(1) <= 3 < 6 < farthest(None)


class Slow(Cluster):
    """Messages of one kind take long, as large ones do; how often each was sent."""

    def __init__(self, kind, seconds, **settings):
        self.kind, self.seconds, self.sent = kind, seconds, []
        super().__init__(0, spec(tiles=1, workers=4, batches=40, **settings), 4, Watch(losses_allowed=False))

    def _Send(self, process, send):
        if isinstance(send.message, self.kind):
            self.sent.append(send.message)
            self.after(self.seconds, self._arrive, process.name, send)
        else:
            super()._Send(process, send)


def test_pushes_that_take_long_are_soon_sent_only_once():
    run = Slow(Push, 2.5 * TIMES.retry)
    assert run.run(60)
    run.watch.check_end()
    times = Counter(message.update for message in run.sent)
    first = [times[Update(slot, 0)] for slot in (0, 1)]
    assert first == [2, 2]
    later = [count for update, count in times.items() if update.number > 4]
    assert len(later) >= 20
    assert set(later) == {1}


@pytest.mark.parametrize("times", [2.5, 12])
def test_parameters_that_take_long_are_soon_asked_for_only_once(times):
    run = Slow(PullReply, times * TIMES.retry / 4)
    assert run.run(200)
    run.watch.check_end()
    sent = Counter((reply.fence.slot, reply.step) for reply in run.sent)
    assert sent[0, 0] > 1
    later = [count for (_, step), count in sent.items() if step > 4]
    assert len(later) >= 20
    assert set(later) == {1}


def test_a_snapshot_that_takes_long_is_not_sent_over_and_over():
    run = Slow(InstallSnapshot, 6 * TIMES.retry)
    assert run.run(60)
    run.watch.check_end()
    assert [message.fence.incarnation for message in run.sent].count(1) == 3


def test_logs_that_take_long_are_seldom_sent_twice():
    run = Slow(AppendEntries, 2.5 * TIMES.retry, durability="single")
    assert run.run(60)
    run.watch.check_end()
    times = Counter(entry.position for message in run.sent for entry in message.entries)
    assert sum(times.values()) < 2 * len(times)


def test_a_lost_push_is_missed_again_as_soon_as_before():
    run = Slow(Push, 2.5 * TIMES.retry)
    run.run(10.0)
    run.seconds = 0.02
    run.run(14.0)
    tiles = [tile for process in run.workers() for tile in process.state.tiles.values()]
    assert {tile.push_doublings for tile in tiles} == {0}


@pytest.mark.parametrize(
    ("took", "doublings"), [(0.1, 0), (1.5, 0), (1.6, 1), (3.1, 2), (12.0, 3), (99.0, 7), (999.0, 8)]
)
def test_the_wait_for_an_answer(took, doublings):
    assert doublings_for(3.0, took) == doublings
    assert wait(3.0, doublings) == 3.0 * 2**doublings
    assert doubled(doublings) == max(doublings, min(doublings + 1, 3))


# --- coordinator ---------------------------------------------------------------------------------------------------


def test_a_drained_worker_hands_everything_over():
    run = cluster(batches=30)
    run.run(1.5)
    leaving = primary_of(run).name
    told(run, on.DrainRequested, leaving)
    run.run(5.0)
    assert run.watch.drained == [leaving]
    assert not run.processes[leaving].state.tiles
    assert not run.processes[leaving].state.servers
    assert run.run(60)
    run.watch.check_end()
    assert not run.watch.losses


@pytest.mark.parametrize("shards", [1, 2])
def test_the_last_workers_that_are_drained_stay_standbys_until_others_come(shards):
    run = cluster(workers=3, replicas=2, batches=300, shards_per_tile=shards)
    run.run(1.5)
    leaving = sorted(process.name for process in run.workers())[:2]
    for name in leaving:
        told(run, on.DrainRequested, name)
    run.run(8.0)
    done = run.table.pool.used
    run.run(12.0)
    assert run.table.pool.used > done, "nothing is acknowledged"
    assert {shard.standby for shard in run.table.shards} <= set(leaving)
    run.join(3)
    assert run.run(200)
    run.watch.check_end()
    assert sorted(run.watch.drained) == leaving
    assert not run.watch.losses


@pytest.mark.parametrize("staleness", [None, 0])
def test_a_stopped_run_goes_on_to_the_same_end(staleness):
    run = cluster(staleness=staleness, batches=20, tiles=2)
    run.run(1.5)
    told(run, on.StopRequested)
    assert run.run(10)
    stopped = run.finished.manifest
    assert 0 < stopped.used < 20
    assert not any(slot.leases for slot in stopped.slots)
    assert stopped.torn == 0
    run.spec = replace(run.spec, run="run2")
    run.finished = None
    run.crash_all()
    assert run.run(60)
    states = run.watch.check_end()
    if staleness == 0:
        assert [state.fold for state in states] == [undisturbed_steps(2, 10)] * 2


def test_a_checkpoint_goes_on_with_other_numbers_of_replicas_and_shards():
    leases = (Task(Update(0, 3), (6,)), Task(Update(0, 4), (8,)))
    saved = Manifest(4, "run0", None, ("x",), (SlotRecord(5, leases),), 10, (7,), 7)
    reshaped = saved.reshaped(3)
    assert reshaped.returned == (6, 7, 8)
    run = cluster(replicas=3, tiles=2, batches=12, manifest=reshaped)
    assert run.run(30)
    assert sorted(set(run.watch.batches.values())) == [6, 7, 8, 10, 11]


def test_a_synchronous_checkpoint_goes_on_with_other_numbers():
    saved = Manifest(4, "run0", 6, ("x",), (SlotRecord(0, ()),) * 2, 0, (), 12)
    run = cluster(replicas=3, staleness=0, batches=24, manifest=saved.reshaped(3))
    assert run.run(30)
    assert sorted(set(run.watch.batches.values())) == list(range(12, 24))


def test_a_coordinator_that_stood_still_buries_nobody():
    run = cluster(batches=40)
    run.run(1.5)
    run.processes[on.COORDINATOR].wakes = run.time + 3 * TIMES.failure_timeout
    assert run.run(60)
    run.watch.check_end()
    assert not noted(run, "is lost")
    assert not noted(run, "promoted")


def test_a_full_disk_stops_nothing():
    run = cluster(batches=20)
    run.run(1.0)
    run.disk_full = True
    told(run, on.CheckpointRequested)
    run.run(3.0)
    assert noted(run, "could not be written: the disk is full")
    run.disk_full = False
    assert run.run(30)
    run.watch.check_end()


def test_two_runs_do_not_hear_each_other():
    run = cluster()
    run.run(1.0)
    server = primary_of(run)
    run.spec = replace(run.spec, run="another")
    run.join(9)  # its first report, and those of nobody else, carry another token
    run.run(1.5)
    assert run.watch.refused["of another run"]
    assert not any(name.startswith("w9") for name in run.table.members)
    state, todo = server.machine.step(
        server.state, on.Received(0.0, "w9", AppendAck(StandbyFence("another", 0, 1, 1), 9))
    )
    assert [instruction.reason for instruction in todo] == ["of another run"]
    assert state.servers == server.state.servers


# --- settings ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"replicas": 0}, "must be positive"),
        ({"staleness": 0, "fetch": 2}, "fetches and pushes in every step"),
        ({"staleness": 0, "batches": 13}, "a whole number of steps"),
        ({"staleness": 1, "push": 4}, "below staleness = 3, found 1"),
        ({"staleness": 2, "fetch": 3, "push": 2}, "below staleness = 3, found 2"),
    ],
)
def test_what_could_never_go_on_is_refused(settings, why):
    with pytest.raises(ValueError, match=why):
        spec(**settings)


@pytest.mark.parametrize(("fetch", "push"), [(1, 3), (3, 1), (2, 3), (4, 2), (3, 3)])
def test_the_least_staleness_goes_on(fetch, push):
    least = spec(fetch=fetch, push=push).least_staleness
    run = cluster(staleness=least, fetch=fetch, push=push, batches=40)
    assert run.run(60)
    run.watch.check_end()


# --- times ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("workers", "expected"),
    [
        (1, Times(0.5, failure_timeout=5.0, lease=4.0, retry=3.0, grace_period=20.0, link_timeout=3.0)),
        (1500, Times(1.5, failure_timeout=9.0, lease=6.0, retry=3.0, grace_period=27.0, link_timeout=9.0)),
        (10**5, Times(2.0, failure_timeout=12.0, lease=8.0, retry=3.0, grace_period=36.0, link_timeout=12.0)),
    ],
)
def test_times_follow_from_the_number_of_workers(workers, expected):
    assert Times.for_workers(workers) == expected


def test_a_wait_for_a_standby_gets_shorter_when_nothing_was_sent_again():
    metadata, fence = ShardMetadata(0, 0, AppliedUpdates.nothing(1)), StandbyFence("run", 0, 1, 1)
    late = Follower("w", fence, metadata, (), acknowledged=0, doublings=2, again=True)
    follower, _ = follow.ack(late, 0, 1.0)
    assert (follower.doublings, follower.again) == (2, False), "it may have been slow"
    for head, expected in ((1, 1), (2, 0), (3, 0)):
        follower, _ = follow.ack(follower, head, 1.0)
        assert follower.doublings == expected
