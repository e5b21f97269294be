"""The weight of an objective: a number, or one that changes with a replica's steps."""

from __future__ import annotations

from dataclasses import dataclass

from lnet.compiler.core.arguments import WEIGHT, ArgumentType, Natural, NonNegative, Refused
from lnet.compiler.core.values import Value


@dataclass(frozen=True, slots=True)
class Between:
    """A factor that is `first` up to step `start`, `last` from step `stop` on, and changes evenly between them."""

    first: float
    last: float
    start: int
    stop: int

    def __str__(self) -> str:
        return f"between({self.first:g}, {self.last:g}, {self.start}, {self.stop})"


def between(from_: NonNegative, to: NonNegative, start: Natural, stop: Natural) -> Between:
    if stop <= start:
        raise Refused(
            "E306",
            f"'stop' must be a step after 'start', {start}, found {stop}",
            argument="stop",
            hints=(
                "steps are counted from 0: a weight that changes at once in step N is 'start = N - 1, stop = N'",
            ),
        )
    return Between(from_, to, start, stop)


def _weighing(value: Value) -> float | Between | None:
    if isinstance(value, Between):
        return value
    number: float | None = WEIGHT.convert(value)
    return number


WEIGHING = ArgumentType("a non-negative number or {calls}", _weighing, calls={"between": between})
