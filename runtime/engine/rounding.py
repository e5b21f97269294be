"""Arrays on the wire: unchanged, or float32 rounded to bfloat16, which halves their bytes.

    float32     s eeeeeeee mmmmmmmmmmmmmmmmmmmmmmm
    bfloat16    s eeeeeeee mmmmmmm                    to the nearest: within 2^-8 of the value

Rounded arrays are sent as integers with the same bits: numpy has no bfloat16 of its own, and Dask would pickle it. The
receiver keeps them rounded until they are used, so that a standby gets the very gradients that its primary applied.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from lnet.dsl.diagnostics import refused

FLOAT64, FLOAT32, BFLOAT16 = "float64", "float32", "bfloat16"
WIRES = {FLOAT64: 8, FLOAT32: 4, BFLOAT16: 2}
"""Wire types of parameters and gradients, with the bytes of a value."""
_ROUNDED = np.dtype(jnp.bfloat16)
_BITS = np.dtype(np.uint16)

Arrays = dict[str, np.ndarray[Any, Any]]


def wire_of(dtype: str, asked: str | None) -> str:
    """Return the wire type of a network computed in a type, as it was asked for or not; raises `LnetError`."""
    known = {FLOAT32: (FLOAT32, BFLOAT16)}.get(dtype, (dtype,))
    if asked is not None and asked not in known:
        raise refused(
            "E751",
            f"parameters cannot be sent as '{asked}'",
            f"the network is computed in {dtype}",
            hint=f"write {' or '.join(known)}, or leave it out",
        )
    return asked or dtype


def outgoing(arrays: Mapping[str, Any], rounded: bool = False) -> Arrays:
    """Return arrays as they are sent, `rounded` or not; arrays that are already rounded stay so, and numbers exact."""
    if rounded:
        arrays = {name: jnp.asarray(a, jnp.bfloat16) if np.ndim(a) else a for name, a in arrays.items()}
    found = {name: np.asarray(array) for name, array in arrays.items()}
    return {name: a.view(_BITS) if a.dtype == _ROUNDED else a for name, a in found.items()}


def incoming(payload: Any) -> Any:
    """Return a received payload, with rounded arrays still rounded."""
    if not isinstance(payload, dict):
        return payload
    return {
        name: array.view(_ROUNDED) if isinstance(array, np.ndarray) and array.dtype == _BITS else array
        for name, array in payload.items()
    }
