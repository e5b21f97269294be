"""The description of a cluster: workers with memory, on hosts, with links between them.

[links]
within  = { latency = 2e-5, bandwidth = 8e9 }       # seconds; bytes per second
between = { latency = 1e-4, bandwidth = 1e9 }

[[hosts]]
name = "a"
workers = 4
memory = 32e9                                       # bytes of each worker; left out: not known

[[pairs]]
hosts = ["a", "b"]
latency = 1e-3
bandwidth = 1e8
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

from lnet.dsl.diagnostics import LnetError, did_you_mean, refused


@dataclass(frozen=True, slots=True)
class Link:
    """Seconds before the first byte, and bytes per second after it."""

    latency: float
    bandwidth: float

    def seconds(self, size: float) -> float:
        return self.latency + size / self.bandwidth


@dataclass(frozen=True, slots=True)
class Worker:
    """A process that holds tiles; `memory` in bytes, None where it is not known."""

    name: str
    host: str
    memory: int | None = None


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """Workers and the links between their hosts."""

    workers: tuple[Worker, ...]
    within: Link = Link(2e-5, 8e9)
    between: Link = Link(1e-4, 1e9)
    pairs: tuple[tuple[str, str, Link], ...] = ()

    @staticmethod
    def uniform(count: int) -> ClusterSpec:
        """Return `count` workers of unknown memory, each on its own host."""
        return ClusterSpec(tuple(Worker(f"worker-{i}", f"host-{i}") for i in range(count)))

    def link(self, left: str, right: str) -> Link:
        """Return the link between two hosts."""
        for a, b, link in self.pairs:
            if {left, right} == {a, b}:
                return link
        return self.within if left == right else self.between


def read_cluster_spec(path: Path) -> ClusterSpec:
    """Read a cluster's description; raises `LnetError`."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise _refused(path, "cannot be read", str(error)) from error
    except tomllib.TOMLDecodeError as error:
        raise _refused(path, "is no TOML", str(error)) from error
    return _Reader(path).spec(data)


class _Reader:
    def __init__(self, path: Path) -> None:
        self.path = path

    def spec(self, data: Mapping[str, Any]) -> ClusterSpec:
        self._known(data, ("links", "hosts", "pairs"), "the file")
        links = self._typed(data, "links", dict, "the file", {})
        self._known(links, ("within", "between"), "[links]")
        plain = ClusterSpec(())
        hosts = [self._host(host) for host in self._typed(data, "hosts", list, "the file")]
        declared = [host[0].host for host in hosts]
        for name in declared:
            if declared.count(name) > 1:
                raise _refused(self.path, f"has the host '{name}' twice", "expected a name for each")
        workers = tuple(worker for host in hosts for worker in host)
        if not workers:
            raise _refused(self.path, "has no workers", "expected at least one [[hosts]]")
        names = [worker.host for worker in workers]
        pairs = self._typed(data, "pairs", list, "the file", [])
        return ClusterSpec(
            workers,
            self._link(links["within"], "links.within") if "within" in links else plain.within,
            self._link(links["between"], "links.between") if "between" in links else plain.between,
            tuple(self._pair(pair, names) for pair in pairs),
        )

    def _host(self, data: Any) -> list[Worker]:
        self._known(data, ("name", "workers", "memory"), "[[hosts]]")
        name = self._typed(data, "name", str, "[[hosts]]")
        count = self._typed(data, "workers", int, f"the host '{name}'", 1)
        memory = self._typed(data, "memory", (int, float), f"the host '{name}'", 0)
        if count < 1 or not 0 <= memory < inf:
            raise _refused(self.path, f"has a host '{name}' with {count} workers of {memory} bytes")
        return [Worker(f"{name}/{i}", name, int(memory) or None) for i in range(count)]

    def _pair(self, data: Any, hosts: list[str]) -> tuple[str, str, Link]:
        self._known(data, ("hosts", "latency", "bandwidth"), "[[pairs]]")
        named = self._typed(data, "hosts", list, "[[pairs]]")
        if len(named) != 2 or not all(name in hosts for name in named):
            raise _refused(self.path, f"has a pair {named}", "expected two hosts that are declared")
        return named[0], named[1], self._link({k: v for k, v in data.items() if k != "hosts"}, "[[pairs]]")

    def _link(self, data: Any, place: str) -> Link:
        self._known(data, ("latency", "bandwidth"), place)
        latency = self._typed(data, "latency", (int, float), place)
        bandwidth = self._typed(data, "bandwidth", (int, float), place)
        if not 0 <= latency < inf or not 0 < bandwidth < inf:
            raise _refused(self.path, f"has a link in {place} of {latency} s and {bandwidth} bytes/s")
        return Link(float(latency), float(bandwidth))

    def _known(self, data: Any, keys: tuple[str, ...], place: str) -> None:
        if not isinstance(data, dict):
            raise _refused(self.path, f"has no table where {place} should be one")
        for key in data:
            if key not in keys:
                raise _refused(self.path, f"has '{key}' in {place}", *did_you_mean(key, keys))

    def _typed(self, data: Mapping[str, Any], key: str, kind: Any, place: str, default: Any = None) -> Any:
        value = data.get(key, default)
        if value is None:
            raise _refused(self.path, f"has no '{key}' in {place}")
        if not isinstance(value, kind) or isinstance(value, bool):
            raise _refused(self.path, f"has {value!r} as '{key}' of {place}, which is of the wrong type")
        return value


def _refused(path: Path, what: str, *notes: str) -> LnetError:
    return refused("E604", f"the cluster description '{path}' {what}", *notes)
