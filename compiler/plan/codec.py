"""Frozen dataclasses to JSON and back, by their annotations.

A field whose type is `Op`, `Term` or `Update` carries its `kind`; everything else follows from the annotations, so the
format of a plan is the definition of its types.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from lnet.compiler.core.layer import Op
from lnet.compiler.core.shapes import Interval, Region
from lnet.compiler.objectives import TERMS, Term
from lnet.compiler.ops import OPS
from lnet.compiler.rules import RULES, Update

T = TypeVar("T")
TAGGED: dict[type, Mapping[str, type]] = {Op: OPS, Term: TERMS, Update: RULES}


class Malformed(ValueError):
    """JSON that is not what a type's annotations ask for; the message starts with the path to the place."""


def encode(value: Any) -> Any:
    """Return a value as JSON data; a region is four integers."""
    if isinstance(value, Region):
        return [value.rows.start, value.rows.stop, value.columns.start, value.columns.stop]
    if is_dataclass(value) and not isinstance(value, type):
        data = {f.name: encode(getattr(value, f.name)) for f in fields(value)}
        return {"kind": value.kind, **data} if isinstance(value, Op | Term | Update) else data
    if isinstance(value, tuple):
        return [encode(item) for item in value]
    if isinstance(value, frozenset):
        return sorted(encode(item) for item in value)
    return value


def decode(expected: type[T], data: Any, place: str = "plan") -> T:
    """Return JSON data as a value of a type, or raise `Malformed`."""
    return _decode(expected, data, place)  # type: ignore[no-any-return]


def _decode(expected: Any, data: Any, place: str) -> Any:
    origin = get_origin(expected)
    if origin is Annotated:
        return _decode(get_args(expected)[0], data, place)
    if origin in (Union, types.UnionType):
        return _decode_optional(get_args(expected), data, place)
    if origin in (tuple, frozenset):
        return _decode_sequence(origin, get_args(expected), data, place)
    if expected is Region:
        top, bottom, left, right = _decode_sequence(tuple, (int, int, int, int), data, place)
        return Region(Interval(top, bottom), Interval(left, right))
    if expected in TAGGED:
        return _decode_tagged(TAGGED[expected], data, place)
    if is_dataclass(expected):
        return _decode_dataclass(expected, data, place)
    if expected is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if type(data) is not expected:
        raise Malformed(f"{place}: expected {expected.__name__}, found {type(data).__name__}")
    return data


def _decode_optional(choices: tuple[Any, ...], data: Any, place: str) -> Any:
    if data is None:
        return None
    (inner,) = (choice for choice in choices if choice is not types.NoneType)
    return _decode(inner, data, place)


def _decode_sequence(origin: Any, items: tuple[Any, ...], data: Any, place: str) -> Any:
    if not isinstance(data, list):
        raise Malformed(f"{place}: expected a list, found {type(data).__name__}")
    if origin is frozenset or items[1:] == (...,):
        return origin(_decode(items[0], item, f"{place}[{i}]") for i, item in enumerate(data))
    if len(items) != len(data):
        raise Malformed(f"{place}: expected {len(items)} items, found {len(data)}")
    return tuple(
        _decode(t, item, f"{place}[{i}]") for i, (t, item) in enumerate(zip(items, data, strict=True))
    )


def _decode_tagged(table: Mapping[str, Any], data: Any, place: str) -> Any:
    kind = data.get("kind") if isinstance(data, dict) else None
    if not isinstance(kind, str) or kind not in table:
        raise Malformed(f"{place}: no such kind: {kind!r}")
    return _decode_dataclass(table[kind], {k: v for k, v in data.items() if k != "kind"}, place)


def _decode_dataclass(expected: Any, data: Any, place: str) -> Any:
    hints = _hints(expected)
    if not isinstance(data, dict) or set(data) != set(hints):
        raise Malformed(f"{place}: expected the fields {', '.join(hints)} of {expected.__name__}")
    values = {name: _decode(hint, data[name], f"{place}.{name}") for name, hint in hints.items()}
    try:
        return expected(**values)
    except ValueError as error:  # what its own checks refuse
        raise Malformed(f"{place}: {error}") from error


@cache
def _hints(expected: Any) -> dict[str, Any]:
    hints = get_type_hints(expected, include_extras=True)
    return {f.name: hints[f.name] for f in fields(expected)}
