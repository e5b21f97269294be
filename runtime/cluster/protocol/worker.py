"""All roles of one process: reconciles them with the desired state, routes messages and events, sends heartbeats.

Control is by state, not by command: a desired state lists all roles that the worker is to have, a heartbeat all that it
has. A lost, repeated or late one does no harm, because the next says the same and their numbers rise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import assert_never

from . import lead as leading
from . import replica as computing
from . import standby as waiting
from .events import COORDINATOR, MemoryMeasured, PeersUnreachable, Received, RoleId, Tick, WorkerEvent
from .instructions import Drop, Instruction, Refused, Send, SetTimer, Stopped, Transition
from .messages import (
    MAX_UNREACHABLE,
    AppendAck,
    AppendEntries,
    DesiredState,
    Heartbeat,
    InstallSnapshot,
    Message,
    PrimaryAssignment,
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
    WorkerMemory,
)
from .primary import Primary
from .replica import Tile
from .spec import Rules, Spec
from .standby import Standby

ServerRole = Primary | Standby
ServerAssignment = PrimaryAssignment | StandbyAssignment | ReserveAssignment


@dataclass(frozen=True, slots=True)
class Worker:
    """`name`: of this process, never used again; `version`: of the desired state that it has; `unreachable`: peers that
    acknowledge nothing.
    """

    spec: Spec
    rules: Rules
    name: str
    host: str
    place: str
    capacity: int
    tiles: Mapping[tuple[int, int], Tile] = field(default_factory=dict)
    servers: Mapping[int, ServerRole] = field(default_factory=dict)
    version: int = 0
    roles_begun: int = 0
    unreachable: tuple[str, ...] = ()
    heartbeats: int = 0
    last_heartbeat: float = -inf
    last_status: tuple[object, ...] = ()
    timer: float = inf
    stopped: bool = False
    memory: WorkerMemory | None = None


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
        case Received(_, _, DesiredState() as desired):
            state, first = _reconcile(state, event.now, desired)
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
    found = {peer for tile in state.tiles.values() for peer in tile.assignment.peers}
    found |= {
        tile.assignment.server[0] for tile in state.tiles.values() if tile.assignment.server is not None
    }
    primaries = [server for server in state.servers.values() if isinstance(server, Primary)]
    found |= {
        primary.assignment.standby[0] for primary in primaries if primary.assignment.standby is not None
    }
    return frozenset(found - {state.name, ""})


# --- routing -------------------------------------------------------------------------------------------------------


def _route(state: Worker, event: Received, message: Message) -> Transition[Worker]:
    """Pass a message to its role; a kind of message that is not named here does not type-check."""
    if isinstance(message, Heartbeat | DesiredState) or message.fence.run != state.spec.run:
        return state, (Refused("of another run", message),)
    server = state.servers.get(message.fence.shard)
    match message:
        case PullReply() | PushAck():
            tile = state.tiles.get((message.fence.slot, message.fence.shard))
            return _with_tile(state, tile, event) if tile is not None else _nobody(state, message)
        case Push() | Pull() | AppendAck() if isinstance(server, Primary):
            return _with_server(state, server, event)
        case InstallSnapshot() | AppendEntries() if isinstance(server, Standby):
            return _with_server(state, server, event)
        case Push() | Pull() | AppendAck() | InstallSnapshot() | AppendEntries():
            return _nobody(state, message)
    assert_never(message)


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


def _reconcile(state: Worker, now: float, desired: DesiredState) -> Transition[Worker]:
    """Begin, change and drop roles until they are those of the newest desired state."""
    if (desired.run, desired.worker) != (state.spec.run, state.name):
        return state, (Refused("of another run", desired),)
    if state.rules.fence and desired.version <= state.version:
        return state, (Refused("older than the orders obeyed", desired),)
    state = replace(state, version=desired.version)
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
    """Send a heartbeat when the status changed or an interval has passed; then set the timer."""
    tiles = tuple(computing.status(tile) for tile in state.tiles.values())
    primaries = tuple(leading.status(s) for s in state.servers.values() if isinstance(s, Primary))
    status = (tiles, primaries, state.unreachable)
    if status == state.last_status and now < state.last_heartbeat + state.spec.times.heartbeat_interval:
        return _set_timer(state, now, ())
    number = state.heartbeats + 1
    heartbeat = Heartbeat(
        state.spec.run,
        state.name,
        number,
        now,
        state.host,
        state.place,
        state.capacity,
        tiles,
        primaries,
        state.unreachable,
        state.memory,
    )
    state = replace(state, heartbeats=number, last_heartbeat=now, last_status=status)
    return _set_timer(state, now, (Send(COORDINATOR, heartbeat),))


def _set_timer(state: Worker, now: float, done: tuple[Instruction, ...]) -> Transition[Worker]:
    wakes = [tile.wakes for tile in state.tiles.values()]
    wakes += [server.wakes for server in state.servers.values() if isinstance(server, Primary)]
    at = max(now, min((state.last_heartbeat + state.spec.times.heartbeat_interval, *wakes)))
    if at == state.timer:
        return state, done
    return replace(state, timer=at), (*done, SetTimer(at))
