"""The type of an op's kernel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import jax

Values = Sequence[jax.Array]
Roles = Mapping[str, jax.Array]
LayerKernel = Callable[..., jax.Array]
"""Of the op, its operands `[row, column, map, batch]`, its parameters by role, the precision of products, and the mode if
the op has one."""
