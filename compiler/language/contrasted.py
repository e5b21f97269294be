"""What objectives that compare views ask of the training data."""

from __future__ import annotations

from collections.abc import Mapping

from lnet.compiler.graph.graph import Graph

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
