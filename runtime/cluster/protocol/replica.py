"""One tile of one replica: fetches parameters, computes the steps of its tasks, pushes their gradients.

    idle --task--> fetching --PullReply--> computing --Computed--> computing the next step, or idle with a Push under way
              \\________ (own copy) ________/

All tiles of a replica get the same tasks in the same order, so that their exchanges match. Losing a tile ends the
generation: in the next one every tile starts again with the first task that is not done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf
from statistics import median
from typing import Literal

from .events import Computed, PeerLost, Received, RoleId, WorkerEvent
from .instructions import Cancel, Compute, Instruction, LoadParams, Refused, Send, Transition
from .messages import Payload, Pull, PullReply, Push, PushAck, Task, TileAssignment, TileFence, TileStatus
from .retry import doublings_for, wait
from .spec import Rules, Spec
from .updates import Update

SOONER = 4
"""How much sooner a fetch is asked for again than a push: it is small, and a primary that does not know the generation yet
refuses it."""
PACED = 30
"""Steps after which a tile says again what one takes it."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A push that is not acknowledged yet. `doublings`: of the wait for its ack; `again`: it was sent more than once."""

    update: Update
    version: int
    payload: Payload
    sent: float
    doublings: int
    again: bool = False


@dataclass(frozen=True, slots=True)
class Tile:
    """`fetched`: the step that the own copy of the parameters was fetched for, -1: none; `version`: the head then.

    `pushed`: acknowledged updates, and the generation whose computation the shard has; `asks`: pulls sent for this step;
    `doublings`: of the next push's wait for its ack. `seconds`: of the last steps, from which `pace` follows.
    """

    spec: Spec
    rules: Rules
    role: RoleId
    assignment: TileAssignment
    phase: Literal["idle", "fetching", "computing", "stuck"] = "idle"
    task: Task | None = None
    index: int = 0
    fetched: int = -1
    version: int = 0
    asked: float = 0.0
    asks: int = 0
    doublings: int = 0
    computed: frozenset[Update] = field(default_factory=frozenset)
    pushed: Mapping[Update, int] = field(default_factory=dict)
    outgoing: tuple[Outgoing, ...] = ()
    done: int = 0
    seconds: tuple[float, ...] = ()
    pace: int = 0

    @property
    def at(self) -> int:
        """The step of the replica slot that is being worked on."""
        assert self.task is not None
        return self.task.update.number * self.spec.push + self.index

    @property
    def wakes(self) -> float:
        """When a tick is due."""
        asked = self.asked + wait(self.retry / SOONER, self.asks) if self.phase == "fetching" else inf
        return min((asked, *(push.sent + wait(self.retry, push.doublings) for push in self.outgoing)))

    @property
    def retry(self) -> float:
        return self.spec.times.retry


def status(state: Tile) -> TileStatus:
    """Return the status for the coordinator."""
    assignment = state.assignment
    earlier = sorted((u.number, g) for u, g in state.pushed.items() if g != assignment.generation)
    stuck = state.phase == "stuck"
    return TileStatus(
        assignment.slot,
        assignment.tile,
        assignment.generation,
        state.done,
        stuck,
        tuple(earlier),
        state.pace,
    )


def reconcile(state: Tile, now: float, assignment: TileAssignment) -> Transition[Tile]:
    """Take a new assignment: tasks and primary; a task that is withdrawn is given up."""
    moved = assignment.server != state.assignment.server
    wanted = {task.update for task in assignment.work}
    state = replace(
        state,
        assignment=assignment,
        computed=state.computed & wanted,
        pushed={update: state.pushed[update] for update in wanted & state.pushed.keys()},
        outgoing=tuple(push for push in state.outgoing if push.update in wanted),
    )
    state, first = _withdraw(state) if state.task not in (None, *assignment.work) else (state, ())
    state, then = _resend(state, now, moved)
    state, last = _begin(_count_done(state), now)
    return state, first + then + last


def step(state: Tile, event: WorkerEvent) -> Transition[Tile]:
    state, first = _react(state, event)
    state, then = _resend(state, event.now)
    state, last = _begin(state, event.now)
    return state, first + then + last


def _react(state: Tile, event: WorkerEvent) -> Transition[Tile]:
    match event:
        case Received(_, _, PullReply() | PushAck() as message):
            if state.rules.fence and message.fence != _fence(state):
                return state, (Refused("of another term or generation", message),)
            return _take(state, event.now, message)
        case Computed():
            return _computed(state, event)
        case PeerLost() if state.phase != "stuck":
            return replace(state, phase="stuck", task=None), (Cancel(state.role),)
    return state, ()


