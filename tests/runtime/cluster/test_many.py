"""A cluster of 845 workers: what its roles' changes cost, and what a person is shown of it."""

import gc
import json
import re
import sys
from dataclasses import replace

import made_events
import pytest
from chromium import needs_browser, open_address
from made_events import lost, many_roles, tile
from test_recorder import table
from test_view import shown
from test_web import cells, figures, overview, served

from lnet.runtime.cluster.actors.roles import changes, roles
from lnet.runtime.cluster.monitor import web
from lnet.runtime.cluster.monitor.recovery import RecoveryTracker
from lnet.runtime.cluster.monitor.steps import Steps
from lnet.runtime.cluster.monitor.view import ClusterView
from lnet.runtime.cluster.protocol.records import Records
from lnet.runtime.cluster.protocol.spec import Spec
from lnet.runtime.cluster.protocol.table import BatchPool, Member, ServerPair, Slot, Table
from lnet.runtime.cluster.published import UpdateApplied
from lnet.runtime.store.events import ReplicaChange, RolesChanged, RolesMoved, ShardRoles
from lnet.runtime.store.log import line_of
from lnet.runtime.store.roles import CurrentRoles
from lnet.runtime.store.sums import Slowest
from lnet.runtime.store.thin import thinned

LOSS = RolesMoved(
    {2: ReplicaChange("starting", 2, {5: None, 6: "spare-1"})},
    {7: ShardRoles(None, "worker-176", True, 1), 8: ShardRoles("worker-8", None, False, 1)},
    ("spare-1",),
    ("worker-343",),
)


def step(number, replica, tiles=169, **given):
    slowest = Slowest(17 % tiles, 0.9, 0.1, 0.05)
    return made_events.step(number, replica, images=100 * number, bytes=2**20, slowest=slowest, **given)


# --- roles ---------------------------------------------------------------------------------------------------------


def large(replicas=5, tiles=169, shards=338):
    """A coordinator's table of many members, all roles filled."""
    names = [f"tcp://10.0.0.{number}:1#a" for number in range(replicas * tiles)]
    members = Records({name: Member("host", f"worker-{number}", 9) for number, name in enumerate(names)})
    slots = tuple(Slot(tuple(names[r * tiles : (r + 1) * tiles]), 1, active=True) for r in range(replicas))
    pairs = tuple(
        ServerPair(term=1, primary=names[s], standby=names[s + tiles], ready=True) for s in range(shards)
    )
    spec = Spec("run", replicas=replicas, tiles=tiles, batches=100)
    return Table(spec, slots, pairs, members, pool=BatchPool(fresh=20), begun=True).indexed(), names


def with_loss(before, names):
    """The table after worker 343 was lost: tile 5 of replica 2, and the primary of nothing but what is vacated here."""
    tiles = list(before.slots[2].tiles)
    tiles[5] = None
    after = before.with_slot(2, replace(before.slots[2], tiles=tuple(tiles), generation=2, active=False))
    return after.with_shard(7, replace(before.shards[7], primary=None, missing=names[7]))


def test_a_loss_among_many_is_logged_as_what_changed():
    before, names = large()
    (whole,) = changes(replace(before, begun=False), before)
    (moved,) = changes(before, after := with_loss(before, names))
    assert type(whole) is RolesChanged
    assert type(moved) is RolesMoved
    assert moved.replicas == {2: ReplicaChange("lapsed", 2, {5: None})}
    assert list(moved.shards) == [7]
    assert len(line_of(moved)) < 300 < 30_000 < len(line_of(whole))
    current = CurrentRoles()
    current.take(whole)
    current.take(moved)
    assert current.whole() == roles(after)
    assert list(changes(after, after)) == []


def test_members_that_come_and_go():
    before, names = large()
    members = before.members.with_record("tcp://10.0.9.9:1#b", Member("host", "worker-3", 9))
    (joined,) = changes(before, after := before._with(members=members))
    assert (joined.joined, joined.left, joined.replicas, joined.shards) == (("worker-3",), (), {}, {})
    current = CurrentRoles()
    for event in (roles(before), joined):
        current.take(event)
    assert (current.present, current.workers["worker-3"]) == (846, 2)
    gone = after._with(members=after.members.without(names[3]))
    *_, left = changes(after, gone)
    current.take(left)
    assert (current.present, current.workers["worker-3"]) == (845, 1)
    assert current.whole().workers == roles(gone).workers


