"""Messages and manifests as JSON data, with their payloads beside it; what comes back is checked field by field.

    Push(fence, update, version, payload)  ->  {"kind": "Push", "fence": {...}, "update": {...}, "version": 3, "payload": 0}
                                               and (payload,)

A value that is not of its field's type makes the whole message malformed. Nothing is guessed, and names are looked up
among the messages alone.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from math import isfinite
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from .manifest import Manifest
from .messages import (
    AppendAck,
    AppendEntries,
    DesiredState,
    Heartbeat,
    InstallSnapshot,
    Message,
    Payload,
    ProcessExited,
    Pull,
    PullReply,
    Push,
    PushAck,
    ShardMetadata,
)
from .updates import SlotUpdates

_STORED_KINDS: Mapping[type[Any], str] = {ShardMetadata: "Books"}
_STORED_FIELDS: Mapping[type[Any], Mapping[str, str]] = {
    ShardMetadata: {"updates": "seen"},
    SlotUpdates: {"low_water": "floor", "generations": "takes"},
}
"""The names that checkpoints have for them since version 0.1."""


def _kind_name(kind: type[Any]) -> str:
    return _STORED_KINDS.get(kind, kind.__name__)


def _field_name(kind: type[Any], attribute: str) -> str:
    return _STORED_FIELDS.get(kind, {}).get(attribute, attribute)


KINDS: Mapping[str, type[Any]] = {
    _kind_name(kind): kind
    for kind in (
        Push,
        PushAck,
        Pull,
        PullReply,
        InstallSnapshot,
        AppendEntries,
        AppendAck,
        DesiredState,
        Heartbeat,
        ProcessExited,
        Manifest,
        ShardMetadata,
    )
}


class Malformed(ValueError):
    """Data that is no message; the text begins with the field."""


def pack(
    value: Message | ProcessExited | Manifest | ShardMetadata,
) -> tuple[dict[str, Any], tuple[Payload, ...]]:
    """Return a message as JSON data, and its payloads in the order of their numbers in it."""
    payloads: list[Payload] = []
    data = _pack(type(value), value, payloads)
    return {"kind": _kind_name(type(value)), **data}, tuple(payloads)


def unpack(data: Any, payloads: Sequence[Payload] = ()) -> Any:
    """Return the message of some JSON data, or raise `Malformed`."""
    return _unpack_named(KINDS, data, payloads, "message")


def _pack(kind: Any, value: Any, payloads: list[Payload]) -> Any:
    if kind is object:
        payloads.append(value)
        return len(payloads) - 1
    if is_dataclass(value):
        own: Any = type(value)
        types_of = _types(own)
        data = {
            _field_name(own, name): _pack(types_of[name], getattr(value, name), payloads) for name in types_of
        }
        return {"kind": type(value).__name__, **data} if len(_dataclasses(kind)) > 1 else data
    if isinstance(value, tuple):
        return [_pack(item, part, payloads) for item, part in zip(_items(kind, value), value, strict=True)]
    return sorted(value) if isinstance(value, frozenset) else value


def _unpack(kind: Any, data: Any, payloads: Sequence[Payload], place: str) -> Any:
    if kind is object:
        return _payload(data, payloads, place)
    if get_origin(kind) in (Union, types.UnionType):
        return _unpack_union(kind, data, payloads, place)
    if get_origin(kind) in (tuple, frozenset):
        return _unpack_sequence(kind, data, payloads, place)
    if is_dataclass(kind):
        return _unpack_dataclass(kind, data, payloads, place)
    if get_origin(kind) is Literal:
        return _unpack_literal(kind, data, place)
    if kind is float and type(data) is int:
        return float(data)
    if type(data) is not kind or (kind is float and not isfinite(data)):
        raise Malformed(f"{place}: expected {kind.__name__}, found {data!r:.40}")
    return data


def _payload(data: Any, payloads: Sequence[Payload], place: str) -> Payload:
    if type(data) is not int or not 0 <= data < len(payloads):
        raise Malformed(
            f"{place}: expected the number of one of {len(payloads)} payloads, found {data!r:.40}"
        )
    return payloads[data]


def _unpack_union(kind: Any, data: Any, payloads: Sequence[Payload], place: str) -> Any:
    if data is None and types.NoneType in get_args(kind):
        return None
    choices = [choice for choice in get_args(kind) if choice is not types.NoneType]
    if len(choices) == 1:
        return _unpack(choices[0], data, payloads, place)
    return _unpack_named({choice.__name__: choice for choice in choices}, data, payloads, place)


def _unpack_named(named: Mapping[str, Any], data: Any, payloads: Sequence[Payload], place: str) -> Any:
    name = data.get("kind") if isinstance(data, dict) else None
    if not isinstance(name, str) or name not in named:
        raise Malformed(f"{place}: expected one of {', '.join(named)}")
    rest = {field: value for field, value in data.items() if field != "kind"}
    return _unpack(named[name], rest, payloads, place if place != "message" else name)


def _unpack_literal(kind: Any, data: Any, place: str) -> Any:
    if data not in get_args(kind):
        raise Malformed(f"{place}: expected one of {', '.join(get_args(kind))}, found {data!r:.40}")
    return data


def _unpack_sequence(kind: Any, data: Any, payloads: Sequence[Payload], place: str) -> Any:
    if not isinstance(data, list | tuple):  # msgpack makes tuples of lists
        raise Malformed(f"{place}: expected a list, found {data!r:.40}")
    items = _items(kind, data)
    if len(items) != len(data):
        raise Malformed(f"{place}: expected {len(items)} values, found {len(data)}")
    make: Callable[[Any], Any] = get_origin(kind)
    return make(
        _unpack(item, part, payloads, f"{place}[{i}]")
        for i, (item, part) in enumerate(zip(items, data, strict=True))
    )


def _unpack_dataclass(kind: Any, data: Any, payloads: Sequence[Payload], place: str) -> Any:
    expected = {_field_name(kind, name): name for name in _types(kind)}
    if not isinstance(data, dict) or set(data) != set(expected):
        raise Malformed(f"{place}: expected the fields {', '.join(expected)}")
    return kind(
        **{
            expected[name]: _unpack(_types(kind)[expected[name]], value, payloads, f"{place}.{name}")
            for name, value in data.items()
        }
    )


@cache
def _types(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _dataclasses(kind: Any) -> list[Any]:
    return [choice for choice in get_args(kind) if is_dataclass(choice)]


def _items(kind: Any, value: Sequence[Any]) -> Sequence[Any]:
    """Return the type of each item of a sequence; an optional one's is that of the sequence in it."""
    if get_origin(kind) in (Union, types.UnionType):
        kind = next(choice for choice in get_args(kind) if get_origin(choice) is tuple)
    items = get_args(kind)
    return (items[0],) * len(value) if len(items) == 1 or items[1:] == (...,) else items
