"""A batch on several devices of one process: each has some of its images, and all have the parameters.

XLA divides a program so by itself, along the axis of images, and adds up what each device has of a gradient; a mean over the
batch is one over all devices. It cannot look into the products of local layers, which multiply.py divides where it finds
`spread` devices.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

import jax
from jax import lax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

T = TypeVar("T")
IMAGES = "images"
"""The name of the axis along which devices divide a batch."""
EVERYWHERE = PartitionSpec()  # type: ignore[no-untyped-call]


def along_images(axis: int) -> PartitionSpec:
    """Return the division of arrays whose images are counted along an axis."""
    return PartitionSpec(*[None] * axis, IMAGES)  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class Devices:
    """The first `count` devices of this process; `mesh` is None for one, where nothing is divided."""

    count: int
    mesh: Mesh | None

    @staticmethod
    def first(count: int) -> Devices:
        if count == 1:
            return ONE
        devices = jax.local_devices()[:count]
        return Devices(count, jax.make_mesh((count,), (IMAGES,), (AxisType.Auto,), devices=devices))

    def divided(self, values: T, axis: int = 0) -> T:
        """Return arrays with an axis of images, each device with some of these."""
        return self._put(values, along_images(axis))

    def everywhere(self, values: T) -> T:
        """Return arrays that every device has."""
        return self._put(values, EVERYWHERE)

    def of_one(self, values: T) -> T:
        """Return arrays that every device has, as the first one has them."""
        if self.mesh is None:
            return values
        own: T = jax.tree.map(lambda value: value.addressable_data(0), values)
        return own

    def text(self, rows: int) -> str:
        """Return a sentence on how rows of a batch are divided."""
        kind = jax.local_devices()[0].device_kind
        return f"{self.count} devices ({kind}), each with {rows // self.count:,} of a batch's {rows:,} rows"

    def kept_everywhere(self, values: T) -> T:
        """Within a program: let every device have these results."""
        if self.mesh is None:
            return values
        where = NamedSharding(self.mesh, EVERYWHERE)
        kept: T = lax.with_sharding_constraint(values, where)  # type: ignore[no-untyped-call]
        return kept

    @contextmanager
    def computing(self) -> Iterator[None]:
        """While tracing: these devices compute what has an axis of images."""
        token = _spread.set(self.mesh)
        try:
            yield
        finally:
            _spread.reset(token)

    def _put(self, values: T, spec: PartitionSpec) -> T:
        if self.mesh is None:
            return values
        put: T = jax.device_put(values, NamedSharding(self.mesh, spec))
        return put


ONE = Devices(1, None)
_spread: ContextVar[Mesh | None] = ContextVar("spread", default=None)


def spread() -> Mesh | None:
    """Return the devices that a program is traced for; None for one."""
    return _spread.get()
