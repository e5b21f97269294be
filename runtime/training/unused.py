"""What of a run's settings is not used: those of replicas in one process, those of a validation or of labels where there
is none, and names to exclude that no image has."""

from __future__ import annotations

from collections.abc import Iterator

from lnet.compiler.plan.plan import Plan
from lnet.compiler.settings import Training
from lnet.runtime.data import Dataset
from lnet.runtime.engine.rounding import BFLOAT16

BETWEEN_REPLICAS = ("fetch", "push", "staleness", "warmup")


def unused_in_one_process(plan: Plan, wire: str | None) -> Iterator[str]:
    """Yield a sentence on replicas, and one on the settings of their synchronization."""
    training, usual, replicas = plan.graph.training, Training(), len(plan.placement.tiles)
    if replicas > 1:
        yield f"one process trains one replica, and the plan has {replicas:,}: '--cluster' trains them all"
    idle = [name for name in BETWEEN_REPLICAS if getattr(training, name) != getattr(usual, name)]
    idle += ["stale"] if training.update.stale != usual.update.stale else []
    idle += ["wire"] if wire == BFLOAT16 else []
    if idle:
        yield f"not used in one process, but by replicas on a cluster: {', '.join(idle)}"


def unused_anywhere(plan: Plan, images: Dataset, validation: Dataset | None) -> Iterator[str]:
    """Yield a sentence on each setting that lacks what it is about, and on each name to exclude that no image has."""
    if validation is None and plan.graph.training.validate_every is not None:
        yield "'validate_every' is not used: the run has no 'validation'"
    if images.frames.classes is not None and images.classes is None:
        yield "'classes' is not used: the images have no labels"
    for data in filter(None, (images, validation)):
        yield from (f"'{name}' is to be excluded, but there is no such image" for name in data.unmatched)
