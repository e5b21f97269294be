"""Update rules: arguments, state arrays per parameter, and optax transformation.

A rule is a class, entered in `RULES` and nowhere else: the language, the cost model, training and the tests go by it.
Its fields, in order, are its argument table.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from .core.arguments import (
    Flag,
    Fraction,
    Momentum,
    Natural,
    NonNegative,
    Positive,
    Refused,
    made_by,
    one_of,
    since,
)
from .schedules import Schedule

if TYPE_CHECKING:
    from optax import GradientTransformation

Rate = float | Callable[[Any], Any]
"""A learning rate, or a function from step to rate."""
Stale = Annotated[str, one_of("full", "scaled")]


class Update:
    """An update rule with its numbers.

    `schedule`: how the rate falls. `rise`: over how many first steps it rises to its value, `rate * (t + 1) / rise` in step
    t (Goyal et al., Accurate, Large Minibatch SGD, 2017). `stale`: whether a gradient that is `a` updates old takes the full
    rate, or that divided by max(1, a) (Zhang et al., Staleness-aware Async-SGD, 2016).
    """

    __slots__ = ()
    kind: ClassVar[str]
    rate: Positive
    schedule: Schedule
    stale: Stale
    rise: Natural = 0

    @property
    def slots(self) -> int:
        """Number of state arrays that the rule keeps, each of the parameter's shape."""
        raise AssertionError(f"{type(self).__name__} does not say what it keeps")

    def transformation(self, rate: Rate) -> GradientTransformation:
        """Return the optax transformation at a learning rate."""
        raise AssertionError(f"{type(self).__name__} does nothing")

    def decaying(self, rate: Rate, weights: Collection[str]) -> GradientTransformation:
        """Return the transformation; `weights`: the parameters that a rule with a decay lets decay."""
        return self.transformation(rate)


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
    rise: Natural = field(default=0, kw_only=True)

    @property
    def slots(self) -> int:
        return 1

    def transformation(self, rate: Rate) -> GradientTransformation:
        import optax

        return optax.adagrad(rate, initial_accumulator_value=self.initial)


@dataclass(frozen=True, slots=True)
class SGD(Update):
    """Rate times the gradient, or times a sum of gradients that decays by `momentum`; `nesterov` looks ahead by one decay

    Example: sgd(rate = 0.1, momentum = 0.9)
    """

    kind: ClassVar[str] = "sgd"
    rate: Positive
    momentum: Momentum = 0.0
    schedule: Schedule = "constant"
    stale: Stale = "full"
    nesterov: Flag = field(default=False, kw_only=True)
    rise: Natural = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        if self.nesterov and not self.momentum:
            raise Refused(
                "E513",
                "'nesterov = true' changes the momentum, and there is none",
                argument="nesterov",
                hints=("give it one: 'sgd(rate, momentum = 0.9, nesterov = true)'",),
            )

    @property
    def slots(self) -> int:
        return 1 if self.momentum else 0

    def transformation(self, rate: Rate) -> GradientTransformation:
        import optax

        return optax.sgd(rate, momentum=self.momentum or None, nesterov=self.nesterov)


@dataclass(frozen=True, slots=True)
class Adam(Update):
    """Rate times the mean gradient over `eps` plus the root of the mean squared gradient, decayed by `b1` and `b2`

    Example: adam(rate = 0.001, schedule = cosine)
    """

    kind: ClassVar[str] = "adam"
    rate: Positive
    schedule: Schedule = "constant"
    stale: Stale = "full"
    b1: Fraction = field(default=0.9, kw_only=True)
    b2: Fraction = field(default=0.999, kw_only=True)
    eps: Positive = field(default=1e-8, kw_only=True)
    rise: Natural = field(default=0, kw_only=True)

    @property
    def slots(self) -> int:
        return 2

    def transformation(self, rate: Rate) -> GradientTransformation:
        import optax

        return optax.adam(rate, b1=self.b1, b2=self.b2, eps=self.eps)


@since(2)
@dataclass(frozen=True, slots=True)
class AdamW(Update):
    """That of `adam`; weights, not biases, also shrink by rate times `weight_decay` (Loshchilov and Hutter 2019)

    Example: adamw(rate = 0.001, weight_decay = 0.05)
    """

    kind: ClassVar[str] = "adamw"
    rate: Positive
    b1: Fraction = 0.9
    b2: Fraction = 0.999
    eps: Positive = 1e-8
    weight_decay: NonNegative = 0.01
    schedule: Schedule = field(default="constant", kw_only=True)
    stale: Stale = field(default="full", kw_only=True)
    rise: Natural = field(default=0, kw_only=True)

    @property
    def slots(self) -> int:
        return 2

    def decaying(self, rate: Rate, weights: Collection[str]) -> GradientTransformation:
        import optax

        return optax.adamw(
            rate, self.b1, self.b2, self.eps, weight_decay=self.weight_decay, mask=_only(weights)
        )


@since(2)
@dataclass(frozen=True, slots=True)
class RMSProp(Update):
    """Rate times the gradient over the root of `eps` plus the mean squared gradient, which decays by `decay`; or a sum of
    these that decays by `momentum`

    Example: rmsprop(rate = 0.001, momentum = 0.9)
    """

    kind: ClassVar[str] = "rmsprop"
    rate: Positive
    decay: Fraction = 0.9
    eps: Positive = 1e-8
    momentum: Momentum = 0.0
    schedule: Schedule = field(default="constant", kw_only=True)
    stale: Stale = field(default="full", kw_only=True)
    rise: Natural = field(default=0, kw_only=True)

    @property
    def slots(self) -> int:
        return 2 if self.momentum else 1

    def transformation(self, rate: Rate) -> GradientTransformation:
        import optax

        return optax.rmsprop(rate, decay=self.decay, eps=self.eps, momentum=self.momentum or None)


@since(2)
@dataclass(frozen=True, slots=True)
class Lion(Update):
    """Rate times the sign of a mean of gradient and momentum, `b1` of it momentum, which decays by `b2`; weights, not
    biases, also shrink by rate times `weight_decay` (Chen et al. 2023)

    Example: lion(rate = 0.0001, weight_decay = 0.1)
    """

    kind: ClassVar[str] = "lion"
    rate: Positive
    b1: Fraction = 0.9
    b2: Fraction = 0.99
    weight_decay: NonNegative = 0.0
    schedule: Schedule = field(default="constant", kw_only=True)
    stale: Stale = field(default="full", kw_only=True)
    rise: Natural = field(default=0, kw_only=True)

    @property
    def slots(self) -> int:
        return 1

    def decaying(self, rate: Rate, weights: Collection[str]) -> GradientTransformation:
        import optax

        return optax.lion(rate, self.b1, self.b2, weight_decay=self.weight_decay, mask=_only(weights))


def _only(weights: Collection[str]) -> Callable[[Mapping[str, Any]], dict[str, bool]]:
    """Return the mask of parameters by name: those that decay."""
    return lambda params: {name: name in weights for name in params}


USUAL = Adagrad(rate=0.01)
"""The rule of a file that names none."""
RULES: dict[str, type[Update]] = {rule.kind: rule for rule in (Adagrad, SGD, Adam, AdamW, RMSProp, Lion)}
UpdateRule = Annotated[Update, made_by("an update rule: {calls}", Update, RULES)]
