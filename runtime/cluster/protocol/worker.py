"""All roles of one process: obeys the coordinator's orders, routes messages and events, reports what is.

Control is by state, not by command: an order lists all that the worker is to be, a report all that it is. A lost,
repeated or late one does no harm, because the next says the same and their numbers rise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import assert_never

from . import lead as leading
from . import replica as computing
from . import standby as waiting
from .events import COORDINATOR, Measured, Owner, Received, Tick, Unreached, WorkerEvent
from .instructions import Drop, Instruction, Refused, Send, SetTimer, Stopped
from .messages import (
    MOST_NAMED,
    Fill,
    Held,
    Log,
    Memory,
    Message,
    Orders,
    Pair,
    Params,
    PrimaryDuty,
    Promoted,
    Pull,
    Push,
    Pushed,
    Reinstated,
    Report,
    ReserveDuty,
    Restored,
    StandbyDuty,
    TileDuty,
)
from .primary import Primary
from .replica import Tile
from .spec import Rules, Spec
from .standby import Standby

Step = tuple["Worker", tuple[Instruction, ...]]
Server = Primary | Standby
ServerDuty = PrimaryDuty | StandbyDuty | ReserveDuty


@dataclass(frozen=True, slots=True)
class Worker:
    """`name`: of this incarnation, never used again; `orders`: the newest obeyed; `lives`: roles begun so far.

    `unreached`: peers that acknowledge nothing.
    """

    spec: Spec
    rules: Rules
    name: str
    host: str
    place: str
    capacity: int
    tiles: Mapping[tuple[int, int], Tile] = field(default_factory=dict)
    servers: Mapping[int, Server] = field(default_factory=dict)
    orders: int = 0
    lives: int = 0
    unreached: tuple[str, ...] = ()
    reports: int = 0
    beat: float = -inf
    said: tuple[object, ...] = ()
    timer: float = inf
    stopped: bool = False
    memory: Memory | None = None


def begin(
    spec: Spec,
    name: str,
    host: str,
    now: float,
    place: str = "",
    capacity: int = 1,
    rules: Rules | None = None,
    memory: Memory | None = None,
) -> Step:
    """Join a run; `capacity`: how many tiles the process can hold."""
    return _report(Worker(spec, rules or Rules(), name, host, place or name, capacity, memory=memory), now)


def step(state: Worker, event: WorkerEvent) -> Step:
    """Dispatch an event to its role, then report changes."""
    if state.stopped:
        return state, ()
    match event:
        case Received(_, _, Orders() as orders):
            state, first = _obey(state, event.now, orders)
        case Received(_, _, message):
            state, first = _route(state, event, message)
        case Tick():
            state, first = _tick(state, event)
        case Measured(_, memory):
            state, first = replace(state, memory=memory), ()
        case Unreached(_, peers):
            state, first = replace(state, unreached=peers[:MOST_NAMED]), ()
        case _:
            state, first = _own(state, event, event.owner)
    state, then = _report(state, event.now)
    return state, first + then


def peers(state: Worker) -> frozenset[str]:
    """Return the workers that the roles here send something to."""
    found = {peer for tile in state.tiles.values() for peer in tile.duty.peers}
    found |= {tile.duty.server[0] for tile in state.tiles.values() if tile.duty.server is not None}
    primaries = [server for server in state.servers.values() if isinstance(server, Primary)]
    found |= {primary.duty.standby[0] for primary in primaries if primary.duty.standby is not None}
    return frozenset(found - {state.name, ""})


# --- routing -------------------------------------------------------------------------------------------------------


def _route(state: Worker, event: Received, message: Message) -> Step:
    """Pass a message to the role that it is for; a kind of message without a role here does not type-check."""
    if isinstance(message, Report | Orders) or message.fence.run != state.spec.run:
        return state, (Refused("of another run", message),)
    server = state.servers.get(message.fence.shard)
    match message:
        case Params() | Pushed():
            tile = state.tiles.get((message.fence.slot, message.fence.shard))
            return _with_tile(state, tile, event) if tile is not None else _nobody(state, message)
        case Push() | Pull() | Held() if isinstance(server, Primary):
            return _with_server(state, server, event)
        case Fill() | Log() if isinstance(server, Standby):
            return _with_server(state, server, event)
        case Push() | Pull() | Held() | Fill() | Log():
            return _nobody(state, message)
    assert_never(message)


def _nobody(state: Worker, message: Message) -> Step:
    return state, (Refused("no such role here", message),)


def _own(state: Worker, event: WorkerEvent, owner: Owner) -> Step:
    """Pass an event about numerics to the role that asked for them, if it is still alive."""
    if owner.kind == "tile":
        tile = state.tiles.get((owner.slot, owner.index))
        return _with_tile(state, tile, event) if tile is not None and tile.owner == owner else (state, ())
    server = state.servers.get(owner.index)
    return _with_server(state, server, event) if server is not None and server.owner == owner else (state, ())


def _with_tile(state: Worker, tile: Tile, event: WorkerEvent) -> Step:
    tile, instructions = computing.step(tile, event)
    return replace(state, tiles={**state.tiles, (tile.duty.slot, tile.duty.tile): tile}), instructions


def _with_server(state: Worker, server: Server, event: WorkerEvent) -> Step:
    stepped: tuple[Server, tuple[Instruction, ...]] = (
        leading.step(server, event) if isinstance(server, Primary) else waiting.step(server, event)
    )
    return replace(state, servers={**state.servers, server.owner.index: stepped[0]}), stepped[1]


def _tick(state: Worker, event: Tick) -> Step:
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


# --- orders --------------------------------------------------------------------------------------------------------


def _obey(state: Worker, now: float, orders: Orders) -> Step:
    """Become what the newest orders say."""
    if (orders.run, orders.worker) != (state.spec.run, state.name):
        return state, (Refused("of another run", orders),)
    if state.rules.fence and orders.version <= state.orders:
        return state, (Refused("older than the orders obeyed", orders),)
    state = replace(state, orders=orders.version)
    state, dropped = _drop(state, orders)
    lease_until = orders.echo + state.spec.times.lease
    done: list[Instruction] = [*dropped]
    for primary in orders.primaries:
        state, more = _lead(state, now, primary, lease_until if primary.leased else -inf)
        done += more
    for reserve in orders.reserves:
        state = _retire(state, reserve)
    for standby in orders.standbys:
        state = _stand_by(state, standby)
    for tile in orders.tiles:
        state, more = _compute(state, now, tile)
        done += more
    if orders.stop:
        return replace(state, stopped=True), (*done, Stopped())
    return state, tuple(done)


def _drop(state: Worker, orders: Orders) -> Step:
    """Forget the roles that are not listed any more, or only in another generation, term or filling."""
    generations = {(duty.slot, duty.tile): duty.generation for duty in orders.tiles}
    tiles = {key: t for key, t in state.tiles.items() if generations.get(key) == t.duty.generation}
    listed: tuple[ServerDuty, ...] = (*orders.primaries, *orders.standbys, *orders.reserves)
    duties = {duty.shard: duty for duty in listed}
    servers = {i: s for i, s in state.servers.items() if i in duties and _continues(s, duties[i])}
    gone = [t.owner for key, t in state.tiles.items() if key not in tiles]
    gone += [s.owner for i, s in state.servers.items() if i not in servers]
    return replace(state, tiles=tiles, servers=servers), tuple(Drop(owner) for owner in gone)


def _continues(server: Server, duty: ServerDuty) -> bool:
    """Tell whether a server fulfils a duty, or can with its present state."""
    if isinstance(server, Primary):
        back = isinstance(duty, PrimaryDuty) and duty.origin == Reinstated(server.duty.term)
        return back or (not isinstance(duty, StandbyDuty) and server.duty.term == duty.term)
    if isinstance(duty, StandbyDuty):
        return (server.fence.term, server.fence.filling) == (duty.term, duty.filling)
    return (
        isinstance(duty, PrimaryDuty)
        and duty.origin == Promoted(server.fence.filling)
        and server.ledger is not None
    )


def _lead(state: Worker, now: float, duty: PrimaryDuty, lease_until: float) -> Step:
    server = state.servers.get(duty.shard)
    if server is None and not isinstance(duty.origin, Restored):
        return state, ()  # what was to be promoted is gone: the coordinator will hear of no such primary
    state, owner = _new_owner(state, "server", 0, duty.shard)
    if server is None:
        primary, done = leading.begin(state.spec, state.rules, owner, duty, lease_until)
    else:
        if isinstance(server, Standby):
            server = leading.promote(server, duty, lease_until)
        primary, done = leading.ordered(server, now, duty, lease_until)
    return replace(state, servers={**state.servers, duty.shard: primary}), done


def _retire(state: Worker, duty: ReserveDuty) -> Worker:
    server = state.servers.get(duty.shard)
    if not isinstance(server, Primary):
        return state
    return replace(state, servers={**state.servers, duty.shard: leading.retire(server)})


def _stand_by(state: Worker, duty: StandbyDuty) -> Worker:
    if duty.shard in state.servers:
        return state
    state, owner = _new_owner(state, "server", 0, duty.shard)
    fence = Pair(state.spec.run, duty.shard, duty.term, duty.filling)
    standby = Standby(state.spec, state.rules, owner, fence)
    return replace(state, servers={**state.servers, duty.shard: standby})


def _compute(state: Worker, now: float, duty: TileDuty) -> Step:
    tile = state.tiles.get((duty.slot, duty.tile))
    if tile is None:
        state, owner = _new_owner(state, "tile", duty.slot, duty.tile)
        tile = Tile(state.spec, state.rules, owner, duty)
    tile, done = computing.ordered(tile, now, duty)
    return replace(state, tiles={**state.tiles, (duty.slot, duty.tile): tile}), done


def _new_owner(state: Worker, kind: str, slot: int, index: int) -> tuple[Worker, Owner]:
    return replace(state, lives=state.lives + 1), Owner(kind, slot, index, state.lives + 1)


# --- reports -------------------------------------------------------------------------------------------------------


def _report(state: Worker, now: float) -> Step:
    """Report what is new at once, and everything now and then; then see to the timer."""
    tiles = tuple(computing.status(tile) for tile in state.tiles.values())
    primaries = tuple(leading.status(s) for s in state.servers.values() if isinstance(s, Primary))
    said = (tiles, primaries, state.unreached)
    if said == state.said and now < state.beat + state.spec.times.beat:
        return _set_timer(state, now, ())
    number = state.reports + 1
    report = Report(
        state.spec.run,
        state.name,
        number,
        now,
        state.host,
        state.place,
        state.capacity,
        tiles,
        primaries,
        state.unreached,
        state.memory,
    )
    state = replace(state, reports=number, beat=now, said=said)
    return _set_timer(state, now, (Send(COORDINATOR, report),))


def _set_timer(state: Worker, now: float, done: tuple[Instruction, ...]) -> Step:
    wakes = [tile.wakes for tile in state.tiles.values()]
    wakes += [server.wakes for server in state.servers.values() if isinstance(server, Primary)]
    at = max(now, min((state.beat + state.spec.times.beat, *wakes)))
    if at == state.timer:
        return state, done
    return replace(state, timer=at), (*done, SetTimer(at))
