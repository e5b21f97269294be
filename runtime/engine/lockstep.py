"""All tiles of a replica in one process, in turn: the reference for the exchanges between machines of a cluster."""

from __future__ import annotations

from collections.abc import Sequence

import jax

from .evaluate import Done, Params, Targets
from .shard import Arrays, Gradients, Receive, Send, Shard, Step, Terms, add_up


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
    mail: dict[tuple[int, int, str], Arrays] = {}
    waiting: dict[int, Send | Receive | None] = dict.fromkeys(range(len(steps)))
    finished: dict[int, tuple[Gradients, Terms]] = {}
    while waiting:
        moved = False
        for tile in list(waiting):
            moved |= _advance(tile, steps[tile], waiting, mail, finished)
        assert moved, f"schedule: all tiles wait: {waiting}"
    assert not mail, f"schedule: nobody waits for {list(mail)}"
    terms: Terms = {}
    for tile in range(len(steps)):
        add_up(terms, finished[tile][1])
    return [finished[tile][0] for tile in range(len(steps))], terms


def _advance(
    tile: int,
    step: Step,
    waiting: dict[int, Send | Receive | None],
    mail: dict[tuple[int, int, str], Arrays],
    done: dict[int, tuple[Gradients, Terms]],
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
