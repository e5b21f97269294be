"""A run as the scheduler sees it: what all its processes publish passes there."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from lnet.runtime.cluster.config import RunConfig
from lnet.runtime.cluster.published import TileComputed
from lnet.runtime.store.events import Event, RolledBack

from . import outliers
from .steps import Steps
from .view import ClusterView, ReplicaRow, ShardRow, rate


class Overview:
    """`batch`: images in a step of one replica."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.steps = Steps(config, config.begun_at)
        self.view = ClusterView(config.begun_at, config.spec.batches, durability=config.durability)
        self.batch = config.plan.graph.training.images

    def take(self, event: Event, at: float) -> None:
        """Take an event that was published, at a time."""
        self.view.take(event, at)
        match event:
            case TileComputed():
                step = self.steps.take(event)
                if step is not None:
                    self.view.take(step, at)
            case RolledBack():
                self.steps.go_back(event.step)

    def state(self, now: float) -> dict[str, Any]:
        """Return the overview as JSON data: times in seconds before now, rates in units per second."""
        view = self.view
        replicas, shards = view.replica_rows(now), view.shard_rows()
        return {
            "run": self.config.short,
            "network": self.config.plan.graph.name,
            "directory": self.config.directory,
            "step": self.steps.done,
            "steps": view.steps,
            "step_rate": rate(view.recent, now),
            "image_rate": view.images_per_second(now),
            "seconds_left": view.seconds_left(now),
            "workers": view.workers,
            "durability": view.durability,
            "failures": view.failures,
            "promotions": view.promotions,
            "lost": view.lost,
            "torn": view.torn,
            "given_back": view.given_back,
            "losses": view.losses,
            "checkpoint": view.checkpoint and {"step": view.checkpoint.step, "ago": now - view.checkpoint.at},
            "not_back": view.not_back,
            "replicas": [_replica(row) for row in replicas],
            "shards": [_shard(row) for row in shards],
            "shown": _shown(outliers.shown(view, replicas, shards)),
            "refused": [
                {"process": process, "reason": reason, "count": count}
                for (process, reason), count in sorted(view.refused.items())
            ],
            "messages": [{"ago": now - at, "text": text} for at, text in reversed(view.messages)],
        }


def _replica(row: ReplicaRow) -> dict[str, Any]:
    return {
        "state": row.state,
        "workers": list(row.workers),
        "steps": row.steps,
        "step_rate": row.step_rate,
        "staleness": row.staleness,
        "largest": row.largest,
        "byte_rate": row.byte_rate,
        "waited": row.waited,
        "slowest": row.slowest and asdict(row.slowest),
    }


def _shown(shown: outliers.Shown) -> dict[str, Any] | None:
    """Return what the page shows first, by number; None: all."""
    if shown.small:
        return None
    return {
        "replicas": [row.index for row in shown.replicas],
        "shards": [row.index for row in shown.shards],
        "other_replicas": shown.other_replicas,
        "other_shards": shown.other_shards,
    }


def _shard(row: ShardRow) -> dict[str, Any]:
    roles = row.roles
    return {
        "primary": roles.primary,
        "standby": roles.standby,
        "ready": roles.ready,
        "term": roles.term,
        "updates": row.updates,
    }
