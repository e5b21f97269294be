"""A simulated run as text (`lnetc simulate`) and as JSON values (`--json`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from lnet.compiler.plan.plan import Plan
from lnet.compiler.predict.explain_time import seconds_text
from lnet.compiler.text_table import WIDE, TextTable, printed

from .failures import KINDS, ROLES
from .simulate import Asked, Simulated, Storm

OFTEN = 0.95
"""Share of the updates whose staleness is shown."""
AGAIN = 0.01
"""Share of bytes sent again from which on it is said."""


def simulated_text(plan: Plan, found: Simulated, asked: Asked, width: int = WIDE) -> str:
    """Return what was simulated as text, folded to `width` columns."""
    return printed(tuple(_parts(plan, found, asked)), width)


def _parts(plan: Plan, found: Simulated, asked: Asked) -> Iterator[str | TextTable]:
    more = found.images_a_second / found.predicted - 1
    than = "more" if more >= 0 else "less"
    yield plan.summary()
    yield (
        f"{found.steps:,} steps of each replica in {seconds_text(found.seconds)}: "
        f"{found.images_a_second:,.4g} images a second, {abs(more):.1%} {than} than the {found.predicted:,.4g} of "
        "'explain --time'"
    )
    if found.ages is not None:
        mean, often, most = staleness(found.ages)
        yield f"staleness {mean:.3g} updates on average, {often} or less for {OFTEN:.0%} of them, at most {most}"
    waiting = found.waiting
    yield (
        f"a tile computes {waiting.computing:.0%} of its time, waits for others of its replica {waiting.tiles:.0%}, "
        f"and for parameters {waiting.parameters:.0%}"
    )
    if found.again > AGAIN:
        yield (
            f"{found.again:.0%} of all bytes are sent again: answers take longer than the protocol waits for them "
            "(smaller shards or faster links)"
        )
    if found.storm is not None:
        yield from _under_failures(found.storm, asked)


def _under_failures(storm: Storm, asked: Asked) -> Iterator[str | TextTable]:
    run, replica = storm.longest
    yield ""
    yield (
        f"{asked.failures:,g} failures of a machine in 1,000 hours, each repaired after {asked.repair:,g} s: "
        f"{len(storm.struck):,} in {duration(storm.seconds)}"
    )
    yield f"goodput {storm.goodput:.3f}: useful steps over those without failures in the same time"
    yield ""
    yield TextTable(
        ("failure", "what"),
        ROLES,
        tuple(
            (kind, WHAT[kind], *(str(_count(storm, kind, role)) or "-" for role in ROLES)) for kind in KINDS
        ),
    )
    yield "a failure counts for the first of these roles that it hits"
    yield ""
    yield f"longest time without a step: {seconds_text(run)} of the run, {seconds_text(replica)} of a replica"
    if storm.lost_updates:
        yield f"{storm.lost_updates:,} updates of a shard were acknowledged and lost with both of its copies"
    if storm.rollbacks:
        yield f"{storm.rollbacks:,} times all went back to the newest checkpoint"
    if storm.given_up:
        yield "the run was given up: workers ended again and again without a step between"


WHAT = {"kill": "a process ends, seen by its nanny", "stop": "a machine falls silent"}


def _count(storm: Storm, kind: str, role: str) -> int:
    return sum(failure.kind == kind and failure.role == role for failure in storm.struck)


def staleness(ages: Counter[int]) -> tuple[float, int, int]:
    """Return the mean, that which 95 % of the updates do not exceed, and the most."""
    total, below = ages.total(), 0
    for often in sorted(ages):
        below += ages[often]
        if below >= OFTEN * total:
            break
    return sum(age * count for age, count in ages.items()) / total, often, max(ages)


def duration(seconds: float) -> str:
    """Return a duration in hours and minutes, or seconds."""
    minutes = round(seconds / 60)
    if minutes < 2:
        return seconds_text(seconds)
    return f"{minutes:,} min" if minutes < 120 else f"{minutes // 60:,} h {minutes % 60} min"


def simulated_data(found: Simulated, asked: Asked) -> dict[str, Any]:
    """Return what was simulated as JSON values; times in seconds."""
    data: dict[str, Any] = {
        "seed": asked.seed,
        "steps": found.steps,
        "seconds": found.seconds,
        "step": found.step,
        "images_a_second": found.images_a_second,
        "predicted_images_a_second": found.predicted,
        "waiting": found.waiting._asdict(),
        "sent_again": found.again,
    }
    if found.ages is not None:
        data["staleness"] = dict(zip(("mean", "often", "most"), staleness(found.ages), strict=True))
    if found.storm is not None:
        data["failures"] = _failures_data(found.storm, asked)
    return data


def _failures_data(storm: Storm, asked: Asked) -> dict[str, Any]:
    return {
        "rate": asked.failures,
        "repair": asked.repair,
        "seconds": storm.seconds,
        "goodput": storm.goodput,
        "longest_without_a_step": dict(zip(("run", "replica"), storm.longest, strict=True)),
        "counts": {kind: {role: _count(storm, kind, role) for role in ROLES} for kind in KINDS},
        "list": [
            {"at": each.at, "kind": each.kind, "role": each.role, "workers": list(each.workers)}
            for each in storm.struck
        ],
        "lost_updates": storm.lost_updates,
        "rollbacks": storm.rollbacks,
        "lapses": storm.lapses,
        "given_up": storm.given_up,
    }
