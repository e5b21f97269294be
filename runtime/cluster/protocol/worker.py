"""All roles of one process: reconciles them with the desired state, routes messages and events, sends heartbeats.

Control is by state, not by command: a desired state lists all roles that the worker is to have, a heartbeat all that it
has. What travels is how they differ from the one before; a repeated or late one does no harm, because their numbers rise,
and where one was lost, the next is refused and everything is told again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import assert_never

from . import lead as leading
from . import replica as computing
from . import standby as waiting
from .changes import applied
from .events import COORDINATOR, MemoryMeasured, PeersUnreachable, Received, RoleId, Tick, WorkerEvent
from .instructions import Drop, Instruction, Refused, Send, SetTimer, Stopped, Transition
from .messages import (
    MAX_UNREACHABLE,
    AppendAck,
    AppendEntries,
    DesiredState,
    DesiredStateChange,
    Heartbeat,
    HeartbeatRequest,
    InstallSnapshot,
    LeaseRenewal,
    Message,
    PrimaryAssignment,
    PrimaryStatus,
    Process,
    Promoted,
    Pull,
    PullReply,
    Push,
    PushAck,
    Reinstated,
    ReserveAssignment,
    Restored,
    StandbyAssignment,
    StandbyFence,
    TileAssignment,
    TileFence,
    TileStatus,
    ToWorker,
    WorkerMemory,
)
from .primary import Primary
from .replica import Tile
from .spec import Rules, Spec
from .standby import Standby

ServerRole = Primary | Standby
ServerAssignment = PrimaryAssignment | StandbyAssignment | ReserveAssignment


@dataclass(frozen=True, slots=True)
class Report:
    """What a heartbeat tells."""

    tiles: tuple[TileStatus, ...]
    primaries: tuple[PrimaryStatus, ...]
    unreachable: tuple[str, ...]
    memory: WorkerMemory | None


@dataclass(frozen=True, slots=True)
class Worker:
    """`name`: of this process, never used again; `desired`: the state that it obeys; `unreachable`: peers that
    acknowledge nothing. `told`: what the coordinator was told, in the heartbeat with the number `report`, 0: it is to be
    told everything, at once. `early`: by shard and slot, the newest pull of a tile that knows of a newer term or generation
    than the server here does: the desired state that says so is on its way.
    """

    spec: Spec
    rules: Rules
    name: str
    host: str
    place: str
    capacity: int
    tiles: Mapping[tuple[int, int], Tile] = field(default_factory=dict)
    servers: Mapping[int, ServerRole] = field(default_factory=dict)
    early: Mapping[tuple[int, int], Received] = field(default_factory=dict)
    desired: DesiredState | None = None
    roles_begun: int = 0
    unreachable: tuple[str, ...] = ()
    heartbeats: int = 0
    last_heartbeat: float = -inf
    told: Report | None = None
    report: int = 0
    timer: float = inf
    stopped: bool = False
    memory: WorkerMemory | None = None

    @property
    def version(self) -> int:
        """Of the desired state that it obeys."""
        return 0 if self.desired is None else self.desired.version


def begin(
    spec: Spec,
    name: str,
    host: str,
    now: float,
    place: str = "",
    capacity: int = 1,
    rules: Rules | None = None,
    memory: WorkerMemory | None = None,
) -> Transition[Worker]:
    """Join a run; `capacity`: how many tiles the process can hold."""
    return _heartbeat(Worker(spec, rules or Rules(), name, host, place or name, capacity, memory=memory), now)


def step(state: Worker, event: WorkerEvent) -> Transition[Worker]:
    """Dispatch an event to its role, then send a heartbeat if the status changed."""
    if state.stopped:
        return state, ()
    match event:
        case Received(_, _, DesiredStateChange() | LeaseRenewal() | HeartbeatRequest() as message):
            state, first = _obey(state, event.now, message)
        case Received(_, _, message):
            state, first = _route(state, event, message)
        case Tick():
            state, first = _tick(state, event)
        case MemoryMeasured(_, memory):
            state, first = replace(state, memory=memory), ()
        case PeersUnreachable(_, peers):
            state, first = replace(state, unreachable=peers[:MAX_UNREACHABLE]), ()
        case _:
            state, first = _own(state, event, event.role)
    state, then = _heartbeat(state, event.now)
    return state, first + then


def peers(state: Worker) -> frozenset[str]:
    """Return the workers that the roles here send messages to."""
    assignments = [tile.assignment for tile in state.tiles.values()]
    found = {peer for tile in assignments for peer in state.spec.partners_of(tile.tile, tile.peers)}
    found |= {server[0] for tile in assignments for server in tile.servers if server is not None}
    primaries = [server for server in state.servers.values() if isinstance(server, Primary)]
    found |= {
        primary.assignment.standby[0] for primary in primaries if primary.assignment.standby is not None
    }
    return frozenset(found - {state.name, ""})


# --- routing -------------------------------------------------------------------------------------------------------


def _route(state: Worker, event: Received, message: Message) -> Transition[Worker]:
    """Pass a message to its role; a kind of message that is not named here does not type-check."""
    if isinstance(message, Heartbeat | ToWorker) or message.fence.run != state.spec.run:
        return state, (Refused("of another run", message),)
    server = state.servers.get(message.fence.shard)
    match message:
        case PullReply() | PushAck():
            tile = state.tiles.get((message.fence.slot, state.spec.tile_of(message.fence.shard)))
            return _with_tile(state, tile, event) if tile is not None else _nobody(state, message)
        case Pull(fence) if server is not None and _is_early(server, fence):
            return replace(state, early={**state.early, (fence.shard, fence.slot): event}), ()
        case Push() | Pull() | AppendAck() if isinstance(server, Primary):
            return _with_server(state, server, event)
        case InstallSnapshot() | AppendEntries() if isinstance(server, Standby):
            return _with_server(state, server, event)
        case Push() | Pull() | AppendAck() | InstallSnapshot() | AppendEntries():
            return _nobody(state, message)
    assert_never(message)


def _is_early(server: ServerRole, fence: TileFence) -> bool:
    """Tell whether a tile knows of a newer term, or generation of its replica, than a server does."""
    if not 0 <= fence.slot < server.spec.replicas:
        return False
    if isinstance(server, Standby):
        return fence.term > server.fence.term
    live = server.assignment.roster.find(fence.slot)
    known = server.assignment.term, live.generation if live is not None else -1
    return (fence.term, fence.generation) > known


def _nobody(state: Worker, message: Message) -> Transition[Worker]:
    return state, (Refused("no such role here", message),)


def _own(state: Worker, event: WorkerEvent, role: RoleId) -> Transition[Worker]:
    """Pass an event about numerics to the role that asked for them, if it is still alive."""
    if role.kind == "tile":
        tile = state.tiles.get((role.slot, role.index))
        return _with_tile(state, tile, event) if tile is not None and tile.role == role else (state, ())
    server = state.servers.get(role.index)
    return _with_server(state, server, event) if server is not None and server.role == role else (state, ())


def _with_tile(state: Worker, tile: Tile, event: WorkerEvent) -> Transition[Worker]:
    tile, instructions = computing.step(tile, event)
    return replace(
        state, tiles={**state.tiles, (tile.assignment.slot, tile.assignment.tile): tile}
    ), instructions


def _with_server(state: Worker, server: ServerRole, event: WorkerEvent) -> Transition[Worker]:
    stepped: Transition[ServerRole] = (
        leading.step(server, event) if isinstance(server, Primary) else waiting.step(server, event)
    )
    return replace(state, servers={**state.servers, server.role.index: stepped[0]}), stepped[1]


def _tick(state: Worker, event: Tick) -> Transition[Worker]:
    state = replace(state, timer=inf)
    done: tuple[Instruction, ...] = ()
    for tile in state.tiles.values():
        if tile.wakes <= event.now:
            state, more = _with_tile(state, tile, event)
            done += more
    for server in state.servers.values():
        if isinstance(server, Primary) and server.wakes <= event.now:
            state, more = _with_server(state, server, event)
            done += more
    return state, done


# --- desired state -------------------------------------------------------------------------------------------------


def _obey(state: Worker, now: float, message: ToWorker) -> Transition[Worker]:
    """Take what the coordinator sends: a change of the desired state, or that it is the same, or that more is to be told."""
    if (message.run, message.worker) != (state.spec.run, state.name):
        return state, (Refused("of another run", message),)
    match message:
        case HeartbeatRequest():
            return replace(state, report=0), ()
        case LeaseRenewal():
            return _renew(state, now, message)
        case DesiredStateChange():
            return _change(state, now, message)
    assert_never(message)


def _renew(state: Worker, now: float, renewal: LeaseRenewal) -> Transition[Worker]:
    """Renew the leases of the desired state that is obeyed, if it is just this one."""
    if state.rules.exact_renewal and renewal.version != state.version:
        return state, (Refused("a renewal of another desired state", renewal),)
    done: tuple[Instruction, ...] = ()
    for primary in state.desired.primaries if state.desired is not None else ():
        if primary.leased:
            state, more = _lead(state, now, primary, renewal.echo + state.spec.times.lease)
            done += more
    return state, done


def _change(state: Worker, now: float, change: DesiredStateChange) -> Transition[Worker]:
    if state.rules.fence and change.version <= state.version:
        return state, (Refused("older than the desired state obeyed", change),)
    desired = None
    if change.base in (0, state.version) or not state.rules.based:
        desired = applied(state.desired, change)
    if desired is None:
        return replace(state, report=0), (Refused("based on a desired state that never came", change),)
    return _reconcile(state, now, desired)


def _reconcile(state: Worker, now: float, desired: DesiredState) -> Transition[Worker]:
    """Begin, change and drop roles until they are those of the newest desired state."""
    state = replace(state, desired=desired)
    state, dropped = _drop(state, desired)
    lease_until = desired.echo + state.spec.times.lease
    done: list[Instruction] = [*dropped]
    for primary in desired.primaries:
        state, more = _lead(state, now, primary, lease_until if primary.leased else -inf)
        done += more
    for reserve in desired.reserves:
        state = _retire(state, reserve)
    for standby in desired.standbys:
        state = _stand_by(state, standby)
    for tile in desired.tiles:
        state, more = _compute(state, now, tile)
        done += more
    state, early = replace(state, early={}), state.early
    for pull in early.values():
        state, more = _route(state, replace(pull, now=now), pull.message)
        done += more
    if desired.stop:
        return replace(state, stopped=True), (*done, Stopped())
    return state, tuple(done)


def _drop(state: Worker, desired: DesiredState) -> Transition[Worker]:
    """Drop the roles that are not listed any more, or only in another generation, term or incarnation."""
    generations = {(assignment.slot, assignment.tile): assignment.generation for assignment in desired.tiles}
    tiles = {key: t for key, t in state.tiles.items() if generations.get(key) == t.assignment.generation}
    listed: tuple[ServerAssignment, ...] = (*desired.primaries, *desired.standbys, *desired.reserves)
    assignments = {assignment.shard: assignment for assignment in listed}
    servers = {i: s for i, s in state.servers.items() if i in assignments and _continues(s, assignments[i])}
    gone = [t.role for key, t in state.tiles.items() if key not in tiles]
    gone += [s.role for i, s in state.servers.items() if i not in servers]
    return replace(state, tiles=tiles, servers=servers), tuple(Drop(role) for role in gone)


def _continues(server: ServerRole, assignment: ServerAssignment) -> bool:
    """Tell whether a server has an assignment, or can take it with its present state."""
    if isinstance(server, Primary):
        back = isinstance(assignment, PrimaryAssignment) and assignment.origin == Reinstated(
            server.assignment.term
        )
        return back or (
            not isinstance(assignment, StandbyAssignment) and server.assignment.term == assignment.term
        )
    if isinstance(assignment, StandbyAssignment):
        return (server.fence.term, server.fence.incarnation) == (assignment.term, assignment.incarnation)
    return (
        isinstance(assignment, PrimaryAssignment)
        and assignment.origin == Promoted(server.fence.incarnation)
        and server.ledger is not None
    )


def _lead(state: Worker, now: float, assignment: PrimaryAssignment, lease_until: float) -> Transition[Worker]:
    server = state.servers.get(assignment.shard)
    if server is None and not isinstance(assignment.origin, Restored):
        return state, ()  # what was to be promoted is gone: the coordinator will hear of no such primary
    state, role = _new_role(state, "server", 0, assignment.shard)
    if server is None:
        primary, done = leading.begin(state.spec, state.rules, role, assignment, lease_until)
    else:
        if isinstance(server, Standby):
            server = leading.promote(server, assignment, lease_until)
        primary, done = leading.reconcile(server, now, assignment, lease_until)
    return replace(state, servers={**state.servers, assignment.shard: primary}), done


def _retire(state: Worker, assignment: ReserveAssignment) -> Worker:
    server = state.servers.get(assignment.shard)
    if not isinstance(server, Primary):
        return state
    return replace(state, servers={**state.servers, assignment.shard: leading.retire(server)})


def _stand_by(state: Worker, assignment: StandbyAssignment) -> Worker:
    if assignment.shard in state.servers:
        return state
    state, role = _new_role(state, "server", 0, assignment.shard)
    fence = StandbyFence(state.spec.run, assignment.shard, assignment.term, assignment.incarnation)
    standby = Standby(state.spec, state.rules, role, fence)
    return replace(state, servers={**state.servers, assignment.shard: standby})


def _compute(state: Worker, now: float, assignment: TileAssignment) -> Transition[Worker]:
    tile = state.tiles.get((assignment.slot, assignment.tile))
    if tile is None:
        state, role = _new_role(state, "tile", assignment.slot, assignment.tile)
        tile = Tile(state.spec, state.rules, role, assignment)
    tile, done = computing.reconcile(tile, now, assignment)
    return replace(state, tiles={**state.tiles, (assignment.slot, assignment.tile): tile}), done


def _new_role(state: Worker, kind: str, slot: int, index: int) -> tuple[Worker, RoleId]:
    return replace(state, roles_begun=state.roles_begun + 1), RoleId(kind, slot, index, state.roles_begun + 1)


# --- heartbeats ----------------------------------------------------------------------------------------------------


def _heartbeat(state: Worker, now: float) -> Transition[Worker]:
    """Send a heartbeat when there is something to tell or an interval has passed; then set the timer."""
    tiles = tuple(computing.status(tile) for tile in state.tiles.values())
    primaries = tuple(leading.status(s) for s in state.servers.values() if isinstance(s, Primary))
    told, whole = state.told, state.report == 0
    changed = told is None or (tiles, primaries, state.unreachable) != (
        told.tiles,
        told.primaries,
        told.unreachable,
    )
    if not (changed or whole) and now < state.last_heartbeat + state.spec.times.heartbeat_interval:
        return _set_timer(state, now, ())
    memory = state.memory if whole or told is None or differs(told.memory, state.memory) else told.memory
    report = Report(tiles, primaries, state.unreachable, memory)
    heartbeat = _difference(state, None if whole else told, report, now)
    state = replace(
        state,
        heartbeats=heartbeat.number,
        last_heartbeat=now,
        told=report,
        report=state.report if heartbeat.bare else heartbeat.number,
    )
    return _set_timer(state, now, (Send(COORDINATOR, heartbeat),))


def _difference(state: Worker, told: Report | None, report: Report, now: float) -> Heartbeat:
    """Return a heartbeat that tells how a report differs from the one before, or all of it."""
    number, run = state.heartbeats + 1, state.spec.run
    if told is None:
        process = Process(state.host, state.place, state.capacity)
        return Heartbeat(
            run,
            state.name,
            number,
            now,
            0,
            state.version,
            process,
            report.tiles,
            report.primaries,
            report.unreachable,
            report.memory,
        )
    return Heartbeat(
        run,
        state.name,
        number,
        now,
        state.report,
        state.version,
        None,
        None if report.tiles == told.tiles else report.tiles,
        None if report.primaries == told.primaries else report.primaries,
        None if report.unreachable == told.unreachable else report.unreachable,
        None if report.memory == told.memory else report.memory,
    )


def differs(told: WorkerMemory | None, memory: WorkerMemory | None) -> bool:
    """Tell whether memory is another one by more than a hundredth: it changes all the time by a little."""
    if told is None or memory is None or (told.pool, told.limit) != (memory.pool, memory.limit):
        return told != memory
    moved = max(abs(told.free - memory.free), abs(told.held - memory.held))
    return moved > (told.free + told.held) / 100


def _set_timer(state: Worker, now: float, done: tuple[Instruction, ...]) -> Transition[Worker]:
    wakes = [tile.wakes for tile in state.tiles.values()]
    wakes += [server.wakes for server in state.servers.values() if isinstance(server, Primary)]
    at = max(now, min((state.last_heartbeat + state.spec.times.heartbeat_interval, *wakes)))
    if at == state.timer:
        return state, done
    return replace(state, timer=at), (*done, SetTimer(at))
