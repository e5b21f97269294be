"""The type of an op's kernel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

Values = Sequence[jax.Array]
Roles = Mapping[str, jax.Array]
LayerKernel = Callable[[Any, Values, Roles, str], jax.Array]
"""Of the op, its operands `[row, column, map, batch]`, its parameters by role, and the precision of products."""