def test_few_roles_are_logged_as_a_whole():
    before = table()
    (event,) = changes(before, before.with_shard(1, ServerPair(term=2, primary=None)))
    assert type(event) is RolesChanged


def test_who_has_not_seen_a_whole_one_makes_nothing_of_a_change():
    current = CurrentRoles()
    current.take(LOSS)
    assert current == CurrentRoles()


def test_a_thinned_log_ends_with_all_roles():
    first = many_roles()
    found = list(thinned([first, replace(LOSS, time=5.0), step(1, 0, time=9.0)], 1, ()))
    assert [event.name for event in found] == ["roles", "roles moved", "step", "roles"]
    current = CurrentRoles()
    current.take(first)
    current.take(LOSS)
    assert found[-1] == replace(current.whole(), time=9.0)
    assert list(thinned([*found, step(2, 0, time=10.0)], 1, ())) == [
        *found[:-1], step(2, 0, time=10.0), replace(current.whole(), time=10.0)
    ]  # fmt: skip


# --- what an event costs -------------------------------------------------------------------------------------------


def work(call, *arguments):
    """How many lines of Python a call runs."""
    count = 0

    def trace(frame, what, argument):
        nonlocal count
        count += what == "line"
        return trace

    before = sys.gettrace()
    gc.disable()  # others have it call Python
    sys.settrace(trace)
    try:
        call(*arguments)
    finally:
        sys.settrace(before)
        gc.enable()
    return count


@pytest.mark.parametrize(
    "event",
    [
        LOSS,
        step(2, 1),
        UpdateApplied(7, 2, 3, 1),
        lost("worker-343"),
    ],
    ids=lambda event: event.name,
)
def test_to_take_an_event_costs_the_same_with_more_workers(event):
    def cost(roles):
        view, recovery = ClusterView(steps=100), RecoveryTracker()
        for each in (roles, step(1, 1), UpdateApplied(7, 2, 2, 1)):
            view.take(each, 1.0)
            recovery.take(each, 1.0)
        return work(view.take, event, 2.0) + work(recovery.take, event, 2.0)

    assert cost(many_roles()) == cost(many_roles(tiles=20, shards=20)) > 0


def test_a_tiles_part_of_a_step_costs_the_same_with_more_tiles():
    def cost(tiles):
        run = overview()
        run.config.__dict__["spec"] = replace(run.config.spec, tiles=tiles)
        steps = Steps(run.config)
        for number in range(tiles - 2):
            steps.take(tile(tile=number))
        return work(steps.take, tile(tile=tiles - 2))

    assert cost(169) == cost(4) > 0


# --- what is shown -------------------------------------------------------------------------------------------------


def fed(take, replicas=5, shards=338):
    """Feed a view with a large cluster in trouble."""
    take(many_roles(replicas, shards=shards), 0.0)
    for number in range(1, 8 * replicas + 1):
        replica = number % replicas
        at = number / 8 if replica != 3 else number / 4
        take(step(number, replica, seconds=0.9, waited=0.1, objectives={"V1.learn": 5.0}), at)
        take(UpdateApplied(number % 169, replica, number, replica), at)
    take(lost("worker-343"), 6.0)
    take(LOSS, 6.0)


