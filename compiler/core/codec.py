"""Frozen dataclasses to JSON data and back, by their annotations: the definition of a type is its format.

    Region                    four integers
    a type in `tables`        the fields of one of its classes, and as `kind` the name that it has in the table
    any other dataclass       its fields by name

A type's annotations are looked at once, when it is first decoded: a log has half a million events.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from .shapes import Interval, Region

T = TypeVar("T")
PLAIN = {bool, int, float, str}
"""What is in JSON as it is: a value of just this type needs no decoder, which is most of a log."""
Decode = Callable[[Any], Any]
"""Returns JSON data as a value of a type, or raises `Malformed`."""


class Malformed(ValueError):
    """JSON that does not match a type's annotations; the message begins with the path to the mismatch."""

    def __init__(self, reason: str, place: str = "") -> None:
        super().__init__(f"{place}: {reason}")
        self.reason, self.place = reason, place

    def within(self, place: str) -> Malformed:
        """Return the error with the path of the enclosing data in front."""
        return Malformed(self.reason, place + self.place)


class Codec:
    """Encodes and decodes; `tables`: the classes of each type that has several, by their names.

    Fields with a default may be missing, as in a file of an older version. `tolerant`: fields that the type does not have
    are ignored, as in one of a newer version; otherwise they are refused.
    """

    def __init__(
        self, tables: Mapping[type, Mapping[str, type[Any]]] | None = None, tolerant: bool = False
    ) -> None:
        self._tables, self._tolerant = dict(tables or {}), tolerant
        self._decoders: dict[Any, Decode] = {}

    def encode(self, value: Any) -> Any:
        """Return a value as JSON data."""
        if type(value) in PLAIN:
            return value
        if isinstance(value, Region):
            return [value.rows.start, value.rows.stop, value.columns.start, value.columns.stop]
        if is_dataclass(value) and not isinstance(value, type):
            data = {name: self.encode(getattr(value, name)) for name in _annotations(type(value))}
            return {"kind": value.kind, **data} if isinstance(value, tuple(self._tables)) else data  # type: ignore[attr-defined]
        if isinstance(value, tuple):
            return [self.encode(item) for item in value]
        if isinstance(value, Mapping):
            return {name: self.encode(item) for name, item in value.items()}
        if isinstance(value, frozenset):
            return sorted(self.encode(item) for item in value)
        return value

    def decode(self, expected: type[T], data: Any, place: str) -> T:
        """Return JSON data as a value of a type, or raise `Malformed`; `place` is the data's name in messages."""
        try:
            return self._decoder(expected)(data)  # type: ignore[no-any-return]
        except Malformed as error:
            raise error.within(place) from error.__cause__

    def _decoder(self, expected: Any) -> Decode:
        if expected not in self._decoders:
            self._decoders[expected] = self._made(expected)
        return self._decoders[expected]

    def _made(self, expected: Any) -> Decode:
        origin, items = get_origin(expected), get_args(expected)
        if origin in (Union, types.UnionType):
            inner = [self._decoder(item) for item in items if item is not types.NoneType]
            decode = inner[0] if len(inner) == 1 else _either(inner)
            return _optional(decode) if types.NoneType in items else decode
        if origin is Literal:
            return _one_of(items)
        if origin is frozenset or (origin is tuple and items[1:] == (...,)):
            return _sequence(origin, self._decoder(items[0]))
        if origin is tuple:
            return _fixed(tuple(self._decoder(item) for item in items))
        if origin is Mapping:
            return _mapping(items[0], items[1], self._decoder(items[1]))
        if expected in self._tables:
            return self._tagged(self._tables[expected])
        if is_dataclass(expected) and expected is not Region:
            return self._dataclass(expected)
        return _SCALARS.get(expected) or _exactly(expected)

    def _tagged(self, table: Mapping[str, type[Any]]) -> Decode:
        def decode(data: Any) -> Any:
            kind = data.get("kind") if isinstance(data, dict) else None
            if not isinstance(kind, str) or kind not in table:
                raise Malformed(f"no such kind: {kind!r}")
            return self._decoder(table[kind])({k: v for k, v in data.items() if k != "kind"})

        return decode

    def _dataclass(self, expected: Any) -> Decode:
        decoders = {name: self._decoder(type_) for name, type_ in _annotations(expected).items()}
        plain = {name: _plain(type_) for name, type_ in _annotations(expected).items()}
        required = {f.name for f in fields(expected) if not _has_default(f)}

        def decode(data: Any) -> Any:
            if not isinstance(data, dict) or not required <= data.keys() or not fits(data.keys()):
                raise Malformed(f"expected the fields {', '.join(decoders)} of {expected.__name__}")
            values, name = {}, ""
            try:
                for name, value in data.items():
                    if plain.get(name) is type(value):
                        values[name] = value
                    elif name in decoders:
                        values[name] = decoders[name](value)
            except Malformed as error:
                raise error.within(f".{name}") from error.__cause__
            try:
                return expected(**values)
            except ValueError as error:  # refused by the type's own checks
                raise Malformed(str(error)) from error

        def fits(names: Any) -> bool:
            return self._tolerant or names <= decoders.keys()

        return decode


