"""The transpose of a local layer: the input gradient used as a layer."""

from __future__ import annotations

from .base import LayerKernel
from .local import local_transpose

KERNELS: dict[str, LayerKernel] = {
    "decode": lambda op, values, params, precision: local_transpose(
        values[0], params["weight"], op.window, precision, op.layout
    )
}
