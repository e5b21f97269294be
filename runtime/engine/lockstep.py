"""All tiles of a replica in one process, in turn: the reference for the exchanges between machines of a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax

from .evaluate import Done, Params, Targets
from .shard import Arrays, Evaluated, Gradients, Receive, Send, Shard, Step, Terms, add_up


def run_tiles(
    shards: Sequence[Shard],
    owned: Sequence[Params],
    images: jax.Array,
    labels: jax.Array | None = None,
    targets: Targets | None = None,
    samples: jax.Array | None = None,
    done: Done = 0,
) -> tuple[list[Gradients], Terms]:
    """Compute a step of all tiles in this process; `images` and `targets` `[row, column, channel, batch]`.

    `samples` and `done` are as in `Shard.step`. Returns each tile's gradients, and the terms of the loss.
    """
    steps = [
        shard.step(mine, shard.images(images), labels, shard.targets(targets or {}), samples, done)
        for shard, mine in zip(shards, owned, strict=True)
    ]
    finished = _exchanged(steps)
    return [gradients for gradients, _ in finished], _added([terms for _, terms in finished])


def evaluate_tiles(
    shards: Sequence[Shard],
    owned: Sequence[Params],
    images: jax.Array,
    labels: jax.Array | None = None,
    targets: Targets | None = None,
    done: Done = 0,
) -> Terms:
    """Return the terms of the loss in evaluation, of all tiles in this process; arguments as of `run_tiles`."""
    found = [
        shard.evaluation(mine, shard.images(images), labels, shard.targets(targets or {}), done)
        for shard, mine in zip(shards, owned, strict=True)
    ]
    return _added(_exchanged(found))


def _added(found: Sequence[Terms]) -> Terms:
    """Return the sums of the tiles' shares, added in their order."""
    terms: Terms = {}
    for share in found:
        add_up(terms, share)
    return terms


def _exchanged(steps: Sequence[Step | Evaluated]) -> list[Any]:
    """Return what the tiles' steps return, whose messages are moved meanwhile."""
    mail: dict[tuple[int, int, str], Arrays] = {}
    waiting: dict[int, Send | Receive | None] = dict.fromkeys(range(len(steps)))
    finished: dict[int, Any] = {}
    while waiting:
        moved = False
        for tile in list(waiting):
            moved |= _advance(tile, steps[tile], waiting, mail, finished)
        assert moved, f"schedule: all tiles wait: {waiting}"
    assert not mail, f"schedule: nobody waits for {list(mail)}"
    return [finished[tile] for tile in range(len(steps))]


def _advance(
    tile: int,
    step: Step | Evaluated,
    waiting: dict[int, Send | Receive | None],
    mail: dict[tuple[int, int, str], Arrays],
    done: dict[int, Any],
) -> bool:
    """Run a tile until it waits for a message; return whether it made progress."""
    moved, answer = False, None
    want = waiting[tile]
    while True:
        if isinstance(want, Receive):
            if (want.sender, tile, want.exchange) not in mail:
                waiting[tile] = want
                return moved
            answer = mail.pop((want.sender, tile, want.exchange))
        elif isinstance(want, Send):
            mail[tile, want.receiver, want.exchange] = want.arrays
        moved = True
        try:
            want, answer = step.send(answer), None
        except StopIteration as end:
            done[tile] = end.value
            del waiting[tile]
            return True
