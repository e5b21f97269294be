"""Kernel choices and times of a network's products: `lnetc explain --kernels`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lnet.compiler.graph.graph import Graph
from lnet.compiler.ops import Filters
from lnet.compiler.text_table import WIDE, TextTable, printed

from .choose import Choices, choices, predicted
from .products import FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT, Choice, Product


def products(graph: Graph, devices: int = 1) -> Iterator[tuple[str, str, Product]]:
    """Yield layer, name of the computed value, and product on one of `devices`, for every local layer and decoder.

    A decoder is the input gradient of its encoder, so its own gradients are the other two.
    """
    training = graph.training
    for layer in graph.layers:
        op = layer.op
        if isinstance(op, Filters):
            for gives, product in (
                ("value", INPUT_GRADIENT if op.scatters else FORWARD),
                ("input gradient", FORWARD if op.scatters else INPUT_GRADIENT),
                ("weight gradient", WEIGHT_GRADIENT),
            ):
                rows = training.batch_rows // devices
                shapes = (op.window, op.sets, op.maps_in, op.maps, rows, training.precision)
                yield layer.path, gives, Product(product, *shapes, layout=op.layout)


def kernels_data(graph: Graph, measured: Choices) -> list[dict[str, Any]]:
    """Return the products as JSON values."""
    return [
        {
            "layer": layer,
            "gives": gives,
            "form": choice.form,
            "shape": list(choice.shape),
            "milliseconds": round(choice.milliseconds, 6),
            "measured": choice.measured,
        }
        for layer, gives, choice in _chosen(graph, measured)
    ]


def kernels_text(graph: Graph, measured: Choices, width: int = WIDE) -> str:
    """Return the products as a text table, folded to `width` columns."""
    chosen = list(_chosen(graph, measured))
    rows = tuple(
        (
            layer,
            gives,
            choice.form,
            "x".join(map(str, choice.shape)),
            f"{choice.milliseconds:,.1f}",
            "measured" if choice.measured else "predicted",
        )
        for layer, gives, choice in chosen
    )
    total = sum(choice.milliseconds for _, _, choice in chosen)
    table = TextTable(("layer", "gives", "product", "shape"), ("ms", "known"), rows, left=("known",))
    said = f"{total:,.0f} ms in all at a batch of {graph.training.batch_text}; {_source(chosen)}"
    return printed((table, said), width)


def _chosen(graph: Graph, measured: Choices) -> Iterator[tuple[str, str, Choice]]:
    for layer, gives, product in products(graph):
        if choices(product):
            yield layer, gives, measured.get(product) or predicted(product)


def _source(chosen: list[tuple[str, str, Choice]]) -> str:
    count = sum(choice.measured for _, _, choice in chosen)
    if not count:
        return "predicted, not measured ('lnetc tune' measures)"
    if count == len(chosen):
        return "measured on this machine"
    return f"{count} of {len(chosen)} measured on this machine, the others predicted"
