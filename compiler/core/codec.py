"""Frozen dataclasses to JSON data and back, by their annotations: the definition of a type is its format.

    Region                    four integers
    a type in `tables`        the fields of one of its classes, and as `kind` the name that it has in the table
    any other dataclass       its fields by name
    object                    a number: the value itself stands beside the data, as a message's arrays do

A type's annotations are looked at once: a plan has thousands of regions, and a cluster sends thousands of messages a second.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from itertools import repeat
from math import isfinite
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from .shapes import Interval, Region

T = TypeVar("T")
PLAIN = {bool, int, float, str}
"""What is in JSON as it is: a value of just this type needs no decoder, which is most of a message."""
Encode = Callable[[Any, list[Any]], Any]
"""Returns a value as JSON data, and appends to the list what stands beside."""
Decode = Callable[[Any, Sequence[Any]], Any]
"""Returns JSON data, and what stands beside, as a value of a type; raises `Malformed`."""


class Malformed(ValueError):
    """JSON that does not match a type's annotations; the message begins with the path to the mismatch."""

    def __init__(self, reason: str, place: str = "") -> None:
        super().__init__(f"{place}: {reason}" if place else reason)
        self.reason, self.place = reason, place

    def within(self, place: str) -> Malformed:
        """Return the error with the path of the enclosing data in front."""
        return Malformed(self.reason, place + self.place)


