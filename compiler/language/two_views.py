"""Views of images: what objectives that compare them ask of the training data, and views that do not differ."""

from __future__ import annotations

from collections.abc import Mapping

from lnet.compiler.graph.graph import Graph
from lnet.dsl import nodes

from .expressions import Evaluator
from .scope import Place


def check_contrasted(graph: Graph, places: Mapping[str, Place], evaluator: Evaluator) -> None:
    """Report objectives that compare views where images have one, or where a batch has one image."""
    training = graph.training
    if training.views == 1:
        why = "compares two views of each image, and the data have one"
        hints = ["write 'data = frames(PATH, views = 2)' in the 'train' block"]
        if graph.arrays is not None:
            hints.append("there are no views of arrays: nothing in them is cropped, mirrored or augmented")
    elif training.batch == 1:
        why = "compares an image with the others in its batch, and 'batch = 1' leaves none"
        hints = ["take a larger 'batch'; 'accumulate' adds batches, but each is compared by itself"]
    else:
        return
    for objective in graph.objectives:
        if objective.term.compares_views:
            place = places[objective.path]
            message, notes = f"'{objective.term.kind}' {why}", (place.note,) if place.note else ()
            evaluator.report("E506", message, place.span, notes=notes, hints=tuple(hints))


def warn_equal_views(graph: Graph, train: nodes.Train | None, evaluator: Evaluator) -> None:
    """Warn of two views of an image that are the same, where no layer may make them differ in training."""
    frames = graph.frames
    varied = frames.crop == "random" or frames.flip or frames.augment
    if train is None or frames.views == 1 or varied or any(layer.op.has_mode for layer in graph.layers):
        return
    span = next(
        s.value.span for s in train.settings if isinstance(s, nodes.Setting) and s.name.text == "data"
    )
    evaluator.report(
        "W503",
        "both views of an image are the same: nothing crops, mirrors or augments them at random",
        span,
        hints=("write 'crop = random', 'flip = true', or 'augment = [...]'",),
    )
