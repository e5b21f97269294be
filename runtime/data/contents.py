"""What a run trains on, in a sentence: `6,364 images in 'pics' (31 files ignored: 30 .jfif, 1 .txt), 100 a step`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lnet.compiler.plan.plan import Plan

from .sources import samples_of

SUFFIXES = 8
"""Number of suffixes named; files with other suffixes are counted together."""


@dataclass(frozen=True)
class Contents:
    """The number of images, their path, the number of sources of each kind, and the files left out.

    `path` is None for images in memory; `ignored` counts other files by suffix, `excluded` the images on the list of names
    to leave out.
    """

    count: int
    path: str | None
    sources: Mapping[str, int] = field(default_factory=dict)
    ignored: Mapping[str, int] = field(default_factory=dict)
    excluded: int = 0

    def sentence(self, plan: Plan, replicas: int = 1) -> str:
        """Return what a plan trains on, and how often it passes over it."""
        training = plan.graph.training
        each = f"{training.images:,} a step" + (f" of each of {replicas:,} replicas" if replicas > 1 else "")
        each += f" in {training.views} views" if training.views > 1 else ""
        passes = _passes(training.seen(training.steps * replicas) / self.count)
        return f"{Path(plan.source_name).name}: {self}, {each}, {passes}"

    def __str__(self) -> str:
        place = "in memory" if self.path is None else f"in '{self.path}'"
        return f"{_counted(self.count, samples_of(self.sources))} {place}{self._details}"

    @property
    def _details(self) -> str:
        found = []
        if sum(self.sources.values()) > 1:
            found.append(", ".join(_counted(count, kind) for kind, count in self.sources.items()))
        if self.ignored:
            count = sum(self.ignored.values())
            found.append(f"{_counted(count, 'file')} ignored: {by_suffix(self.ignored)}")
        if self.excluded:
            found.append(f"{self.excluded:,} excluded")
        return f" ({'; '.join(found)})" if found else ""


def skipped(name: str, reason: str) -> str:
    """Return the message about an image that is skipped because it cannot be decoded."""
    return f"skipped the corrupt image '{name}': {reason}"


def by_suffix(counts: Mapping[str, int]) -> str:
    """Return counts of files by suffix, the most frequent first: `30 .jfif, 1 .txt`."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    named = [f"{count:,} {suffix or 'without a suffix'}" for suffix, count in ordered[:SUFFIXES]]
    rest = sum(count for _, count in ordered[SUFFIXES:])
    return ", ".join([*named, f"{rest:,} others"] if rest else named)


def _counted(count: int, noun: str) -> str:
    plural = " or ".join(f"{word}s" for word in noun.split(" or "))
    return f"{count:,} {noun if count == 1 else plural}"


def _passes(passes: float) -> str:
    digits = 0 if passes >= 1000 else 1 if passes >= 10 else 2
    number = f"{passes:,.{digits}f}" if passes >= 0.005 else f"{passes:.1g}"
    number = number.rstrip("0").rstrip(".") if "." in number else number
    return f"{number} {'pass' if number == '1' else 'passes'}"