class Codec:
    """Encodes and decodes; `tables`: the classes of each type that has several, by their names.

    `names`: those that fields of a type have in the data, where they are others. Fields with a default may be missing, as
    in a file of an older version. `tolerant`: fields that the type does not have are ignored, as in one of a newer version;
    otherwise they are refused. `exact`: as between processes of one version, no field is missing, and numbers are finite.
    """

    def __init__(
        self,
        tables: Mapping[Any, Mapping[str, type[Any]]] | None = None,
        names: Mapping[type, Mapping[str, str]] | None = None,
        tolerant: bool = False,
        exact: bool = False,
    ) -> None:
        self._tables, self._names = tables or {}, names or {}
        self._tolerant, self._exact = tolerant, exact
        self._tagged_types = tuple(each for key in self._tables for each in get_args(key) or (key,))
        self._encoders: dict[type, Encode] = {}
        self._decoders: dict[Any, Decode] = {}

    def encode(self, value: Any, beside: list[Any] | None = None) -> Any:
        """Return a value as JSON data; what its `object` fields have is appended to `beside`."""
        return self._encode(value, [] if beside is None else beside)

    def decode(self, expected: type[T], data: Any, place: str, beside: Sequence[Any] = ()) -> T:
        """Return JSON data as a value of a type, or raise `Malformed`; `place` is the data's name in messages."""
        try:
            return self._decoder(expected)(data, beside)  # type: ignore[no-any-return]
        except Malformed as error:
            raise error.within(place) from error.__cause__

    # --- to JSON -------------------------------------------------------------------------------------------------

    def _encode(self, value: Any, beside: list[Any]) -> Any:
        kind = type(value)
        if kind in PLAIN:
            return value
        if kind not in self._encoders:
            self._encoders[kind] = self._encoder(kind)
        return self._encoders[kind](value, beside)

    def _encoder(self, kind: type) -> Encode:
        if kind is Region:
            return lambda value, _: [
                end for side in (value.rows, value.columns) for end in (side.start, side.stop)
            ]
        if is_dataclass(kind):
            return self._encoder_of_fields(kind)
        if issubclass(kind, tuple):
            return self._encode_items
        if issubclass(kind, Mapping):
            return lambda value, beside: {name: self._encode(item, beside) for name, item in value.items()}
        if issubclass(kind, frozenset):
            return lambda value, beside: sorted(self._encode_items(value, beside))
        return lambda value, _: value

    def _encode_items(self, value: Any, beside: list[Any]) -> list[Any]:
        if PLAIN.issuperset(map(type, value)):
            return list(value)
        return [self._encode(item, beside) for item in value]

    def _encoder_of_fields(self, kind: Any) -> Encode:
        tag = self._tag(kind)
        rows = [
            (self._name(kind, attribute), attribute, _beside if type_ is object else self._encode)
            for attribute, type_ in _annotations(kind).items()
        ]

        def encode(value: Any, beside: list[Any]) -> Any:
            data: dict[str, Any] = dict(tag)
            for name, attribute, encode_field in rows:
                data[name] = encode_field(getattr(value, attribute), beside)
            return data

        return encode

    def _tag(self, kind: type) -> dict[str, str]:
        """Return what stands beside the fields: the name of a class of a type that has several."""
        return {"kind": _name_of(kind)} if issubclass(kind, self._tagged_types) else {}

    def _name(self, kind: type, attribute: str) -> str:
        return self._names.get(kind, {}).get(attribute, attribute)

    # --- from JSON -----------------------------------------------------------------------------------------------

    def _decoder(self, expected: Any) -> Decode:
        if expected not in self._decoders:
            self._decoders[expected] = self._made(expected)
        return self._decoders[expected]

    def _made(self, expected: Any) -> Decode:
        origin, items = get_origin(expected), get_args(expected)
        if expected in self._tables:
            return self._tagged(self._tables[expected])
        if origin in (Union, types.UnionType):
            inner = [item for item in items if item is not types.NoneType]
            decode = self._decoder(inner[0]) if len(inner) == 1 else _either([*map(self._decoder, inner)])
            return _optional(decode) if types.NoneType in items else decode
        if origin is Literal:
            return _one_of(items)
        if origin is frozenset or (origin is tuple and items[1:] == (...,)):
            return _sequence(origin, items[0], self._decoder(items[0]))
        if origin is tuple:
            return _fixed(tuple(self._decoder(item) for item in items))
        if origin is Mapping:
            return _mapping(items[0], items[1], self._decoder(items[1]))
        if is_dataclass(expected) and expected is not Region:
            return self._decoder_of_fields(expected)
        if expected is float and self._exact:
            return _finite
        return _SCALARS.get(expected) or _exactly(expected)

    def _tagged(self, table: Mapping[str, type[Any]]) -> Decode:
        def decode(data: Any, beside: Sequence[Any]) -> Any:
            name = data.get("kind") if isinstance(data, dict) else None
            if not isinstance(name, str) or name not in table:
                raise Malformed(f"no such kind: {name!r:.40}")
            return self._decoder(table[name])(data, beside)

        return decode

    def _decoder_of_fields(self, expected: Any) -> Decode:
        rows = {
            self._name(expected, attribute): (attribute, self._as_it_is(type_), self._decoder(type_))
            for attribute, type_ in _annotations(expected).items()
        }
        with_default = {self._name(expected, f.name) for f in fields(expected) if _has_default(f)}
        required = rows.keys() - with_default
        allowed = rows.keys() | self._tag(expected).keys()

        def decode(data: Any, beside: Sequence[Any]) -> Any:
            if not isinstance(data, dict) or not fits(data.keys()):
                raise Malformed(f"expected the fields {', '.join(rows)} of {expected.__name__}")
            values, name = {}, ""
            try:
                for name, value in data.items():
                    if name in rows:
                        attribute, as_it_is, decode_field = rows[name]
                        values[attribute] = value if type(value) in as_it_is else decode_field(value, beside)
            except Malformed as error:
                raise error.within(f".{name}") from error.__cause__
            try:
                return expected(**values)
            except ValueError as error:  # refused by the type's own checks
                raise Malformed(str(error)) from error

        def fits(names: Any) -> bool:
            if self._exact:
                return bool(names == allowed)
            return required <= names and (self._tolerant or names <= allowed)

        return decode

    def _as_it_is(self, type_: Any) -> frozenset[type]:
        """Return the types of data that need no decoder: that of a plain value, and None of an optional one."""
        inner = set(get_args(type_)) if get_origin(type_) in (Union, types.UnionType) else {type_}
        plain = PLAIN - {float} if self._exact else PLAIN
        return frozenset(inner) if inner <= plain | {types.NoneType} else frozenset()


def by_name(kinds: Iterable[Any]) -> dict[str, type[Any]]:
    """Return a table of types: by their `kind`, or by the names of those without."""
    return {_name_of(kind): kind for kind in kinds}


def _name_of(kind: Any) -> str:
    return str(getattr(kind, "kind", kind.__name__))


