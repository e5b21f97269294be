"""What an operator sees, from the events alone."""

from dataclasses import replace
from pathlib import Path

import made_events
import pytest
from made_events import begun, lost
from rich.console import Console

from lnet.cli.cluster_table import LiveTable, clock, drawn, size
from lnet.cli.progress import Bar, Lines, reporter_for
from lnet.runtime.cluster.monitor.view import RECENT, ClusterView
from lnet.runtime.cluster.published import UpdateApplied
from lnet.runtime.store.events import (
    CheckpointWritten,
    MessagesRefused,
    Noted,
    ReplicaLapsed,
    ReplicaRoles,
    RolesChanged,
    ShardRoles,
    StandbyPromoted,
    UpdatesLost,
    WorkerSlow,
)
from lnet.runtime.store.log import read_events

RECORDED = Path(__file__).with_name("recorded.jsonl")
ROLES = RolesChanged(
    (
        ReplicaRoles("computing", ("left", "right"), 1),
        ReplicaRoles("lapsed", (None, None), 2),
    ),
    (
        ShardRoles("left", "right", True, 1),
        ShardRoles("right", "left", False, 3),
        ShardRoles(None, None, False, 4),
    ),
    ("left", "right"),
)


def step(number, replica=0, seconds=0.1, waited=0.02, loss=8.0):
    objectives = {"V1.learn": loss}
    return made_events.step(
        number, replica, images=4 * number, objectives=objectives, seconds=seconds, waited=waited, bytes=3072
    )


def update(slot, age, shard=0):
    return UpdateApplied(shard, slot, 0, age)


def shown(view, now, width=80):
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(drawn(view, now, width))
    return [line.rstrip() for line in console.export_text().splitlines()]


def seen(*events, steps=40, start=0.0, every=0.5):
    view = ClusterView(steps=steps)
    for number, event in enumerate(events):
        view.take(event, start + every * number)
    return view


def test_promotions_checkpoints_and_messages():
    view = seen(
        StandbyPromoted(1, "left", 3),
        CheckpointWritten(10, "step-10"),
        Noted("left is lost"),
        CheckpointWritten(20, "step-20"),
    )
    assert (view.promotions, view.checkpoints) == (1, 2)
    assert (view.checkpoint.at, view.checkpoint.step) == (1.5, 20)
    assert list(view.messages) == [(1.0, "left is lost")]


def test_every_replica_and_every_shard_has_a_row():
    view = seen(begun(workers=3, durability="standby"), ROLES)
    for number in range(1, 6):
        view.take(step(number, loss=9.0 - number), 10 + 0.5 * number)
    for age in (0, 1, 5):
        view.take(update(0, age), 13)
    view.take(lost("right"), 13)
    view.take(ReplicaLapsed(1, 3, "replica 1 lapses"), 13)
    view.take(MessagesRefused("malformed", 2, "left"), 13)
    view.take(MessagesRefused("malformed", 4, "left"), 13)
    view.take(MessagesRefused("malformed", 1), 13)
    assert shown(view, 12.5) == [
        "step 5/40  12%  8 images/s  0:00:18 left",
        "V1.learn 6",
        "2 workers  durability standby  failures 1, 3 batches given back  refused",
        "messages 5",
        "replica  state      steps  steps/s  staleness  largest  bytes/s  waited",
        "0        computing      5      2.0        2.0        5    6 KiB     20%",
        "1        lapsed         0      0.0          -        -      0 B      0%",
        "tiles of replica 0: 0:left 1:right",
        "tiles of replica 1: 0:- 1:-",
        "shard  primary  standby                term  updates",
        "0      left     right    ready            1        3",
        "1      right    left     being filled     3        0",
        "2      -        -        none             4        0",
    ]


