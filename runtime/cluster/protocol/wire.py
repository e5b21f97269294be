"""Messages and manifests as JSON data, with their payloads beside it; what comes back is checked field by field.

    Push(fence, update, version, payload)  ->  {"kind": "Push", "fence": {...}, "update": {...}, "version": 3, "payload": 0}
                                               and (payload,)

A value that is not of its field's type makes the whole message malformed. Nothing is guessed, and names are looked up
among the messages alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from lnet.compiler.core.codec import Codec, Malformed, by_name

from .manifest import Manifest
from .messages import Message, Origin, Payload, ProcessExited, ShardMetadata
from .updates import SlotUpdates

__all__ = ["KINDS", "Malformed", "pack", "unpack"]

Packed = Message | ProcessExited | Manifest | ShardMetadata
KINDS = by_name(get_args(Packed))
_IN_CHECKPOINTS: Mapping[type, Mapping[str, str]] = {
    ShardMetadata: {"updates": "seen"},
    SlotUpdates: {"low_water": "floor", "generations": "takes"},
}
"""The names that fields have there since version 0.1."""
CODEC = Codec({Packed: KINDS, Origin: by_name(get_args(Origin))}, _IN_CHECKPOINTS, exact=True)


def pack(value: Packed) -> tuple[dict[str, Any], tuple[Payload, ...]]:
    """Return a message as JSON data, and its payloads in the order of their numbers in it."""
    payloads: list[Payload] = []
    return CODEC.encode(value, payloads), tuple(payloads)


def unpack(data: Any, payloads: Sequence[Payload] = ()) -> Any:
    """Return the message of some JSON data, or raise `Malformed`."""
    expected: Any = Packed
    kind = data.get("kind") if isinstance(data, dict) else None
    named = isinstance(kind, str) and kind in KINDS
    return CODEC.decode(expected, data, str(kind) if named else "message", payloads)
