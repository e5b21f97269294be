"""Update rules: arguments, state arrays per parameter, and optax transformation.

A rule is a class, entered in `RULES` and nowhere else: the language, the cost model, training and the tests go by it.
Its fields, in order, are its argument table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from .core.arguments import Momentum, NonNegative, Positive, made_by, one_of

if TYPE_CHECKING:
    from optax import GradientTransformation

Rate = float | Callable[[Any], Any]
"""A learning rate, or a function from step to rate."""
Schedule = Annotated[str, one_of("constant", "cosine")]
Stale = Annotated[str, one_of("full", "scaled")]


class Update:
    """An update rule with its numbers.

    `schedule`: whether the rate stays, or falls to zero at the last step as a cosine does. `stale`: whether a gradient that
    is `a` updates old takes the full rate, or that divided by max(1, a) (Zhang et al., Staleness-aware Async-SGD, 2016).
    """

    __slots__ = ()
    kind: ClassVar[str]
    rate: Positive
    schedule: Schedule
    stale: Stale

    @property
    def slots(self) -> int:
        """Number of state arrays that the rule keeps, each of the parameter's shape."""
        raise AssertionError(f"{type(self).__name__} does not say what it keeps")

    def transformation(self, rate: Rate) -> GradientTransformation:
        """Return the optax transformation at a learning rate."""
        raise AssertionError(f"{type(self).__name__} does nothing")


@dataclass(frozen=True, slots=True)
class Adagrad(Update):
    """Rate over the root of the sum of all squared gradients, which begins at `initial`

    Example: adagrad(rate = 0.01)
    """

    kind: ClassVar[str] = "adagrad"
    rate: Positive
    initial: NonNegative = 0.1
    schedule: Schedule = "constant"
    stale: Stale = "full"

    @property
    def slots(self) -> int:
        return 1

    def transformation(self, rate: Rate) -> GradientTransformation:
        import optax

        return optax.adagrad(rate, initial_accumulator_value=self.initial)


@dataclass(frozen=True, slots=True)
class SGD(Update):
    """Rate times the gradient, or times a sum of gradients that decays by `momentum`

    Example: sgd(rate = 0.1, momentum = 0.9)
    """

    kind: ClassVar[str] = "sgd"
    rate: Positive
    momentum: Momentum = 0.0
    schedule: Schedule = "constant"
    stale: Stale = "full"

    @property
    def slots(self) -> int:
        return 1 if self.momentum else 0

    def transformation(self, rate: Rate) -> GradientTransformation:
        import optax

        return optax.sgd(rate, momentum=self.momentum or None)


@dataclass(frozen=True, slots=True)
class Adam(Update):
    """Rate times the mean gradient over the root of the mean squared gradient, decayed by 0.9 and 0.999

    Example: adam(rate = 0.001, schedule = cosine)
    """

    kind: ClassVar[str] = "adam"
    rate: Positive
    schedule: Schedule = "constant"
    stale: Stale = "full"

    @property
    def slots(self) -> int:
        return 2

    def transformation(self, rate: Rate) -> GradientTransformation:
        import optax

        return optax.adam(rate)


USUAL = Adagrad(rate=0.01)
"""The rule of a file that names none."""
RULES: dict[str, type[Update]] = {rule.kind: rule for rule in (Adagrad, SGD, Adam)}
UpdateRule = Annotated[Update, made_by("an update rule: {calls}", Update, RULES)]
