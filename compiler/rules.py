"""Update rules: what a file writes, how many arrays a rule keeps of each parameter, and what optax does.

A rule is entered in `RULES` and nowhere else: the language, the cost model, training and the tests go by it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from .core.arguments import Momentum, NonNegative, Positive, listed, made_by, one_of

if TYPE_CHECKING:
    from optax import GradientTransformation

Rate = float | Callable[[Any], Any]
Schedule = Annotated[str, one_of("constant", "cosine")]
Stale = Annotated[str, one_of("full", "scaled")]


@dataclass(frozen=True, slots=True)
class Update:
    """An update rule with its numbers: `adagrad(rate = 0.01)`; raises ValueError for a rule that there is not.

    `schedule`: whether the rate stays, or falls to zero at the last step as a cosine does. `stale`: whether a gradient that
    is `a` updates old takes the full rate, or that divided by max(1, a) (Zhang et al., Staleness-aware Async-SGD, 2016).
    """

    rule: str = "adagrad"
    rate: float = 0.01
    momentum: float = 0.0
    initial: float = 0.1
    schedule: str = "constant"
    stale: str = "full"

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise ValueError(f"no such update rule: '{self.rule}'; there are {', '.join(RULES)}")


@dataclass(frozen=True, slots=True)
class Rule:
    """`call`: its arguments in the language; `slots`: arrays of a parameter's shape that it keeps.

    `transformation`: what optax does with gradients at a rate, a number or a function of the step.
    """

    call: Callable[..., Update]
    slots: Callable[[Update], int]
    transformation: Callable[[Update, Rate], GradientTransformation]


# --- adagrad ---------------------------------------------------------------------------------------------


def adagrad(
    rate: Positive, initial: NonNegative = 0.1, schedule: Schedule = "constant", stale: Stale = "full"
) -> Update:
    """Rate over the root of the sum of all squared gradients, which begins at `initial`

    Example: adagrad(rate = 0.01)
    """
    return Update("adagrad", rate=rate, initial=initial, schedule=schedule, stale=stale)


def _adagrad(update: Update, rate: Rate) -> GradientTransformation:
    import optax

    return optax.adagrad(rate, initial_accumulator_value=update.initial)


# --- sgd -------------------------------------------------------------------------------------------------


def sgd(
    rate: Positive, momentum: Momentum = 0.0, schedule: Schedule = "constant", stale: Stale = "full"
) -> Update:
    """Rate times the gradient, or times a sum of gradients that decays by `momentum`

    Example: sgd(rate = 0.1, momentum = 0.9)
    """
    return Update("sgd", rate=rate, momentum=momentum, schedule=schedule, stale=stale)


def _sgd(update: Update, rate: Rate) -> GradientTransformation:
    import optax

    return optax.sgd(rate, momentum=update.momentum or None)


# --- adam ------------------------------------------------------------------------------------------------


def adam(rate: Positive, schedule: Schedule = "constant", stale: Stale = "full") -> Update:
    """Rate times the mean gradient over the root of the mean squared gradient, decayed by 0.9 and 0.999

    Example: adam(rate = 0.001, schedule = cosine)
    """
    return Update("adam", rate=rate, schedule=schedule, stale=stale)


def _adam(update: Update, rate: Rate) -> GradientTransformation:
    import optax

    return optax.adam(rate)


RULES = {
    "adagrad": Rule(adagrad, lambda update: 1, _adagrad),
    "sgd": Rule(sgd, lambda update: 1 if update.momentum else 0, _sgd),
    "adam": Rule(adam, lambda update: 2, _adam),
}
_EXPECTED = f"an update rule: {listed([f'{name}(...)' for name in RULES], 'or')}"
UpdateRule = Annotated[Update, made_by(_EXPECTED, Update, *RULES)]


def state_slots(update: Update) -> int:
    """Return how many arrays of a parameter's shape an update rule keeps."""
    return RULES[update.rule].slots(update)
