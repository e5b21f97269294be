"""Graph x Partition -> which tiles of a replica send each other anything: halos, dense layers, weights, images."""

from __future__ import annotations

from itertools import permutations

from lnet.compiler.graph.graph import Graph

from .decoding import groups_of
from .messages import all_messages
from .partition import Partition
from .tree import sums
from .weights import weight_messages

Partners = tuple[tuple[int, ...], ...]
"""By tile: the tiles that it sends anything to in a step, or receives anything from."""


def partners(graph: Graph, partition: Partition, shared: bool) -> Partners:
    """Return the partners of each tile; `shared`: groups of tiles decode images together."""
    ways = {(message.sender, message.receiver) for message in all_messages(graph, partition)}
    ways |= {(message.sender, message.receiver) for message in weight_messages(graph, partition)}
    ways.update(sums(graph, partition.count))
    if shared:
        ways.update(way for group in groups_of(partition.count) for way in permutations(group, 2))
    found: list[set[int]] = [set() for _ in range(partition.count)]
    for sender, receiver in ways:
        found[sender].add(receiver)
        found[receiver].add(sender)
    return tuple(tuple(sorted(each)) for each in found)