def test_a_terminal_shows_the_worst_of_many():
    view = ClusterView(steps=1000, durability="standby")
    fed(view.take)
    assert shown(view, 8.0, 110) == [
        "step 40/1,000  4%  459 images/s  0:03:29 left",
        "V1.learn 5",
        "845 workers  durability standby  failures 1  refused messages 0",
        "lost and not back: worker-343",
        "replica  state      steps  steps/s  staleness  largest   bytes/s  waited",
        "2        starting       8      1.0        2.0        2  1006 KiB     11%",
        "3        computing      8      0.8        3.0        3   819 KiB     11%",
        "1        computing      8      1.0        1.0        1   989 KiB     11%",
        "4        computing      8      1.0        4.0        4     1 MiB     11%",
        "0        computing      8      1.0        0.0        0     1 MiB     11%",
        "tiles of replica 2: 169 on 168 workers; nobody computes 5; slowest 17 (worker-355) in 8 of 8 steps",
        "tiles of replica 3: 169 on 169 workers; slowest 17 (worker-524) in 8 of 8 steps",
        "tiles of replica 1: 169 on 169 workers; slowest 17 (worker-186) in 8 of 8 steps",
        "tiles of replica 4: 169 on 169 workers; slowest 17 (worker-693) in 8 of 8 steps",
        "tiles of replica 0: 169 on 169 workers; slowest 17 (worker-17) in 8 of 8 steps",
        "shard  primary   standby            term  updates",
        "7      -         worker-176  ready     1        1",
        "8      worker-8  -           none      1        1",
        "336 more shards: standbys 336 ready  term 1  updates 0 to 1",
    ]


def test_a_terminal_shows_4225_workers_on_a_screen():
    view = ClusterView(steps=1000, durability="standby")
    fed(view.take, replicas=25)
    lines = shown(view, 30.0, 110)
    assert len(lines) <= 40
    assert lines[13] == "17 more replicas: 17 computing  steps/s 0.3  staleness 0.0 to 22.0  waited 11%"
    rows = [line.split()[0] for line in lines[5:13]]
    assert rows == ["2", "3", "1", "11", "10", "9", "24", "23"], (
        "not computing, slow, slow, ..., stale, stale"
    )


def page_state(replicas=5):
    run = overview()
    fed(run.take, replicas)
    return run


def test_what_programs_read_is_complete():
    state = page_state().state(8.0)
    assert json.loads(json.dumps(state)) == state
    assert [len(replica["workers"]) for replica in state["replicas"]] == [169] * 5
    assert len(state["shards"]) == 338
    assert state["not_back"] == ["worker-343"]
    assert state["replicas"][0]["slowest"] == {"tile": 17, "steps": 8, "among": 8}


TYPED = """<script>
const field = document.querySelector("#wanted")
field.value = %s
field.dispatchEvent(new Event("input"))
</script></body>"""


def opened(wanted, monkeypatch):
    """The page of a large cluster in trouble, in a browser, with something typed into its filter."""
    run, render = page_state(), web._Page.render_page

    def render_typed(self, name, **content):
        render(self, name, **content)
        page = b"".join(self._write_buffer).replace(b"</body>", (TYPED % json.dumps(wanted)).encode())
        self._write_buffer = [page]

    monkeypatch.setattr(web._Page, "render_page", render_typed)
    with served(lambda: {"0123abcd": run}) as address:
        return open_address(f"{address}/lnet/0123abcd")


@needs_browser
@pytest.mark.slow
def test_a_page_of_many_workers(monkeypatch):
    document = opened("", monkeypatch)
    replicas, tiles, shards = (cells(document, name) for name in ("replicas", "tiles", "shards"))
    assert replicas[0][:4] == ["2", "starting", "169 on 168 workers; nobody computes 5", "8"]
    assert sorted(row[0] for row in replicas) == ["0", "1", "2", "3", "4"]
    assert tiles == [
        ["2", "5", "-", "nobody computes it"],
        *([str(r), "17", f"worker-{169 * r + 17}", "slowest in 8 of 8 steps"] for r in range(5)),
    ]
    assert shards == [["7", "-", "worker-176", "ready", "1", "1"], ["8", "worker-8", "-", "none", "1", "1"]]
    assert figures(document)["not back: worker-343"] == "1"
    notes = re.findall(r'<p class="note">(.+?)</p>', document)
    assert notes[1:] == ["839 more", "336 more shards: standbys 336 ready  term 1  updates 0 to 1"]


@needs_browser
@pytest.mark.slow
@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("worker-345", [0, 1, 1]),
        ("shard 8", [0, 0, 1]),
        ("tile 17", [0, 5, 0]),
        ("starting", [1, 0, 0]),
        ("worker-", [0, 843, 338]),
    ],
)
def test_every_role_is_found_by_the_filter(wanted, found, monkeypatch):
    document = opened(wanted, monkeypatch)
    assert [len(cells(document, name)) for name in ("replicas", "tiles", "shards")] == found
