"""One tile of one replica: fetches parameters, computes the steps of its tasks, pushes their gradients.

    idle --task--> fetching --PullReply--> computing --Computed--> computing the next step, or idle with a Push under way
              \\________ (own copy) ________/
    idle --validation--> fetching --PullReply--> validating --PartValidated--> holding --the order is gone--> idle
                                                    to be kept:  holding --> writing --ParamsWritten--> holding

It fetches from all shards of its parameters and pushes to each: an update is done when all have acknowledged it. All
tiles of a replica get the same tasks in the same order, so that their exchanges match. Losing a tile ends the generation:
in the next one every tile starts again with the first task that is not done. A validation comes after the tasks below a
number and before all others, at every tile; what it was made of is held until the coordinator has judged it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from statistics import median
from typing import Literal

from .events import Computed, ParamsWritten, PartValidated, PeerLost, Received, RoleId, WorkerEvent
from .instructions import (
    Cancel,
    Compute,
    Instruction,
    LoadParams,
    Refused,
    Send,
    Transition,
    Validate,
    WriteParams,
)
from .messages import Payload, Pull, PullReply, Push, PushAck, Task, TileAssignment, TileFence, TileStatus
from .retry import doubled, doublings_for, wait
from .spec import Rules, Spec
from .updates import Update
from .validations import ValidatedPart, ValidationOrder

SOONER = 4
"""How much sooner a fetch is asked for again than a push: it is small, and nothing is computed without it."""
PACED = 30
"""Steps after which a tile says again what one takes it."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A push to a shard that is not acknowledged yet. `doublings`: of the wait for its ack; `again`: sent more than once."""

    update: Update
    shard: int
    version: int
    payload: Payload
    sent: float
    doublings: int
    again: bool = False


@dataclass(frozen=True, slots=True)
class Tile:
    """`fetched`: the step that the own copy of the parameters was fetched for, -1: none; `versions`: the heads of its shards
    then. Of a fetch under way `replies` are those that have come, by shard; it began at `began`, was sent at `asked`, maybe
    `again`, and is sent once more after a wait with so many `doublings`.

    `pushed`: acknowledged updates, and the generations whose computation the shards have, by shard; `fetch_doublings`,
    `push_doublings`: of the first waits of the next fetch and push. `seconds`: of the last steps, from which `pace` follows.
    `validated`: what was found in the validation that is ordered. What is fetched without a `task` is for that.
    """

    spec: Spec
    rules: Rules
    role: RoleId
    assignment: TileAssignment
    phase: Literal["idle", "fetching", "computing", "validating", "holding", "writing", "stuck"] = "idle"
    task: Task | None = None
    index: int = 0
    fetched: int = -1
    versions: tuple[int, ...] = ()
    replies: Mapping[int, PullReply] = field(default_factory=dict)
    began: float = 0.0
    asked: float = 0.0
    again: bool = False
    doublings: int = 0
    fetch_doublings: int = 0
    push_doublings: int = 0
    computed: frozenset[Update] = field(default_factory=frozenset)
    pushed: Mapping[Update, Mapping[int, int]] = field(default_factory=dict)
    outgoing: tuple[Outgoing, ...] = ()
    done: int = 0
    seconds: tuple[float, ...] = ()
    pace: int = 0
    validated: ValidatedPart | None = None

    @property
    def at(self) -> int:
        """The step of the replica slot that is being worked on, or that parameters are fetched for to be validated.

        Asynchronous, a validation has a number of its own, below all steps: no primary lets it wait for others.
        """
        if self.task is not None:
            return self.task.update.number * self.spec.push + self.index
        return self.order.before if self.spec.synchronous else -self.order.id

    @property
    def order(self) -> ValidationOrder:
        assert self.assignment.validation is not None, "it is ordered"
        return self.assignment.validation

    @property
    def shards(self) -> range:
        return self.spec.shards_of(self.assignment.tile)

    @property
    def wakes(self) -> float:
        """When a tick is due."""
        asked = self.asked + wait(self.retry / SOONER, self.doublings) if self.phase == "fetching" else inf
        return min((asked, *(push.sent + wait(self.retry, push.doublings) for push in self.outgoing)))

    @property
    def retry(self) -> float:
        return self.spec.times.retry


def status(state: Tile) -> TileStatus:
    """Return the status for the coordinator."""
    assignment = state.assignment
    earlier = (
        (update.number, generation)
        for update, generations in state.pushed.items()
        if _is_done(state, update) and set(generations.values()) != {assignment.generation}
        for generation in set(generations.values())
    )
    stuck = state.phase == "stuck"
    return TileStatus(
        assignment.slot,
        assignment.tile,
        assignment.generation,
        state.done,
        stuck,
        tuple(sorted(earlier)),
        state.pace,
        state.validated,
    )


