"""Reconstruction ICA: a decoder's error and a pool's sparsity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from lnet.compiler.core.arguments import Flag, LayerArgument, Nearest, NonNegative
from lnet.compiler.core.layer import Layer
from lnet.compiler.core.learned import NORMAL, Init
from lnet.compiler.ops import Local, Pool
from lnet.compiler.ops.decode import encoder
from lnet.compiler.ops.learning import Initial, check_own

from .base import Term


@dataclass(frozen=True, slots=True)
class Rica(Term):
    """`sum (xhat - x)^2 + sparsity * sum pool` (Le et al. 2012, after reconstruction ICA).

    Reads the encoder and its pool. The pass `expand_rica` replaces it before anything runs.
    """

    kind: ClassVar[str] = "rica"
    sparsity: float
    tied: bool
    init: Init = NORMAL
    speed: float = 1.0


Encoder = Annotated[Layer, LayerArgument(Nearest(Local, "a 'local' layer above it in its block"))]
PoolOfEncoder = Nearest(Pool, "a pool above it that is made from its 'encode'", made_from="encode")
EncoderPool = Annotated[Layer, LayerArgument(PoolOfEncoder)]


def rica(
    encode: Encoder,
    pool: EncoderPool,
    sparsity: NonNegative = 0.1,
    tied: Flag = False,
    *,
    init: Initial = NORMAL,
    speed: NonNegative = 1.0,
) -> Rica:
    """`sum (xhat - x)^2 + sparsity * sum pool`, where `x` is what `encode` reads (the nearest `local` above in the block,
    unless given), `xhat` its decoding, and `pool` the nearest pool above made from it (Le et al. 2012)

    Example: rica(sparsity = 0.3)
    """
    encoder(encode, "encode")
    check_own(init, speed, tied, encode.path)
    return Rica(sparsity, tied, init, speed)


KINDS = {"rica": rica}
TERMS: tuple[type[Term], ...] = ()
