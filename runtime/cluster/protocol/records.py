"""An immutable mapping of many records, of which one more or another one costs two short copies, however many there are.

buckets   ( {a, q}, {}, {c}, ..., {m, x} )      a record's bucket is its name's hash
                      |
with "c"  ( {a, q}, {}, {c'}, ..., {m, x} )     this tuple and one bucket are new, the rest is shared
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar, overload

V = TypeVar("V")
D = TypeVar("D")
BUCKETS = 64


class Records(Mapping[str, V]):
    """Records by name. The order in which they are iterated differs from process to process: sort what must not."""

    __slots__ = ("_buckets", "_count")

    def __init__(self, records: Mapping[str, V] | None = None) -> None:
        buckets: list[dict[str, V]] = [{} for _ in range(BUCKETS)]
        for name, record in (records or {}).items():
            buckets[hash(name) % BUCKETS][name] = record
        self._buckets, self._count = tuple(buckets), len(records or {})

    def with_record(self, name: str, record: V) -> Records[V]:
        """Return the records with this one in addition, or in the place of the one of its name."""
        place = hash(name) % BUCKETS
        bucket = self._buckets[place]
        return self._replaced(place, {**bucket, name: record}, self._count + (name not in bucket))

    def without(self, name: str) -> Records[V]:
        """Return the records but for that of a name, if there is one."""
        place = hash(name) % BUCKETS
        bucket = self._buckets[place]
        if name not in bucket:
            return self
        return self._replaced(place, {n: r for n, r in bucket.items() if n != name}, self._count - 1)

    def beyond(self, others: Records[V]) -> Iterator[str]:
        """Yield the names that others lack; where one was made from the other, what they share is not looked at."""
        if self is not others:
            for bucket, other in zip(self._buckets, others._buckets, strict=True):
                if bucket is not other:
                    yield from (name for name in bucket if name not in other)

    def _replaced(self, place: int, bucket: dict[str, V], count: int) -> Records[V]:
        made: Records[V] = Records.__new__(Records)
        made._buckets = (*self._buckets[:place], bucket, *self._buckets[place + 1 :])
        made._count = count
        return made

    def __getitem__(self, name: str) -> V:
        return self._buckets[hash(name) % BUCKETS][name]

    @overload
    def get(self, name: str, /) -> V | None: ...
    @overload
    def get(self, name: str, /, default: V | D) -> V | D: ...
    def get(self, name: str, /, default: V | D | None = None) -> V | D | None:
        return self._buckets[hash(name) % BUCKETS].get(name, default)

    def __contains__(self, name: object) -> bool:
        return name in self._buckets[hash(name) % BUCKETS]

    def __iter__(self) -> Iterator[str]:
        for bucket in self._buckets:
            yield from bucket

    def __len__(self) -> int:
        return self._count
