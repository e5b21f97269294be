"""What of a run's settings is not used: those of replicas in one process, those of a validation or of labels where there
is none, and names to exclude that no image has."""

from __future__ import annotations

from collections.abc import Iterator

from lnet.compiler.settings import Training
from lnet.runtime.data import Dataset
from lnet.runtime.engine.rounding import BFLOAT16
from lnet.runtime.store.run import Run

BETWEEN_REPLICAS = ("fetch", "push", "staleness", "warmup")


def unused_in_one_process(run: Run) -> Iterator[str]:
    """Yield a sentence on replicas, and one on the settings of their synchronization."""
    training, usual, replicas = run.plan.graph.training, Training(), len(run.plan.placement.tiles)
    if replicas > 1:
        yield f"one process trains one replica, and the plan has {replicas:,}: '--cluster' trains them all"
    idle = [name for name in BETWEEN_REPLICAS if getattr(training, name) != getattr(usual, name)]
    idle += ["stale"] if training.update.stale != usual.update.stale else []
    idle += ["wire"] if run.info.get("wire") == BFLOAT16 else []
    if idle:
        yield f"not used in one process, but by replicas on a cluster: {', '.join(idle)}"


def unused_anywhere(run: Run, images: Dataset, validation: Dataset | None) -> Iterator[str]:
    """Yield a sentence on each setting that lacks what it is about, and on each name to exclude that no image has."""
    if validation is None and run.plan.graph.training.validate_every is not None:
        yield "'validate_every' is not used: the run has no 'validation'"
    if images.frames.classes is not None and images.classes is None:
        yield "'classes' is not used: the images have no labels"
    for data in filter(None, (images, validation)):
        yield from (f"'{name}' is to be excluded, but there is no such image" for name in data.unmatched)
