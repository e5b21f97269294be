"""A run as the scheduler sees it: what all its processes publish passes there."""

from __future__ import annotations

from typing import Any

from lnet.runtime.cluster.config import RunConfig
from lnet.runtime.cluster.published import TileComputed
from lnet.runtime.store.events import Event, RolledBack

from .steps import Steps
from .view import ClusterView, ReplicaView, ShardView, rate


class Overview:
    """`batch`: images in a step of one replica."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.steps = Steps(config, config.begun_at)
        self.view = ClusterView(config.begun_at, config.spec.batches, durability=config.durability)
        self.batch = config.plan.graph.training.batch

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
            "replicas": [_replica(view.replicas[index], now) for index in sorted(view.replicas)],
            "shards": [_shard(view.shards[index]) for index in sorted(view.shards)],
            "refused": [
                {"process": process, "reason": reason, "count": count}
                for (process, reason), count in sorted(view.refused.items())
            ],
            "messages": [{"ago": now - at, "text": text} for at, text in reversed(view.messages)],
        }


def _replica(replica: ReplicaView, now: float) -> dict[str, Any]:
    return {
        "state": replica.state,
        "workers": list(replica.workers),
        "steps": replica.steps,
        "step_rate": rate(replica.recent, now),
        "staleness": replica.mean_age if replica.ages else None,
        "largest": max(replica.ages, default=None),
        "byte_rate": replica.bytes_per_second(now),
        "waited": replica.waited,
    }


def _shard(shard: ShardView) -> dict[str, Any]:
    return {
        "primary": shard.primary,
        "standby": shard.standby,
        "ready": shard.ready,
        "term": shard.term,
        "updates": shard.updates,
    }