def _take(state: Tile, now: float, message: PullReply | PushAck) -> Transition[Tile]:
    if isinstance(message, PullReply):
        if state.phase != "fetching" or message.step != state.at:
            return state, ()
        install = LoadParams(state.role, message.step, message.payload)
        state = replace(state, phase="computing", fetched=message.step, version=message.version)
        return state, (install, _compute(state))
    for push in state.outgoing:
        if push.update == message.update:
            state = replace(state, doublings=_learnt(state, push, now))
    rest = tuple(push for push in state.outgoing if push.update != message.update)
    pushed = {**state.pushed, message.update: message.generation}
    return _count_done(replace(state, outgoing=rest, pushed=pushed)), ()


def _learnt(state: Tile, push: Outgoing, now: float) -> int:
    """Return how often to double the next wait, now that an answer has come."""
    return push.doublings if push.again else doublings_for(state.retry, now - push.sent)


def _computed(state: Tile, event: Computed) -> Transition[Tile]:
    """Go on to the task's next step; after its last one, push the sum of gradients."""
    task = state.task
    if (
        state.phase != "computing"
        or task is None
        or (event.update, event.index) != (task.update, state.index)
    ):
        return state, ()
    state = _paced(state, event.seconds)
    if state.index + 1 < len(task.batches):
        return _start_step(replace(state, index=state.index + 1), event.now)
    push = Outgoing(task.update, state.version, event.payload, event.now, state.doublings)
    state = replace(
        state,
        phase="idle",
        task=None,
        computed=state.computed | {task.update},
        outgoing=(*state.outgoing, push),
    )
    return state, _sends(state, (push,))


def _paced(state: Tile, seconds: float) -> Tile:
    """Count a step's seconds; the median of every `PACED` is told, to two digits, so that it seldom changes."""
    found = (*state.seconds, seconds)
    if len(found) < PACED:
        return replace(state, seconds=found)
    return replace(state, seconds=(), pace=int(float(f"{1e6 * median(found):.1e}")))


def _begin(state: Tile, now: float) -> Transition[Tile]:
    """Begin the next task, unless too many pushes are under way."""
    if state.phase != "idle" or len(state.outgoing) >= state.spec.window:
        return state, ()
    task = next((task for task in state.assignment.work if task.update not in state.computed), None)
    if task is None:
        return state, ()
    return _start_step(replace(state, task=task, index=0), now)


def _start_step(state: Tile, now: float) -> Transition[Tile]:
    if _must_fetch(state, state.at):
        state = replace(state, phase="fetching", asked=now, asks=0)
        return state, _asks(state)
    state = replace(state, phase="computing")
    return state, (_compute(state),)


def _must_fetch(state: Tile, step: int) -> bool:
    return state.fetched < 0 or (step % state.spec.fetch == 0 and step != state.fetched)


def _compute(state: Tile) -> Compute:
    task, index, assignment = state.task, state.index, state.assignment
    assert task is not None
    return Compute(
        state.role,
        assignment.generation,
        assignment.peers,
        task.update,
        index,
        task.batches[index],
        first=index == 0,
        last=index + 1 == len(task.batches),
        onward=not _must_fetch(state, state.at + 1),
    )


def _withdraw(state: Tile) -> Transition[Tile]:
    computing = state.phase == "computing"
    state = replace(state, phase="idle", task=None)
    return state, (Cancel(state.role),) if computing else ()


def _count_done(state: Tile) -> Tile:
    """Count everything below the first unacknowledged task as done."""
    work = state.assignment.work
    if not work:
        return state
    left = (task.update.number for task in work if task.update not in state.pushed)
    return replace(state, done=next(left, work[-1].update.number + 1))


# --- sending -------------------------------------------------------------------------------------------------------


def _fence(state: Tile) -> TileFence | None:
    assignment = state.assignment
    if assignment.server is None:
        return None
    return TileFence(
        state.spec.run, assignment.tile, assignment.server[1], assignment.slot, assignment.generation
    )


def _resend(state: Tile, now: float, moved: bool = False) -> Transition[Tile]:
    """Send again what has waited too long for its answer; to a new primary, everything, as if for the first time."""
    asks = state.phase == "fetching" and (
        moved or state.asked + wait(state.retry / SOONER, state.asks) <= now
    )
    if asks:
        state = replace(state, asked=now, asks=0 if moved else state.asks + 1)
    due = {
        push.update: replace(
            push, sent=now, doublings=state.doublings if moved else push.doublings + 1, again=not moved
        )
        for push in state.outgoing
        if moved or push.sent + wait(state.retry, push.doublings) <= now
    }
    state = replace(state, outgoing=tuple(due.get(push.update, push) for push in state.outgoing))
    return state, _sends(state, tuple(due.values())) + (_asks(state) if asks else ())


def _sends(state: Tile, pushes: tuple[Outgoing, ...]) -> tuple[Instruction, ...]:
    fence, server = _fence(state), state.assignment.server
    if fence is None or server is None:
        return ()
    return tuple(Send(server[0], Push(fence, push.update, push.version, push.payload)) for push in pushes)


def _asks(state: Tile) -> tuple[Instruction, ...]:
    fence, server = _fence(state), state.assignment.server
    return () if fence is None or server is None else (Send(server[0], Pull(fence, state.at)),)
