"""How a learning rate falls: a word, or the steps at which it does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from .core.arguments import ArgumentType, Mismatch, Positive
from .core.values import Value, Word

WORDS = ("constant", "cosine", "linear")


def _ascending(value: Value) -> tuple[int, ...] | None:
    """Return a list of steps; each is later than the one before it."""
    if not isinstance(value, tuple) or not value:
        return None
    steps: list[int] = []
    for item in value:
        if isinstance(item, bool) or not isinstance(item, int | float):
            return None
        if item != int(item) or item <= (steps[-1] if steps else 0):
            raise Mismatch(f"found [{', '.join(f'{found}' for found in value)}]")
        steps.append(int(item))
    return tuple(steps)


Boundaries = Annotated[
    tuple[int, ...],
    ArgumentType(
        "a list of positive integers, each greater than the one before, such as [1000, 2000]", _ascending
    ),
]


@dataclass(frozen=True, slots=True)
class Steps:
    """The rate times `factor` from each of these steps on: `steps([1000, 2000], factor = 0.1)`."""

    at: Boundaries
    factor: Positive = 0.1

    def __str__(self) -> str:
        return f"steps([{', '.join(map(str, self.at))}], factor = {self.factor})"


def _schedule(value: Value) -> str | Steps | None:
    if isinstance(value, Word):
        return value.text if value.text in WORDS else None
    return value if isinstance(value, Steps) else None


Schedule = Annotated[str | Steps, ArgumentType("{words}", _schedule, WORDS, {"steps": Steps})]
