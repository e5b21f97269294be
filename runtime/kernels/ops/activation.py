"""What other ops end with: `act`."""

from __future__ import annotations

import jax

from lnet.compiler.ops.custom import PerPosition
from lnet.compiler.ops.position import AtPosition
from lnet.runtime.kernels import custom

from . import pointwise, softmax

_KERNELS = {**pointwise.KERNELS, **softmax.KERNELS}


def activate(x: jax.Array, act: AtPosition | None) -> jax.Array:
    """Apply an op to `[rows, columns, maps, batch]`; None leaves the values as they are."""
    if act is None:
        return x
    if isinstance(act, PerPosition):
        return custom.per_position(act, [x], {}, "float32")
    return _KERNELS[act.kind](act, [x], {}, "float32")