def _beside(value: Any, beside: list[Any]) -> int:
    """Put a value beside the data, and return its number there."""
    beside.append(value)
    return len(beside) - 1


def _numbered(data: Any, beside: Sequence[Any]) -> Any:
    """Return the value with a number beside the data."""
    if type(data) is not int or not 0 <= data < len(beside):
        raise Malformed(f"expected the number of one of {len(beside)} values, found {data!r:.40}")
    return beside[data]


@cache
def _annotations(expected: Any) -> dict[str, Any]:
    """Return the type of each field, without the metadata of `Annotated`."""
    hints = get_type_hints(expected)
    return {f.name: hints[f.name] for f in fields(expected)}


def _has_default(field: Field[Any]) -> bool:
    return field.default is not MISSING or field.default_factory is not MISSING


def _optional(inner: Decode) -> Decode:
    return lambda data, beside: None if data is None else inner(data, beside)


def _either(inner: Sequence[Decode]) -> Decode:
    """Return the decoder of a value of one of several types: the first that it is of."""

    def decode(data: Any, beside: Sequence[Any]) -> Any:
        found = []
        for each in inner:
            try:
                return each(data, beside)
            except Malformed as error:
                found.append(error)
        raise found[-1]

    return decode


def _one_of(items: tuple[Any, ...]) -> Decode:
    def decode(data: Any, beside: Sequence[Any]) -> Any:
        if data not in items:
            raise Malformed(f"expected one of {', '.join(items)}, found {data!r:.40}")
        return data

    return decode


def _sequence(made: Callable[[Any], Any], type_: Any, item: Decode) -> Decode:
    plain = {type_} & (PLAIN - {float})

    def decode(data: Any, beside: Sequence[Any]) -> Any:
        if plain.issuperset(map(type, _listed(data))):
            return made(data)
        return made(_items(data, repeat(item, len(data)), beside))

    return decode


def _fixed(items: tuple[Decode, ...]) -> Decode:
    def decode(data: Any, beside: Sequence[Any]) -> Any:
        if len(items) != len(_listed(data)):
            raise Malformed(f"expected {len(items)} items, found {len(data)}")
        return tuple(_items(data, items, beside))

    return decode


def _listed(data: Any) -> Sequence[Any]:
    if not isinstance(data, list | tuple):  # msgpack makes tuples of lists
        raise Malformed(f"expected a list, found {type(data).__name__}")
    return data


def _items(data: Any, items: Iterable[Decode], beside: Sequence[Any]) -> list[Any]:
    found: list[Any] = []
    try:
        for item, value in zip(items, data, strict=True):
            found.append(item(value, beside))
    except Malformed as error:
        raise error.within(f"[{len(found)}]") from error.__cause__
    return found


def _mapping(key: Any, type_: Any, item: Decode) -> Decode:
    """Return the decoder of an object; JSON keys are text, also those of a mapping from integers."""
    plain = {type_} & PLAIN

    def decode(data: Any, beside: Sequence[Any]) -> Any:
        if not isinstance(data, dict):
            raise Malformed(f"expected an object, found {type(data).__name__}")
        if key is str and plain.issuperset(map(type, data.values())):
            return data
        found, name = {}, ""
        try:
            for name, value in data.items():
                found[_key(key, name)] = item(value, beside)
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
    def decode(data: Any, beside: Sequence[Any]) -> Any:
        if type(data) is not expected:
            raise Malformed(f"expected {expected.__name__}, found {type(data).__name__}")
        return data

    return decode


def _float(data: Any, beside: Sequence[Any]) -> float:
    if type(data) is float:
        return data
    if type(data) is not int:
        raise Malformed(f"expected float, found {type(data).__name__}")
    return float(data)


def _finite(data: Any, beside: Sequence[Any]) -> float:
    number = _float(data, beside)
    if not isfinite(number):
        raise Malformed(f"expected a finite number, found {number}")
    return number


def _region(data: Any, beside: Sequence[Any]) -> Region:
    top, bottom, left, right = _fixed((_exactly(int),) * 4)(data, beside)
    return Region(Interval(top, bottom), Interval(left, right))


_SCALARS: Mapping[Any, Decode] = {
    Any: lambda data, beside: data,
    object: _numbered,
    float: _float,
    Region: _region,
}
