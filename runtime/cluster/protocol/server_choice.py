"""On which worker a shard's primary or standby is put.

primary   one that all tiles of the shard reach, then one that has such a tile: parameters pass by reference; of these one
          with the fewest primaries, since a primary sends and receives for all replicas
standby   one that the primary reaches, on another machine than the primary's and never in its process; the worker of the
          reserve copy only if there is no other

and of those that are equal in this the one with the fewest servers, the first by name.
"""

from __future__ import annotations

from collections.abc import Iterator

from . import room
from .ranking import Load, Ranking
from .table import ServerPair, Table


class ServerChoice:
    """The choices of one pass over all shards.

    Without suspected links workers are looked at in the order of how many servers they have, until one fits; with some, all
    are weighed.
    """

    def __init__(self) -> None:
        self._ranking: Ranking | None = None
        self._pools: room.Pools = {}

    def primary(self, table: Table, index: int) -> str | None:
        beside = set(table.computed_by(index))
        if table.apart:
            return min(
                roomy(table, index),
                key=lambda name: (
                    unserved(table, index, name),
                    name not in beside,
                    len(table.roles(name).primaries) if name in beside else 0,
                    table.roles(name).servers,
                    name,
                ),
                default=None,
            )
        ranking, need = self._of(table), room.for_server(table, index)

        def fits(name: str) -> bool:
            return not room.missing(table, self._pools, name, need)

        near = [name for name in beside if name is not None and _usable(table, name) and fits(name)]
        best = min(near, key=lambda name: _load(table, name), default=None)
        return best or ranking.first(lambda name: _servers(table, name), fits)

    def standby(self, table: Table, index: int, primary: str) -> str | None:
        host, keeper = table.members[primary].host, keeper_of(table.shards[index])
        if table.apart:
            return min(
                (name for name in roomy(table, index) if name != primary),
                key=lambda name: (
                    not reaches(table, primary, name),
                    name == keeper,
                    table.members[name].host == host,
                    unserved(table, index, name),
                    table.roles(name).servers,
                    name,
                ),
                default=None,
            )
        ranking, need = self._of(table), room.for_server(table, index)

        def first(same_host: bool, kept: bool) -> str | None:
            return ranking.first(
                lambda name: _servers(table, name),
                lambda name: (
                    name != primary
                    and (name == keeper) is kept
                    and (table.members[name].host == host) is same_host
                    and not room.missing(table, self._pools, name, need)
                ),
            )

        return first(False, False) or first(True, False) or first(False, True) or first(True, True)

    def _of(self, table: Table) -> Ranking:
        """Return the workers in order; nobody has fewer servers later in the pass, but for those that are drained."""
        if self._ranking is None:
            workers = (name for name, _ in table.usable())
            self._ranking = Ranking(workers, lambda name: _servers(table, name))
            self._pools = room.pools(table)
        return self._ranking


def roomy(table: Table, index: int) -> Iterator[str]:
    """Yield the workers that have memory for a shard."""
    need, pools = room.for_server(table, index), room.pools(table)
    return (name for name, _ in table.usable() if not room.missing(table, pools, name, need))


def unserved(table: Table, index: int, worker: str) -> int:
    """Return how many tiles of a shard a worker does not reach."""
    return sum(not reaches(table, worker, tile) for tile in table.computed_by(index))


def reaches(table: Table, worker: str | None, other: str | None) -> bool:
    return worker is None or not table.rules.part_servers or table.reach(worker, (other,))


def keeper_of(shard: ServerPair) -> str | None:
    """Return the worker of the retired primary's reserve."""
    return shard.reserve[0] if shard.reserve is not None else None


def _servers(table: Table, worker: str) -> Load:
    return (table.roles(worker).servers,)


def _load(table: Table, worker: str) -> tuple[int, int, str]:
    roles = table.roles(worker)
    return len(roles.primaries), roles.servers, worker


def _usable(table: Table, worker: str) -> bool:
    member = table.members.get(worker)
    return member is not None and not member.draining
