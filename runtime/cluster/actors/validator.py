"""Validates arrays from other processes: only those that a run of this plan sends are taken.

Dask has received a message before it comes here; one that is too large is refused before it is unpacked or copied.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from math import prod
from typing import Any, assert_never

import jax
import jax.numpy as jnp
import numpy as np

from lnet.compiler.cut.schedule import Programme
from lnet.runtime.cluster.config import RunConfig
from lnet.runtime.cluster.protocol.messages import (
    AppendAck,
    AppendEntries,
    DesiredStateChange,
    Heartbeat,
    HeartbeatRequest,
    InstallSnapshot,
    LeaseRenewal,
    Message,
    Pull,
    PullReply,
    Push,
    PushAck,
    PushedUpdate,
)
from lnet.runtime.cluster.protocol.wire import Malformed
from lnet.runtime.cluster.transport.inbox import Address
from lnet.runtime.engine import clipping
from lnet.runtime.engine.exchanges import Exchanges, exchanges
from lnet.runtime.engine.rounding import BFLOAT16
from lnet.runtime.engine.updates import named_state
from lnet.runtime.process.precision import computing_in

from . import windows
from .numerics import Server, pushed_shapes, shard_shapes
from .servers import joined, parted
from .talk import VALIDATION

ArraySpecs = Mapping[str, jax.ShapeDtypeStruct]


class PayloadValidator:
    """Raises `Malformed` for what no process of the run sends; `programme` is that of a tile, `validated` that by which it
    validates.
    """

    def __init__(
        self,
        config: RunConfig,
        programme: Callable[[int], Programme],
        validated: Callable[[int], Programme],
    ) -> None:
        self.config, self.programme, self.validated = config, programme, validated
        self.exchanges: dict[int, Exchanges] = {}
        self.validations: dict[tuple[int, int], Exchanges] = {}
        self.snapshots: dict[int, ArraySpecs] = {}
        self.pushed: dict[int, ArraySpecs] = {}

    def weigh(self, payloads: Sequence[Any]) -> None:
        """Check that no payload is larger than the largest may be: before the message is unpacked."""
        for payload in payloads:
            count = sum(getattr(array, "nbytes", 0) for array in _values(payload))
            if count > self.largest:
                raise Malformed(f"{count:,} bytes, where {self.largest:,} are the most")

    def check(self, message: Message) -> None:
        """Check the payloads of a message; a kind of message that is not named here does not type-check."""
        match message:
            case Push():
                self._check_pushed(message.fence.shard, message.payload)
            case PullReply():
                params, _ = parted(self._snapshot(message.fence.shard))
                _check(message.payload, params, self._rounded)
            case AppendEntries():
                self._check_parts(message.fence.shard, [entry.pushed for entry in message.entries])
            case InstallSnapshot():
                _check(message.payload, self._snapshot(message.fence.shard))
                self._check_parts(message.fence.shard, message.staged)
            case PushAck() | Pull() | AppendAck() | Heartbeat():
                pass  # these have no arrays
            case DesiredStateChange() | LeaseRenewal() | HeartbeatRequest():
                pass  # these have no arrays
            case _:
                assert_never(message)

    def check_exchange(self, address: Address, arrays: Sequence[Any]) -> None:
        """Check the arrays of a step that another tile sends."""
        expected = self._expected(address, _rows(arrays))
        if [_kind(array) for array in arrays] != list(expected):
            raise Malformed(
                f"'{address.exchange}' of tile {address.sender} must be "
                f"{', '.join(f'{dtype} {list(shape)}' for shape, dtype in expected)}"
            )

    def most(self, address: Address | None) -> int:
        """Return the bytes that an array may have: one of an exchange, or of a payload."""
        if address is None:
            return self.largest
        return max(dtype.itemsize * prod(shape) for shape, dtype in self._expected(address))

    def _expected(self, address: Address, rows: int | None = None) -> tuple[windows.ArraySpec, ...]:
        """Return shapes and types of the arrays that one tile sends another in an exchange.

        `rows`: images in a batch of a validation, which has fewer at the end, or without corrupt ones; None: the most.
        """
        if not (
            0 <= address.slot < self.config.spec.replicas and 0 <= address.receiver < self.config.spec.tiles
        ):
            raise Malformed("no such tile")
        if address.exchange == windows.EXCHANGE:
            found = windows.expected(self.config, address.sender, address.receiver)
        else:
            name = address.exchange.removeprefix(VALIDATION)
            validates = name != address.exchange
            exchanges = (
                self._validations(address.receiver, rows) if validates else self._exchanges(address.receiver)
            )
            shapes = exchanges.get((address.sender, name))
            found = None if shapes is None else tuple((shape, self._dtype) for shape in shapes)
        if found is None:
            raise Malformed("no such exchange")
        return found

    def _check_parts(self, shard: int, parts: Sequence[PushedUpdate | None]) -> None:
        for part in parts:
            if part is not None:
                self._check_pushed(shard, part.payload)

    def _check_pushed(self, shard: int, payload: Any) -> None:
        self._check_shard(shard)
        if shard not in self.pushed:
            self.pushed[shard] = _arrays(pushed_shapes(self.config, shard), self._dtype)
        _check(payload, self.pushed[shard], self._rounded)

    @property
    def _dtype(self) -> np.dtype[Any]:
        return np.dtype(self.config.plan.graph.training.dtype)

    @property
    def _rounded(self) -> Any:
        """The other type that parameters and gradients may have, if the run rounds them."""
        return np.dtype(jnp.bfloat16) if self.config.wire == BFLOAT16 else None

    # --- what is expected ------------------------------------------------------------------------------------------

    @cached_property
    def largest(self) -> int:
        """The most bytes of a snapshot, and of a number of batches: as if all parameters of a shard had state.

        Running values and frozen ones have none, so that the shard with most parameters may not have the largest one.
        """
        spec, training = self.config.spec, self.config.plan.graph.training
        last_of_tiles = range(spec.shards_per_tile - 1, spec.shards, spec.shards_per_tile)  # none is smaller
        most = max(last_of_tiles, key=lambda shard: _count(self.config, shard))
        numbers = sum(int(like.dtype.itemsize) for like in self._snapshot(most).values() if not like.shape)
        values = _count(self.config, most) * (1 + training.update.slots) + 1
        return values * training.value_bytes + numbers

    def _snapshot(self, shard: int) -> ArraySpecs:
        """Return parameters and optimiser state of a shard; a rule is traced for it, which takes milliseconds."""
        self._check_shard(shard)
        if shard not in self.snapshots:
            self.snapshots[shard] = _snapshot(self.config, shard, self._dtype)
        return self.snapshots[shard]

    def _check_shard(self, shard: int) -> None:
        if not 0 <= shard < self.config.spec.shards:
            raise Malformed(f"no shard {shard}")

    def _exchanges(self, tile: int) -> Exchanges:
        if tile not in self.exchanges:
            plan = self.config.plan
            rows = plan.graph.training.batch_rows
            found = dict(exchanges(plan.graph, plan.partition, self.programme(tile), rows))
            if self.config.clips_pushes:
                found |= clipping.exchanged(plan.graph, tile, plan.partition.count)
            self.exchanges[tile] = found
        return self.exchanges[tile]

    def _validations(self, tile: int, rows: int | None) -> Exchanges:
        """Return what a tile receives for a batch of so many images of a validation."""
        plan, graph = self.config.plan, self.config.plan.graph.validated
        if graph is None:
            raise Malformed("nothing is validated")
        most = graph.training.batch
        rows = most if rows is None or not 0 < rows <= most else rows
        if (tile, rows) not in self.validations:
            found = exchanges(graph, plan.partition, self.validated(tile), rows)
            forward = {key: shapes for key, shapes in found.items() if not key[1].startswith("gradients")}
            self.validations[tile, rows] = forward
        return self.validations[tile, rows]


def _rows(arrays: Sequence[Any]) -> int | None:
    """Return the extent of the last axis of values, which is that of the batch, or 1 of what is one for a batch."""
    shapes = [array.shape for array in arrays if isinstance(array, np.ndarray)]
    return max((shape[-1] for shape in shapes if shape), default=None)


def _count(config: RunConfig, shard: int) -> int:
    return sum(map(prod, shard_shapes(config, shard).values()))


def _snapshot(config: RunConfig, shard: int, dtype: np.dtype[Any]) -> ArraySpecs:
    params = _arrays(shard_shapes(config, shard), dtype)
    with computing_in(str(dtype)):
        state = jax.eval_shape(lambda p: named_state(Server(config, shard).rule.init(p)), params)
    return joined(params, state)


def _arrays(shapes: Mapping[str, tuple[int, ...]], dtype: np.dtype[Any]) -> dict[str, jax.ShapeDtypeStruct]:
    return {name: jax.ShapeDtypeStruct(shape, dtype) for name, shape in shapes.items()}


def _values(payload: Any) -> Sequence[Any]:
    return list(payload.values()) if isinstance(payload, dict) else []


def _kind(array: Any) -> tuple[Any, Any]:
    return (array.shape, array.dtype) if isinstance(array, np.ndarray) else (None, None)


def _check(payload: Any, expected: ArraySpecs, other: Any = None) -> None:
    """Raise `Malformed` unless a payload has just these arrays, or these in another type."""
    if not isinstance(payload, dict) or set(payload) != set(expected):
        raise Malformed(f"expected the arrays {sorted(expected)}")
    for name, like in expected.items():
        if _kind(payload[name]) not in ((like.shape, like.dtype), (like.shape, other)):
            raise Malformed(f"'{name}' must be {like.dtype} {list(like.shape)}")
