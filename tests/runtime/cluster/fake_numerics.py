"""Numerics that show what was done to them: a server's state is the log folded, a gradient is its identity.

A hash chain of integers, equal in every process and every run.
"""

from dataclasses import dataclass

INITIAL = 17


@dataclass(frozen=True)
class ServerState:
    """`lines`: the updates applied, with their batches, in order; `fold`: the chain over their payloads."""

    fold: int = INITIAL
    lines: tuple = ()
    steps: int = 0

    def applied(self, parts, synchronous, norms=()):
        fold, lines = self.fold, self.lines
        for part in parts:
            assert synchronous or part.update not in dict(lines), f"{part.update} is applied twice"
            fold = hash((fold, *part.payload))
            lines = (*lines, (part.update, part.payload))
        if synchronous:
            expected = [(slot, self.steps) for slot in range(len(parts))]
            found = [(part.update.slot, part.update.number) for part in parts]
            assert found == expected, f"the step {self.steps} is made of {found}"
        return ServerState(hash((fold, norms)) if norms else fold, lines, self.steps + 1)


def squares(payloads, count):
    """Return the squared norms of a step at a shard: any numbers that follow from its parts."""
    return tuple(float(hash((i, *payloads)) % 1009) for i in range(count))


def gradient(update, batches, params):
    """Return a payload. `params`: synchronous, what it was computed from; asynchronous, by which generation."""
    return (update.slot, update.number, *batches, params)


def undisturbed_steps(parts, steps, shards=1, norms=0):
    """Return the fold of a synchronous shard that nothing disturbed."""
    fold = INITIAL
    for step in range(steps):
        payloads = [(slot, step, step * parts + slot, fold) for slot in range(parts)]
        for payload in payloads:
            fold = hash((fold, *payload))
        if norms:
            fold = hash((fold, tuple(shards * each for each in squares(payloads, norms))))
    return fold