def test_slow_workers_are_shown_while_they_have_tiles():
    view = seen(begun(workers=3, durability="standby"), ROLES, slow("right"), slow("left"))
    assert shown(view, 3, width=120)[1].endswith("slow: left, right")
    view.take(slow("left", times=1.1), 3)
    assert shown(view, 3, width=120)[1].endswith("slow: right")
    view.take(ROLES, 3)
    assert view.slow == {"right"}
    view.take(replace(ROLES, replicas=()), 3)
    assert "slow" not in shown(view, 3, width=120)[1]


def slow(worker, times=4.0):
    return WorkerSlow(worker, 0, times, times > 2, "a line")


def test_a_replica_that_takes_no_steps_gets_slower():
    view = seen(*(step(number) for number in range(1, 5)))
    at_work, later = view.images_per_second(1.5), view.images_per_second(11.5)
    assert at_work == pytest.approx(8.0)
    assert later < 0.2 * at_work
    assert view.seconds_left(11.5) > view.seconds_left(1.5)


def test_a_step_that_is_not_due_yet_slows_nothing():
    view = seen(*(step(number) for number in range(1, 5)))
    assert view.images_per_second(1.5) == view.images_per_second(1.9)


def test_figures_are_of_recent_steps():
    view = seen(*(step(number, waited=0.1) for number in range(1, 9)))
    for number in range(9, 9 + RECENT):
        view.take(step(number, waited=0.0, loss=2.0), 10 + number)
        view.take(update(0, 0), 10 + number)
    assert view.replicas[0].waited == 0
    assert view.losses == {"V1.learn": 2.0}
    assert len(view.replicas[0].ages) == RECENT


def test_nothing_is_known_before_the_first_step():
    view = seen(begun(workers=2, durability="single"), steps=10)
    assert view.seconds_left(5.0) is None
    assert shown(view, 5.0)[:2] == [
        "step 0/10  0%  0 images/s",
        "2 workers  durability single  failures 0  refused messages 0",
    ]


def test_lost_updates_are_shown():
    view = seen(UpdatesLost(1, 2, 1200, "gone"))
    assert "failures 0, 1,200 acknowledged updates lost" in shown(view, 0.0)[1]


def test_a_recorded_run_can_be_seen_again():
    view = ClusterView(steps=100)
    events = read_events(RECORDED)
    for event in events:
        view.take(event, event.time)
    lines = shown(view, events[-1].time)
    assert lines[4].startswith("0        done  ")
    assert lines[6] == "tiles of replica 0: 0:worker-0 1:worker-2"
    assert lines[10].startswith("1      worker-0  worker-2  ready     2")
    assert "failures 1" in lines[2]
    assert sum(replica.steps for replica in view.replicas.values()) == view.step


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (2048, "2 KiB"), (3 << 20, "3 MiB"), (3 << 29, "1.5 GiB")],
)
def test_sizes(count, text):
    assert size(count) == text


def test_times():
    assert [clock(seconds) for seconds in (0, 59.6, 3725)] == ["0:00:00", "0:01:00", "1:02:05"]


def test_a_table_only_for_a_cluster_in_a_terminal():
    terminal, file = Console(force_terminal=True), Console(force_terminal=False)
    assert isinstance(reporter_for(terminal, cluster=True), LiveTable)
    assert isinstance(reporter_for(terminal), Bar)
    assert isinstance(reporter_for(file, cluster=True), Lines)


def test_the_table_is_drawn_while_events_come(tmp_path):
    path = tmp_path / "screen"
    with path.open("w") as file:
        live = LiveTable(Console(file=file, force_terminal=True, width=110))
        live.happened(begun(workers=2, durability="single"))
        live.started(0, 10)
        file.flush()
        assert "step 0/10" in path.read_text()
        live.happened(ROLES)
        live.happened(step(1))
        live.stepped(1, {}, 3.0)
        live.said("right is lost")
        live.finished()
    text = path.read_text()
    assert "right is lost" in text
    assert "0:left 1:right" in text
    assert "step 1/10" in text
