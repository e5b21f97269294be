"""The head of the page: the run, its date and versions, its figures, its failure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lnet.compiler.cut.cost import totals
from lnet.runtime.analysis.history import History, Steps
from lnet.runtime.store.events import Failed, Resumed, RunPruned, Started
from lnet.runtime.store.run import Run

from .material import Material


def head(material: Material) -> dict[str, Any]:
    """Return the head of the page."""
    run, history = material.run, material.history
    return {
        "name": run.plan.graph.name,
        "summary": _summary(run, history.steps) + _pruned(history),
        "made": _made(run, history),
        "tiles": _tiles(run, history.steps),
        "failures": history.messages(Failed),
    }


@dataclass(frozen=True)
class _Tile:
    figure: str
    what: str


def _summary(run: Run, steps: Steps) -> str:
    last = steps.newest.step if steps.newest is not None else 0
    all_steps = run.plan.graph.training.steps * (len(run.plan.placement.tiles) if steps.on_cluster else 1)
    return f"{run.directory.name}: {last:,} of {all_steps:,} steps, from {run.plan.source_name}"


def _pruned(history: History) -> str:
    """Return why the run ended before its last step, if a sweep pruned it."""
    last = history.events[-1] if history.events else None
    return f"; pruned: {last.message}" if isinstance(last, RunPruned) else ""


def _made(run: Run, history: History) -> list[str]:
    """Return date, duration, command and versions of the run."""
    versions = run.info["versions"]
    lines = [
        run.info.get("command", ""),
        ", ".join(f"{name} {versions[name]}" for name in ("lnet", "jax", "python") if name in versions),
    ]
    if history.events:
        begun = [event for event in history.events if isinstance(event, Started | Resumed)]
        seconds = max(history.timed[-1][0], history.steps.ended)
        sessions = f", in {len(begun)} sessions" if len(begun) > 1 else ""
        lines.insert(0, f"begun {_date(history.events[0].time)}, trained for {_duration(seconds)}{sessions}")
    return [line for line in lines if line]


def _date(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "min"), (rest, "s"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or "0 s"


def _tiles(run: Run, steps: Steps) -> list[_Tile]:
    graph = run.plan.graph
    sums = totals(graph, run.plan.partition)
    tiles = [
        _Tile(f"{sums.encoding_weights:,}", "encoding weights"),
        _Tile(f"{sums.parameters:,}", "parameters"),
    ]
    if steps.newest is not None:
        elapsed = steps.ended - steps.began if steps.on_cluster else steps.seconds
        waited = steps.waited / max(steps.seconds, 1e-9)
        awaited = "images and other tiles" if steps.on_cluster else "images"
        tiles += [
            _Tile(f"{steps.newest.images:,}", "images seen"),
            _Tile(f"{steps.images / max(elapsed, 1e-9):,.0f}", "images per second"),
            _Tile(f"{waited:.1%}", f"of the time waited for {awaited}"),
        ]
    return tiles
