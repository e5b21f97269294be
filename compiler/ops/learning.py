"""The arguments of layers with weights: how these begin, how fast they learn, what they keep."""

from __future__ import annotations

from typing import Annotated

from lnet.compiler.core.arguments import WEIGHT, ArgumentType, NonNegative, Refused, none_or, one_of
from lnet.compiler.core.learned import INITS, NORMAL, Init, Learned
from lnet.compiler.core.values import Value, Word


def _init(value: Value) -> Init | None:
    if isinstance(value, Word):
        return Init(value.text) if value.text in INITS else None
    if isinstance(value, Init):
        return value
    number = WEIGHT.convert(value)
    return None if number is None else Init("deviation", number)


def uniform(limit: NonNegative) -> Init:
    return Init("uniform", limit)


Initial = Annotated[
    Init, ArgumentType("{words}, or a non-negative number", _init, INITS, {"uniform": uniform})
]
Constrain = Annotated[str | None, none_or(one_of("unit"))]


def learned(
    init: Init,
    speed: float,
    bias: bool = False,
    bias_speed: float | None = None,
    constrain: str | None = None,
) -> Learned:
    """Return how a layer's weights begin and learn; raises `Refused` where that contradicts itself."""
    if bias_speed is not None and not bias:
        raise Refused(
            "E505",
            "'bias_speed' is given to a layer without biases",
            argument="bias_speed",
            hints=("give the layer 'bias = true', or leave 'bias_speed' out",),
        )
    if constrain and init.zeros:
        raise Refused(
            "E306",
            "weights that are all 0 have no direction, so 'constrain = unit' cannot give them the length 1",
            argument="init",
            hints=("leave 'init' out, or take a number above 0",),
        )
    return Learned(init, speed, speed if bias_speed is None else bias_speed, constrain == "unit")


def check_own(init: Init, speed: float, tied: bool, of: str) -> None:
    """Raise `Refused` if a decoder that uses the weights of the layer `of` is told how its own begin or learn."""
    for name, given in (("init", init != NORMAL), ("speed", speed != 1)):
        if tied and given:
            raise Refused(
                "E505",
                f"'{name}' is given to a decoder without weights of its own",
                argument=name,
                notes=(f"with 'tied = true' it uses those of '{of}'",),
                hints=(
                    f"give '{name}' to '{of}', or leave 'tied' out: then the decoder has weights of its own",
                ),
            )