@cache
def _annotations(expected: Any) -> dict[str, Any]:
    """Return the type of each field, without the metadata of `Annotated`."""
    hints = get_type_hints(expected)
    return {f.name: hints[f.name] for f in fields(expected)}


def _plain(type_: Any) -> Any:
    """Return the type whose values need no decoder, None if there is none: that of an optional one, too."""
    optional = get_origin(type_) in (Union, types.UnionType)
    inner = [item for item in get_args(type_) if item is not types.NoneType] if optional else [type_]
    return inner[0] if len(inner) == 1 and inner[0] in PLAIN else None


def _has_default(field: Field[Any]) -> bool:
    return field.default is not MISSING or field.default_factory is not MISSING


def _optional(inner: Decode) -> Decode:
    return lambda data: None if data is None else inner(data)


def _either(inner: Sequence[Decode]) -> Decode:
    """Return the decoder of a value of one of several types: the first that it is of."""

    def decode(data: Any) -> Any:
        found = []
        for each in inner:
            try:
                return each(data)
            except Malformed as error:
                found.append(error)
        raise found[-1]

    return decode


def _one_of(items: tuple[Any, ...]) -> Decode:
    def decode(data: Any) -> Any:
        if data not in items:
            raise Malformed(f"expected one of {', '.join(items)}, found {data!r:.40}")
        return data

    return decode


def _sequence(origin: Any, item: Decode) -> Decode:
    def decode(data: Any) -> Any:
        return origin(_items(data, [item] * len(_listed(data))))

    return decode


def _fixed(items: tuple[Decode, ...]) -> Decode:
    def decode(data: Any) -> Any:
        if len(items) != len(_listed(data)):
            raise Malformed(f"expected {len(items)} items, found {len(data)}")
        return tuple(_items(data, items))

    return decode


def _listed(data: Any) -> Sequence[Any]:
    if not isinstance(data, list | tuple):  # msgpack makes tuples of lists
        raise Malformed(f"expected a list, found {type(data).__name__}")
    return data


def _items(data: Any, items: Any) -> list[Any]:
    found: list[Any] = []
    try:
        for item, value in zip(items, data, strict=True):
            found.append(item(value))
    except Malformed as error:
        raise error.within(f"[{len(found)}]") from error.__cause__
    return found


def _mapping(key: Any, type_: Any, item: Decode) -> Decode:
    """Return the decoder of an object; JSON keys are text, also those of a mapping from integers."""
    plain = {type_} & PLAIN

    def decode(data: Any) -> Any:
        if not isinstance(data, dict):
            raise Malformed(f"expected an object, found {type(data).__name__}")
        if key is str and plain.issuperset(map(type, data.values())):
            return data
        found, name = {}, ""
        try:
            for name, value in data.items():
                found[_key(key, name)] = item(value)
        except Malformed as error:
            raise error.within(f"[{name!r}]") from error.__cause__
        return found

    return decode


def _key(key: Any, name: str) -> Any:
    if key is str:
        return name
    try:
        return key(name)
    except ValueError as error:
        raise Malformed(f"expected {key.__name__}, found {name!r}") from error


def _exactly(expected: Any) -> Decode:
    def decode(data: Any) -> Any:
        if type(data) is not expected:
            raise Malformed(f"expected {expected.__name__}, found {type(data).__name__}")
        return data

    return decode


def _float(data: Any) -> float:
    if type(data) is float:
        return data
    if type(data) is not int:
        raise Malformed(f"expected float, found {type(data).__name__}")
    return float(data)


def _region(data: Any) -> Region:
    top, bottom, left, right = _fixed((_exactly(int),) * 4)(data)
    return Region(Interval(top, bottom), Interval(left, right))


_SCALARS: Mapping[Any, Decode] = {Any: lambda data: data, float: _float, Region: _region}
