"""Figures for Prometheus on the `/metrics` that Dask's schedulers and workers serve, if prometheus_client is installed.

Dask answers with all that is in prometheus_client's registry, one for a process. A registry takes no two series of one
name, so all runs in a process are one collector in it, which is there while there are runs:

    host of run a   \\
    host of run b     >  collector  -->  registry  -->  /metrics
    coordinator      /                      ^
                        Dask's own collectors
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from lnet.runtime.cluster.config import RunConfig

from .metrics import METRICS, Metric, Sample

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily

AGES = (0, 1, 2, 4, 8, 16, 32, 64)
"""Upper bounds of a histogram's buckets."""


@dataclass(frozen=True, eq=False)
class Source:
    """A process of a run; `samples` are called for when somebody asks."""

    config: RunConfig
    process: str
    samples: Callable[[], Iterable[Sample]]

    @property
    def labels(self) -> tuple[str, ...]:
        return self.config.short, self.config.plan.graph.name, self.process


def publish(source: Source) -> None:
    """Let Prometheus see a process of a run."""
    registry, collector = _registry(), _collector()
    if registry is None:
        return
    if not collector.sources:
        registry.register(collector)
    collector.sources.append(source)


def withdraw(source: Source) -> None:
    """Take a process of a run back, if it is there."""
    registry, collector = _registry(), _collector()
    if registry is None or source not in collector.sources:
        return
    collector.sources.remove(source)
    if not collector.sources:
        registry.unregister(collector)


@dataclass(eq=False)
class _Collector:
    """What prometheus_client asks."""

    sources: list[Source] = field(default_factory=list)

    def describe(self) -> Iterator[Family]:
        return map(_family, METRICS)

    def collect(self) -> Iterator[Family]:
        families = {metric: _family(metric) for metric in METRICS}
        for source in self.sources:
            for sample in source.samples():
                _add(families[sample.metric], sample, [*source.labels, *sample.labels])
        return (family for family in families.values() if family.samples)


@cache
def _collector() -> _Collector:
    return _Collector()


def _registry() -> CollectorRegistry | None:
    try:
        from prometheus_client import REGISTRY
    except ModuleNotFoundError:
        return None
    return REGISTRY


def _family(metric: Metric) -> Family:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    kinds: dict[str, type[Family]] = {
        "counter": CounterMetricFamily,
        "gauge": GaugeMetricFamily,
        "histogram": HistogramMetricFamily,
    }
    return kinds[metric.kind](metric.name, metric.help, labels=["run", "network", "process", *metric.labels])


def _add(family: Any, sample: Sample, labels: list[str]) -> None:
    if isinstance(sample.value, Mapping):
        family.add_metric(labels, *_histogram(sample.value))
    else:
        family.add_metric(labels, sample.value)


def _histogram(counts: Mapping[int, int]) -> tuple[list[tuple[str, float]], float]:
    """Return how many ages are no larger than each bound, and the sum of all."""
    buckets = [(str(bound), float(sum(n for age, n in counts.items() if age <= bound))) for bound in AGES]
    everything = ("+Inf", float(sum(counts.values())))
    return [*buckets, everything], float(sum(age * n for age, n in counts.items()))
