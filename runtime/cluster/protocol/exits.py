"""A confirmed exit: a process that is known to have ended answers nobody any more, so nobody waits for its leases.

    its nanny saw it end, and its connection ended or it fell silent, in either order  --->  its leases are over

Both are told with the process's address alone. Where another process joins at that address before both have come, they
might be about different ones, and count for nothing: leases end in their time. A connection that ends does not suffice.
"""

from __future__ import annotations

from dataclasses import replace

from .table import Table


def joined(table: Table, worker: str) -> Table:
    """Forget what is known of earlier processes at the address of a new one."""
    address = address_of(worker)
    if address not in table.ended and address not in table.lost:
        return table
    lost = {other: name for other, name in table.lost.items() if other != address}
    return replace(table, ended=table.ended - {address}, lost=lost)


def lost(table: Table, worker: str) -> Table:
    """Note that a worker was lost; it has ended if its nanny has said so."""
    address = address_of(worker)
    if address in table.ended:
        return _over(replace(table, ended=table.ended - {address}), worker)
    return replace(table, lost={**table.lost, address: worker})


def ended(table: Table, address: str) -> Table:
    """Note that a nanny saw the process at an address end."""
    worker = table.lost.get(address)
    if worker is None:
        return replace(table, ended=table.ended | {address})
    return _over(joined(table, worker), worker)


def address_of(worker: str) -> str:
    return worker.partition("#")[0]


def _over(table: Table, worker: str) -> Table:
    """End the leases of the shards whose last primary was on a worker."""
    for index, shard in enumerate(table.shards):
        if shard.primary is None and shard.missing == worker:
            table = table.with_lease_over(index)
    return replace(table, gone=table.gone | {worker})
