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
from functools import cache, reduce
from math import isfinite
from operator import or_
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from .manifest import Manifest
from .messages import (
    AppendAck,
    AppendEntries,
    DesiredStateChange,
    Heartbeat,
    HeartbeatRequest,
    InstallSnapshot,
    LeaseRenewal,
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
        DesiredStateChange,
        LeaseRenewal,
        HeartbeatRequest,
        Heartbeat,
        ProcessExited,
        Manifest,
        ShardMetadata,
    )
}


class Malformed(ValueError):
    """Data that is no message; the text begins with the field."""

    def __init__(self, reason: str, place: str = "") -> None:
        super().__init__(f"{place}: {reason}" if place else reason)
        self.reason, self.place = reason, place

    def within(self, place: str) -> Malformed:
        """Return the error with the path of the enclosing data in front."""
        return Malformed(self.reason, place + self.place)


def pack(
    value: Message | ProcessExited | Manifest | ShardMetadata,
) -> tuple[dict[str, Any], tuple[Payload, ...]]:
    """Return a message as JSON data, and its payloads in the order of their numbers in it."""
    payloads: list[Payload] = []
    kind: Any = type(value)
    return {"kind": _kind_name(kind), **_packer(kind)(value, payloads)}, tuple(payloads)


def unpack(data: Any, payloads: Sequence[Payload] = ()) -> Any:
    """Return the message of some JSON data, or raise `Malformed`."""
    name = data.get("kind") if isinstance(data, dict) else None
    if not isinstance(name, str) or name not in KINDS:
        raise Malformed(f"expected one of {', '.join(KINDS)}", "message")
    kind: Any = KINDS[name]
    try:
        return _unpack_fields(kind, tagged=True)(data, payloads)
    except Malformed as error:
        raise error.within(name) from error.__cause__


# --- to JSON -------------------------------------------------------------------------------------------------------

Pack = Callable[[Any, list[Payload]], Any]
PLAIN = (bool, int, float, str)


@cache
def _packer(kind: Any) -> Pack:
    """Return what packs a value of a type: it is looked at once, and there are thousands of values a second."""
    if kind is object:
        return _pack_payload
    if _is_optional(kind):
        return _pack_optional(_packer(_union_of(_choices(kind))))
    if _is_union(kind):
        return _pack_named
    if is_dataclass(kind):
        return _pack_fields(kind)
    if get_origin(kind) is tuple:
        items = get_args(kind)
        return _pack_items(items[0]) if items[1:] == (...,) else _pack_each(items)
    return _pack_set if get_origin(kind) is frozenset else _pack_plain


def _pack_payload(value: Any, payloads: list[Payload]) -> int:
    payloads.append(value)
    return len(payloads) - 1


def _pack_plain(value: Any, payloads: list[Payload]) -> Any:
    return value


def _pack_set(value: Any, payloads: list[Payload]) -> Any:
    return sorted(value)


def _pack_optional(pack: Pack) -> Pack:
    return lambda value, payloads: None if value is None else pack(value, payloads)


def _pack_named(value: Any, payloads: list[Payload]) -> Any:
    kind: Any = type(value)
    return {"kind": kind.__name__, **_packer(kind)(value, payloads)}


def _pack_fields(kind: Any) -> Pack:
    packers = [
        (_field_name(kind, attribute), attribute, None if type_ in PLAIN else _packer(type_))
        for attribute, type_ in _types(kind).items()
    ]

    def pack(value: Any, payloads: list[Payload]) -> Any:
        return {
            name: getattr(value, attribute) if pack is None else pack(getattr(value, attribute), payloads)
            for name, attribute, pack in packers
        }

    return pack


def _pack_items(item: Any) -> Pack:
    if item in PLAIN:
        return lambda value, payloads: list(value)
    pack = _packer(item)
    return lambda value, payloads: [pack(part, payloads) for part in value]


def _pack_each(items: tuple[Any, ...]) -> Pack:
    packers = [_packer(item) for item in items]
    return lambda value, payloads: [pack(part, payloads) for pack, part in zip(packers, value, strict=True)]


# --- from JSON -----------------------------------------------------------------------------------------------------

Unpack = Callable[[Any, Sequence[Payload]], Any]


@cache
def _unpacker(kind: Any) -> Unpack:
    """Return what unpacks a value of a type, or raises `Malformed`."""
    if kind is object:
        return _unpack_payload
    if _is_optional(kind):
        return _unpack_optional(_unpacker(_union_of(_choices(kind))))
    if _is_union(kind):
        return _unpack_named(kind)
    if is_dataclass(kind):
        fields_of: Any = kind
        return _unpack_fields(fields_of)
    if get_origin(kind) in (tuple, frozenset):
        return _unpack_sequence(kind)
    if get_origin(kind) is Literal:
        return _unpack_literal(kind)
    return _unpack_float if kind is float else _unpack_exactly(kind)