def reconcile(state: Tile, now: float, assignment: TileAssignment) -> Transition[Tile]:
    """Take a new assignment: tasks, primaries and a validation; what is withdrawn is given up."""
    servers = zip(state.shards, state.assignment.servers, assignment.servers, strict=True)
    moved = frozenset(shard for shard, before, after in servers if before != after)
    wanted = {task.update for task in assignment.work}
    before = state.assignment.validation
    state = replace(
        state,
        assignment=assignment,
        computed=state.computed & wanted,
        pushed={update: state.pushed[update] for update in wanted & state.pushed.keys()},
        outgoing=tuple(push for push in state.outgoing if push.update in wanted),
    )
    withdrawn = state.task not in (None, *assignment.work)
    if _id(before) != _id(assignment.validation):
        state = replace(state, validated=None)
        withdrawn |= state.task is None and state.phase not in ("idle", "stuck")
    state, first = _withdraw(state) if withdrawn else (state, ())
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
            if state.rules.fence and message.fence != _primary(state, message.fence.shard)[1]:
                return state, (Refused("of another term or generation", message),)
            return _take(state, event.now, message)
        case Computed():
            return _computed(state, event)
        case PartValidated(_, _, part) if state.phase == "validating" and part.id == state.order.id:
            return replace(state, phase="holding", validated=part), ()
        case ParamsWritten(_, _, id, written) if state.phase == "writing" and id == state.order.id:
            assert state.validated is not None, "it was judged"
            return replace(state, phase="holding", validated=replace(state.validated, written=written)), ()
        case PeerLost() if state.phase != "stuck":
            return replace(state, phase="stuck", task=None), (Cancel(state.role),)
    return state, ()


def _take(state: Tile, now: float, message: PullReply | PushAck) -> Transition[Tile]:
    if isinstance(message, PullReply):
        return _take_reply(state, now, message)
    update, shard = message.update, message.fence.shard
    for push in state.outgoing:
        if (push.update, push.shard) == (update, shard):
            state = replace(state, push_doublings=_learnt(state, push, now))
    rest = tuple(push for push in state.outgoing if (push.update, push.shard) != (update, shard))
    generations = {**state.pushed.get(update, {}), shard: message.generation}
    return _count_done(replace(state, outgoing=rest, pushed={**state.pushed, update: generations})), ()


def _take_reply(state: Tile, now: float, reply: PullReply) -> Transition[Tile]:
    """Compute with the parameters, or validate them, once all shards have sent theirs."""
    if state.phase != "fetching" or reply.step != state.at:
        return state, ()
    replies = {**state.replies, reply.fence.shard: reply}
    if len(replies) < len(state.shards):
        return replace(state, replies=replies), ()
    found = [replies[shard] for shard in state.shards]
    load = LoadParams(state.role, reply.step, tuple(each.payload for each in found))
    versions = tuple(each.version for each in found)
    took = doublings_for(state.retry / SOONER, now - state.began)
    state = replace(
        state,
        phase="validating" if state.task is None else "computing",
        fetched=reply.step,
        versions=versions,
        replies={},
        fetch_doublings=max(state.doublings, took) if state.again else took,
    )
    return state, (load, _validate(state) if state.task is None else _compute(state))


def _learnt(state: Tile, push: Outgoing, now: float) -> int:
    """Return how often to double the next wait, now that an answer has come."""
    return push.doublings if push.again else doublings_for(state.retry, now - push.sent)


def _computed(state: Tile, event: Computed) -> Transition[Tile]:
    """Go on to the task's next step; after its last one, push the sum of gradients to the shards."""
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
    pushes = tuple(
        Outgoing(task.update, shard, version, payload, event.now, state.push_doublings)
        for shard, version, payload in zip(state.shards, state.versions, event.payloads, strict=True)
    )
    state = replace(
        state,
        phase="idle",
        task=None,
        computed=state.computed | {task.update},
        outgoing=(*state.outgoing, *pushes),
    )
    return state, _sends(state, pushes)


def _paced(state: Tile, seconds: float) -> Tile:
    """Count a step's seconds; the median of every `PACED` is told, to two digits, so that it seldom changes."""
    found = (*state.seconds, seconds)
    if len(found) < PACED:
        return replace(state, seconds=found)
    return replace(state, seconds=(), pace=int(float(f"{1e6 * median(found):.1e}")))


