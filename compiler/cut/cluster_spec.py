"""The description of a cluster: workers with memory, on hosts, with links between them, and what a worker does in a second.

[links]
within  = { latency = 2e-5, bandwidth = 8e9 }       # seconds; bytes per second
between = { latency = 1e-4, bandwidth = 1e9 }
overhead = 4e-3                                     # for predictions: seconds of a step besides, see `Rates`
copies   = 1e9                                      # for predictions: bytes of halos a second

[[hosts]]
name = "a"
count = 1                                           # hosts like this one; several are called a-0, a-1, ...
workers = 4
memory = 32e9                                       # bytes of each worker; left out: not known

[[pairs]]
hosts = ["a", "b"]
latency = 1e-3
bandwidth = 1e8

[rates]                                             # for predictions alone: of one worker
layers   = { local = 3e10, decode = 3e10 }          # multiply-adds a second by kind of layer, see `Rates`
updates  = 2e8                                      # parameters a second
images   = 5e3                                      # read and decoded a second; inf: they cost nothing
source   = "lnetc tune, 4 cores"                    # where they are from; left out: stated here
"""

from __future__ import annotations

import tomllib
from collections import Counter
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


@dataclass(frozen=True, slots=True)
class Rates:
    """What one worker does in a second.

    `layers`: multiply-adds of the forward pass by kind of layer, over the time of forward pass and gradients together;
    `updates`: parameters that an update rule changes; `images`: images read and decoded. `overhead`: seconds of a step
    that depend on none of these, nor on links: dispatch, scheduling, logs. `copies`: bytes of halos that are cut
    out of arrays, copied and put together again, besides their time on a link. `source` says where the figures are from.
    """

    layers: Mapping[str, float]
    updates: float
    images: float
    overhead: float
    copies: float
    source: str

    def layer(self, kind: str) -> float:
        """Return the rate of a kind of layer; raises `LnetError` if it is unknown."""
        if kind not in self.layers:
            what = f"how many multiply-adds a worker does in a second in '{kind}' layers"
            raise _unknown(what, f"'{kind}' of 'layers' in [rates]", self.source)
        return self.layers[kind]


def _unknown(what: str, where: str, source: str) -> LnetError:
    """Return the error for a prediction that lacks a constant: none is ever guessed."""
    return refused(
        "E611",
        f"it is not known {what}",
        f"expected it as {where} in the cluster's description, found the constants {source}",
        hint="measure it with 'lnetc tune --rates' and 'lnetc measure-links', or state it",
    )


def read_cluster_spec(path: Path) -> ClusterSpec:
    """Read a cluster's description; raises `LnetError`."""
    return _Reader(path).spec(_toml(path))


def read_rates(path: Path) -> Rates:
    """Read the rates in a cluster's description; raises `LnetError` if some are missing, or links that workers need."""
    return _Reader(path).rates(_toml(path))


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise _refused(path, "cannot be read", str(error)) from error
    except tomllib.TOMLDecodeError as error:
        raise _refused(path, "is not TOML", str(error)) from error


class _Reader:
    def __init__(self, path: Path) -> None:
        self.path = path

    def spec(self, data: Mapping[str, Any]) -> ClusterSpec:
        self._known(data, ("links", "hosts", "pairs", "rates"), "the file")
        links = self._typed(data, "links", dict, "the file", {})
        self._known(links, ("within", "between", "overhead", "copies"), "[links]")
        plain = ClusterSpec(())
        described = self._typed(data, "hosts", list, "the file")
        hosts = [host for each in described for host in self._hosts(each)]
        for name, times in Counter(host[0].host for host in hosts).items():
            if times > 1:
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

    def rates(self, data: Mapping[str, Any]) -> Rates:
        self._check_links(data)
        rates, links = (self._typed(data, key, dict, "the file", {}) for key in ("rates", "links"))
        self._known(rates, ("layers", "updates", "images", "source"), "[rates]")
        source = self._typed(rates, "source", str, "[rates]", self._stated)
        layers = self._typed(rates, "layers", dict, "[rates]", {})
        return Rates(
            {kind: self._rate(layers, "rates", kind, "") for kind in layers},
            self._rate(rates, "rates", "updates", "how many parameters a worker updates in a second"),
            self._rate(rates, "rates", "images", "how many images a worker reads and decodes in a second"),
            self._rate(links, "links", "overhead", "how many seconds a step takes besides", 0.0),
            self._rate(links, "links", "copies", "how many bytes of halos a worker copies in a second"),
            source,
        )

    @property
    def _stated(self) -> str:
        return f"stated in '{self.path}'"

    def _check_links(self, data: Mapping[str, Any]) -> None:
        workers, links = self.spec(data).workers, data.get("links", {})
        hosts = {worker.host for worker in workers}
        for key, needed, what in (
            ("within", len(hosts) < len(workers), "within a host"),
            ("between", len(hosts) > 1, "between hosts"),
        ):
            if needed and key not in links:
                raise _unknown(f"how fast the links {what} are", f"'{key}' in [links]", self._stated)

    def _rate(self, data: Mapping[str, Any], table: str, key: str, what: str, least: float = 1e-300) -> float:
        if key not in data:
            raise _unknown(what, f"'{key}' in [{table}]", self._stated)
        rate = self._typed(data, key, (int, float), f"[{table}]")
        if not least <= rate:
            raise _refused(self.path, f"has {rate} as '{key}' in [{table}]", "expected more than 0")
        return float(rate)

    def _hosts(self, data: Any) -> list[list[Worker]]:
        self._known(data, ("name", "count", "workers", "memory"), "[[hosts]]")
        name = self._typed(data, "name", str, "[[hosts]]")
        count = self._typed(data, "count", int, f"the host '{name}'", 1)
        if count < 1:
            raise _refused(self.path, f"has {count} hosts '{name}'", "expected at least one")
        plain = {key: value for key, value in data.items() if key != "count"}
        names = [name] if count == 1 else [f"{name}-{i}" for i in range(count)]
        return [self._host({**plain, "name": each}) for each in names]

    def _host(self, data: Any) -> list[Worker]:
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