def _unpack_payload(data: Any, payloads: Sequence[Payload]) -> Payload:
    if type(data) is not int or not 0 <= data < len(payloads):
        raise Malformed(f"expected the number of one of {len(payloads)} payloads, found {data!r:.40}")
    return payloads[data]


def _unpack_optional(unpack: Unpack) -> Unpack:
    return lambda data, payloads: None if data is None else unpack(data, payloads)


def _unpack_named(kind: Any) -> Unpack:
    unpackers = {choice.__name__: _unpack_fields(choice, tagged=True) for choice in get_args(kind)}

    def unpack(data: Any, payloads: Sequence[Payload]) -> Any:
        name = data.get("kind") if isinstance(data, dict) else None
        if not isinstance(name, str) or name not in unpackers:
            raise Malformed(f"expected one of {', '.join(unpackers)}")
        return unpackers[name](data, payloads)

    return unpack


@cache
def _unpack_fields(kind: Any, tagged: bool = False) -> Unpack:
    """Return what unpacks a dataclass; `tagged`: the name of its kind stands beside the fields."""
    unpackers = [
        (_field_name(kind, attribute), _plain(type_), _is_optional(type_), _unpacker(type_))
        for attribute, type_ in _types(kind).items()
    ]

    def unpack(data: Any, payloads: Sequence[Payload]) -> Any:
        if not isinstance(data, dict) or len(data) != len(unpackers) + tagged:
            raise Malformed(f"expected the fields {', '.join(name for name, *_ in unpackers)}")
        values, name = [], ""
        try:
            for name, plain, optional, unpack in unpackers:
                value = data[name]
                as_it_is = type(value) is plain or (optional and value is None)
                values.append(value if as_it_is else unpack(value, payloads))
        except KeyError as error:
            raise Malformed(f"expected the fields {', '.join(name for name, *_ in unpackers)}") from error
        except Malformed as error:
            raise error.within(f".{name}") from error.__cause__
        return kind(*values)

    return unpack


def _plain(kind: Any) -> Any:
    """Return the type whose values need no unpacking: floats are looked at."""
    return kind if kind in (bool, int, str) else None


def _unpack_sequence(kind: Any) -> Unpack:
    items = get_args(kind)
    same = _unpacker(items[0]) if len(items) == 1 or items[1:] == (...,) else None
    each = [_unpacker(item) for item in items] if same is None else []
    make: Callable[[Any], Any] = get_origin(kind)

    def unpack(data: Any, payloads: Sequence[Payload]) -> Any:
        if not isinstance(data, list | tuple):  # msgpack makes tuples of lists
            raise Malformed(f"expected a list, found {data!r:.40}")
        unpackers = each if same is None else [same] * len(data)
        if len(unpackers) != len(data):
            raise Malformed(f"expected {len(unpackers)} values, found {len(data)}")
        found: list[Any] = []
        try:
            for unpack, part in zip(unpackers, data, strict=True):
                found.append(unpack(part, payloads))
        except Malformed as error:
            raise error.within(f"[{len(found)}]") from error.__cause__
        return make(found)

    return unpack


def _unpack_literal(kind: Any) -> Unpack:
    def unpack(data: Any, payloads: Sequence[Payload]) -> Any:
        if data not in get_args(kind):
            raise Malformed(f"expected one of {', '.join(get_args(kind))}, found {data!r:.40}")
        return data

    return unpack


def _unpack_float(data: Any, payloads: Sequence[Payload]) -> float:
    if type(data) is int:
        return float(data)
    if type(data) is not float or not isfinite(data):
        raise Malformed(f"expected float, found {data!r:.40}")
    return data


def _unpack_exactly(kind: Any) -> Unpack:
    def unpack(data: Any, payloads: Sequence[Payload]) -> Any:
        if type(data) is not kind:
            raise Malformed(f"expected {kind.__name__}, found {data!r:.40}")
        return data

    return unpack


# --- types ---------------------------------------------------------------------------------------------------------


@cache
def _types(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _is_union(kind: Any) -> bool:
    return get_origin(kind) in (Union, types.UnionType)


def _is_optional(kind: Any) -> bool:
    return _is_union(kind) and types.NoneType in get_args(kind)


def _choices(kind: Any) -> tuple[Any, ...]:
    return tuple(choice for choice in get_args(kind) if choice is not types.NoneType)


def _union_of(choices: tuple[Any, ...]) -> Any:
    return reduce(or_, choices)
