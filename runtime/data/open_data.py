"""Training data of a plan, whatever they are: images or arrays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lnet.compiler.graph.graph import Graph
from lnet.compiler.settings import ArraySet, Frames, TrainingData
from lnet.dsl.diagnostics import refused

from .array_sets import data_set
from .columns import open_columns
from .dataset import CACHE_BYTES, Classes, Dataset, Kept, open_frames
from .indexes import Indexing
from .labels import order_classes


def open_data(
    data: TrainingData,
    graph: Graph,
    base: Path,
    cache_bytes: int = CACHE_BYTES,
    kept: Kept | None = None,
    classes: Classes = order_classes,
    hint: str | None = None,
    indexing: Callable[[str | None], Indexing] = Indexing,
    scan: bool = False,
) -> Dataset:
    """Open what a network is trained on, relative to `base`; raises `LnetError`.

    The arguments are those of `open_frames` and of `data_set`.
    """
    if isinstance(data, ArraySet):
        columns = open_columns(base / data.path, data.path)
        return data_set(columns, data, graph, base, cache_bytes, kept, classes, scan)
    assert isinstance(data, Frames), "there are two kinds of training data"
    check_targets(graph)
    channels, seed = graph.input.sheet.maps, graph.training.seed
    dtype = graph.training.dtype
    return open_frames(data, channels, base, seed, cache_bytes, kept, classes, hint, indexing, dtype)


def check_targets(graph: Graph) -> None:
    """Raise `LnetError` for images where a network has targets."""
    if graph.targets:
        path = graph.targets[0].path
        raise refused(
            "E517",
            f"the network has the target '{path}', and images come without targets",
            hint=(
                f'data = arrays("FILE.npz", values = "x", targets = "{path}")',
                f"in Python: lnet.train(plan, data = lnet.Arrays(x, targets = {{'{path}': y}}))",
            ),
        )
