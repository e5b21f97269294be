"""How a layer's weights begin and learn, as its arguments say: `init`, `speed`, `bias_speed`, `constrain`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple


class Fans(NamedTuple):
    """How many inputs a unit reads, and how many units read an input."""

    inputs: int
    outputs: int


class Spread(NamedTuple):
    """A distribution about zero: uniform up to the limit `scale`, or normal with that deviation."""

    uniform: bool
    scale: float

    def __str__(self) -> str:
        return f"{'uniform up to' if self.uniform else 'normal, deviation'} {self.scale:.3g}"


_BY_FANS: Mapping[str, Callable[[Fans], Spread]] = {
    "normal": lambda fans: Spread(False, fans.inputs**-0.5),
    "glorot_uniform": lambda fans: Spread(True, sqrt(6 / sum(fans))),
    "glorot_normal": lambda fans: Spread(False, sqrt(2 / sum(fans))),
    "he_uniform": lambda fans: Spread(True, sqrt(6 / fans.inputs)),
    "he_normal": lambda fans: Spread(False, sqrt(2 / fans.inputs)),
}
"""Of Glorot and Bengio 2010 and He et al. 2015; not truncated."""
INITS = tuple(_BY_FANS)


@dataclass(frozen=True, slots=True)
class Init:
    """`init` as written: `by` a rule of the fans, `uniform` up to a number, or normal with a number as `deviation`."""

    by: str = "normal"
    number: float = 0.0

    def spread(self, fans: Fans) -> Spread:
        """Return the distribution of the initial weights."""
        if self.by in _BY_FANS:
            return _BY_FANS[self.by](fans)
        return Spread(self.by == "uniform", self.number)

    @property
    def zeros(self) -> bool:
        """Whether all weights begin as zeros."""
        return self.by not in _BY_FANS and not self.number

    def __str__(self) -> str:
        match self.by:
            case "uniform":
                return f"uniform({self.number:g})"
            case "deviation":
                return f"{self.number:g}"
        return self.by


NORMAL = Init()


@dataclass(frozen=True, slots=True)
class Learned:
    """How the weights of a layer begin, the factors on the rate of weights and biases, and whether vectors keep length 1."""

    init: Init = NORMAL
    speed: float = 1.0
    bias_speed: float = 1.0
    unit: bool = False

    def __str__(self) -> str:
        told = [f"init={self.init}"] if self.init != NORMAL else []
        told += [f"speed={self.speed:g}"] if self.speed != 1 else []
        told += [f"bias_speed={self.bias_speed:g}"] if self.bias_speed != self.speed else []
        return " ".join([*told, *(["constrain=unit"] if self.unit else [])])


USUAL = Learned()
