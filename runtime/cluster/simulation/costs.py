"""What a run's work costs on a described cluster: seconds of steps and updates, bytes of what shards send.

All of it is from the prediction (lnet.compiler.predict). A step of a replica is its stages where its tiles are now: a worker
with several tiles, of whichever replicas, takes the seconds of them all, and each stage ends with its slowest worker.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from lnet.compiler.cut.cluster_spec import ClusterSpec, Rates
from lnet.compiler.cut.placement import Placement
from lnet.compiler.plan.plan import Plan
from lnet.compiler.predict.stages import placed, tile_stages

Homes = Mapping[int, tuple[int, ...]]
"""The workers of each replica's tiles, by number."""


@dataclass(frozen=True, slots=True)
class StepCost:
    """Seconds of a replica's step, and those that the worker of each tile is busy for."""

    seconds: float
    busy: tuple[float, ...]


@dataclass
class Costs:
    """Raises `LnetError` for a layer whose rate is unknown."""

    plan: Plan
    rates: Rates

    def __post_init__(self) -> None:
        self.work = tile_stages(self.plan, self.rates)
        self.placed: tuple[Homes, dict[int, StepCost]] = ({}, {})

    @property
    def cluster(self) -> ClusterSpec:
        return self.plan.placement.cluster

    def step(self, replica: int, homes: Homes) -> StepCost:
        """Return what a replica's step costs while all replicas' tiles are at these workers."""
        if self.placed[0] != homes:
            self.placed = (dict(homes), self._steps(homes))
        return self.placed[1][replica]

    def _steps(self, homes: Homes) -> dict[int, StepCost]:
        placement = Placement(self.cluster, tuple(homes.values()), ())
        plan = replace(self.plan, placement=placement)
        stages = [placed(work, plan, self.rates).seconds for work in self.work]
        return {
            replica: StepCost(
                sum(max(seconds[home] for home in tiles) for seconds in stages),
                tuple(sum(seconds[home] for seconds in stages) for home in tiles),
            )
            for replica, tiles in homes.items()
        }

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """The bytes of each shard's parameters."""
        return tuple(size for cost in self.plan.costs for size in cost.shards)

    @cached_property
    def states(self) -> tuple[int, ...]:
        """The bytes of each shard's parameters and its optimiser state."""
        return tuple(size for cost in self.plan.costs for size in cost.servers)

    def update(self, shard: int) -> float:
        """Return the seconds of an update of a shard, wherever it is computed."""
        return self.sizes[shard] / self.plan.graph.training.value_bytes / self.rates.updates

    def size(self, shard: int) -> int:
        """Return the bytes of a shard's parameters, or of their gradients."""
        return self.sizes[shard]

    def state_size(self, shard: int) -> int:
        """Return the bytes of a shard's parameters and its optimiser state."""
        return self.states[shard]