def _begin(state: Tile, now: float) -> Transition[Tile]:
    """Begin the validation if its turn has come, or the next task, unless too many pushes are under way."""
    task, order = None, state.assignment.validation
    if state.phase == "idle":
        task = next((task for task in state.assignment.work if task.update not in state.computed), None)
        if (
            order is not None
            and state.validated is None
            and (task is None or task.update.number >= order.before)
        ):
            return _fetch(state, now)
    if state.phase == "holding" and order is not None and order.keep and _unwritten(state):
        return replace(state, phase="writing"), (WriteParams(state.role, order.id),)
    if task is None or len({push.update for push in state.outgoing}) >= state.spec.window:
        return state, ()
    return _start_step(replace(state, task=task, index=0), now)


def _unwritten(state: Tile) -> bool:
    return state.validated is not None and state.validated.written is None


def _id(order: ValidationOrder | None) -> int:
    return 0 if order is None else order.id


def _start_step(state: Tile, now: float) -> Transition[Tile]:
    if _must_fetch(state, state.at):
        return _fetch(state, now)
    state = replace(state, phase="computing")
    return state, (_compute(state),)


def _fetch(state: Tile, now: float) -> Transition[Tile]:
    state = replace(
        state,
        phase="fetching",
        began=now,
        asked=now,
        again=False,
        doublings=state.fetch_doublings,
        replies={},
    )
    return state, _asks(state, state.shards)


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


def _validate(state: Tile) -> Validate:
    assignment, order = state.assignment, state.order
    return Validate(state.role, assignment.generation, assignment.peers, order.id, order.step)


def _withdraw(state: Tile) -> Transition[Tile]:
    computing = state.phase in ("computing", "validating")
    state = replace(state, phase="idle", task=None)
    return state, (Cancel(state.role),) if computing else ()


def _count_done(state: Tile) -> Tile:
    """Count everything below the first unacknowledged task as done."""
    work = state.assignment.work
    if not work:
        return state
    left = (task.update.number for task in work if not _is_done(state, task.update))
    return replace(state, done=next(left, work[-1].update.number + 1))


def _is_done(state: Tile, update: Update) -> bool:
    """Whether all shards have acknowledged an update."""
    return len(state.pushed.get(update, ())) == len(state.shards)


# --- sending -------------------------------------------------------------------------------------------------------


def _primary(state: Tile, shard: int) -> tuple[str, TileFence | None]:
    """Return the worker of a shard's primary, and what fences messages to it; None where the tile knows of no such one."""
    assignment = state.assignment
    server = dict(zip(state.shards, assignment.servers, strict=True)).get(shard)
    if server is None:
        return "", None
    worker, term = server
    return worker, TileFence(state.spec.run, shard, term, assignment.slot, assignment.generation)


def _resend(state: Tile, now: float, moved: Collection[int] = ()) -> Transition[Tile]:
    """Send again what has waited too long for its answer; to a new primary, everything, as if for the first time."""
    asks: tuple[Instruction, ...] = ()
    if state.phase == "fetching":
        late = state.asked + wait(state.retry / SOONER, state.doublings) <= now
        asks = _asks(state, state.shards if late else moved)
        if late or asks:
            doublings = doubled(state.doublings) if late and not moved else state.fetch_doublings
            state = replace(state, asked=now, again=True, doublings=doublings)
    due = {
        (push.update, push.shard): replace(
            push,
            sent=now,
            doublings=state.push_doublings if push.shard in moved else doubled(push.doublings),
            again=push.shard not in moved,
        )
        for push in state.outgoing
        if push.shard in moved or push.sent + wait(state.retry, push.doublings) <= now
    }
    outgoing = tuple(due.get((push.update, push.shard), push) for push in state.outgoing)
    return replace(state, outgoing=outgoing), _sends(state, tuple(due.values())) + asks


def _sends(state: Tile, pushes: tuple[Outgoing, ...]) -> tuple[Instruction, ...]:
    to = [(push, *_primary(state, push.shard)) for push in pushes]
    return tuple(
        Send(worker, Push(fence, push.update, push.version, push.payload))
        for push, worker, fence in to
        if fence is not None
    )


def _asks(state: Tile, shards: Collection[int]) -> tuple[Instruction, ...]:
    """Ask those of some shards that have not answered yet."""
    to = [_primary(state, shard) for shard in shards if shard not in state.replies]
    return tuple(Send(worker, Pull(fence, state.at)) for worker, fence in to if fence is not None)
