"""The configuration that every process of a run on a cluster gets: plain values, so that only text and numbers travel.

    command: RunConfig --JSON, compressed--> scheduler, once --the same bytes--> each worker --> RunConfig

Of a plan's text, which grows with the number of workers, a twentieth is left by compression.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path

from lnet.compiler.core.codec import Codec
from lnet.compiler.cut.cost import tile_costs, tile_work
from lnet.compiler.cut.partners import partners
from lnet.compiler.cut.tree import norms
from lnet.compiler.plan.plan import Plan, plan_from_json
from lnet.compiler.plugins.identity import Plugin
from lnet.runtime.data import Kept
from lnet.runtime.data.expected import Expected
from lnet.runtime.data.order import STORED
from lnet.runtime.engine.rounding import FLOAT32
from lnet.runtime.process.versions import versions_of
from lnet.runtime.store.best import BestFolder, Score
from lnet.runtime.store.checkpoints import CheckpointFolder
from lnet.runtime.store.owner import Owner
from lnet.runtime.store.shards import StoredCheckpoint, number_of, opened, step_of

from .descriptors import Descriptors, needed
from .protocol.spec import Durability, Need, Spec, Times

CHECKED = ("lnet", "jax", "jaxlib", "numpy", "optax", "distributed")
"""Packages whose versions must be those of the process that starts a run."""
CODEC = Codec(tolerant=True)
PRESET = 3
"""Of LZMA: higher ones take several times as long, for a tenth less."""


def versions() -> tuple[tuple[str, str], ...]:
    """Return the versions of this process."""
    return tuple(versions_of(CHECKED).items())


@dataclass(frozen=True)
class ValidationConfig:
    """What a run is validated on: how many images, and the digest of their list; `array` and `prepared` as in `RunConfig`.

    `step`: whose parameters were validated last, `best`: how good the best so far are, `newest`: their number.
    """

    images: int
    digest: str
    array: str | None = None
    prepared: bool = False
    step: int = 0
    best: Score | None = None
    newest: int = 0


@dataclass(frozen=True)
class RunConfig:
    """A run on a cluster: its token, its plan, where images and checkpoints are, and the versions it must be run with.

    `directory`, `base` and `array` (images that were given as an array, taken as they are if `prepared`) are paths that
    all processes see; `expected`: what is known of the images, `kept`: what the run keeps of them; `plugins`: those that
    the plan cannot be read without; `origin` is the number and the path of the checkpoint that the run resumes from;
    `no_worker_timeout`: seconds without enough workers, after which the run is given up, or without its coordinator,
    after which a worker leaves it; `wire`: the data type of parameters and gradients between processes; `shared`: whether
    groups of tiles decode images together; `validation`: what is validated.
    """

    run: str
    plan_text: str
    directory: str
    base: str
    array: str | None
    workers: int
    capacity: int
    durability: Durability = "standby"
    versions: tuple[tuple[str, str], ...] = ()
    origin: tuple[int, str] | None = None
    times: Times = field(default_factory=Times)
    no_worker_timeout: float = 60.0
    wire: str = FLOAT32
    kept: Kept = field(default_factory=Kept)
    expected: Expected | None = None
    prepared: bool = False
    plugins: tuple[Plugin, ...] = ()
    shared: bool = False
    validation: ValidationConfig | None = None

    @cached_property
    def packed(self) -> bytes:
        """The configuration as `unpacked` reads it; nothing that this process has derived from it travels."""
        return lzma.compress(json.dumps(CODEC.encode(self)).encode(), preset=PRESET)

    def __reduce__(self) -> tuple[Callable[[bytes], RunConfig], tuple[bytes]]:
        return unpacked, (self.packed,)

    @property
    def short(self) -> str:
        """The token's beginning: what a person tells runs apart by."""
        return self.run[:8]

    @cached_property
    def plan(self) -> Plan:
        return _plan(self.plan_text)

    @cached_property
    def spec(self) -> Spec:
        """What the protocol is asked to do: `steps` counts the steps of one replica, batches are those of all."""
        training, placement = self.plan.graph.training, self.plan.placement
        replicas, tiles = len(placement.tiles), self.plan.partition.count
        names, known = [worker.name for worker in placement.cluster.workers], self.validation
        return Spec(
            self.run,
            replicas,
            tiles,
            batches=training.steps * replicas,
            shards_per_tile=self.plan.partition.shards_per_tile,
            workers=self.workers,
            staleness=training.staleness,
            fetch=training.fetch,
            push=training.push,
            warmup=training.warmup,
            durability=self.durability,
            checkpoint=training.checkpoint * replicas,
            prefer=tuple(
                (slot, tile, names[home])
                for slot, homes in enumerate(placement.tiles)
                for tile, home in enumerate(homes)
            ),
            partners=partners(self.plan.graph, self.plan.partition, self.shared),
            times=self.times,
            norms=norms(self.plan.graph) if training.staleness == 0 else 0,
            validate_every=0 if known is None else training.validate_every or 0,
            validated=0 if known is None else known.step,
            validations=0 if known is None else known.newest,
        )

    @property
    def begun_at(self) -> int:
        """The steps of all replicas together that are done before it begins."""
        return 0 if self.origin is None else step_of(Path(self.origin[1])) * self.spec.replicas

    @property
    def updates(self) -> int:
        """How many updates a shard takes in all: where a cosine schedule reaches zero."""
        if self.spec.synchronous:
            return self.spec.steps
        return -(-self.spec.batches // self.spec.push)

    @property
    def clips_pushes(self) -> bool:
        """Whether replicas clip what they push; synchronous, shards clip the mean of what all have pushed."""
        return self.plan.graph.training.clip is not None and not self.spec.synchronous

    @property
    def layout(self) -> dict[str, int]:
        """How the run is cut: tables of updates and leases fit no other.

        Before `weights` was 2, all weights that are not a position's own were in shard 0.
        """
        cut, layers = self.plan.partition, self.plan.graph.layers
        spread = any(p.role not in layer.op.position_roles for layer in layers for p in layer.parameters)
        layout = {"rows": cut.tiles.rows, "columns": cut.tiles.columns, "replicas": self.spec.replicas}
        layout |= {"shards": cut.shards_per_tile} if cut.shards_per_tile > 1 else {}
        return layout | ({"weights": 2} if spread else {})

    def laid_out_as(self, checkpoint: StoredCheckpoint) -> bool:
        """Whether a checkpoint was saved by a run that was cut like this one."""
        return bool(checkpoint.layout == self.layout)

    def checkpoint_path(self, id: int) -> Path:
        """Return where a checkpoint is, by its number."""
        if self.origin is not None and self.origin[0] == id:
            return Path(self.origin[1])
        return next(path for path in self.checkpoints.in_order() if number_of(path) == id)

    @cached_property
    def descriptors(self) -> Descriptors:
        """What each process must be allowed to open."""
        return needed(self.plan.placement, self.spec.partners, self.workers)

    @cached_property
    def needs(self) -> tuple[Need, ...]:
        """The plan's bytes for each tile and the largest of its shards."""
        costs = tile_costs(self.plan.graph, self.plan.partition)
        return tuple(Need(cost.memory, cost.largest_server) for cost in costs)

    @cached_property
    def work(self) -> tuple[int, ...]:
        """The planned multiply-adds of each tile; all 1 where there are none to compare."""
        found = tile_work(self.plan.graph, self.plan.partition)
        return found if all(found) else (1,) * len(found)

    @property
    def torn(self) -> int:
        """Updates that some shards of the checkpoint hold that the run goes on from, and others do not."""
        return 0 if self.origin is None else opened(Path(self.origin[1])).torn

    @property
    def owner(self) -> Owner:
        return Owner(Path(self.directory), self.run)

    @property
    def checkpoints(self) -> CheckpointFolder:
        return CheckpointFolder.of(Path(self.directory), self.plan.graph, self.kept.order or STORED)

    @property
    def best(self) -> BestFolder:
        return BestFolder.of(Path(self.directory), self.plan.graph, self.kept.order or STORED)


def unpacked(data: bytes) -> RunConfig:
    """Return a configuration from what `packed` made of it; raises `Malformed`, and `LZMAError` for other bytes."""
    return CODEC.decode(RunConfig, json.loads(lzma.decompress(data)), "configuration")


@lru_cache(maxsize=1)
def _plan(text: str) -> Plan:
    """Return a plan, decoded once for all workers of a process."""
    return plan_from_json(text)
