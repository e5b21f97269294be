"""Which kernels a network runs, how they are tiled, and how long that is predicted to take: `lnetc explain --kernels`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lnet.compiler.graph import Graph
from lnet.compiler.ops import Decode, Local
from lnet.compiler.weights import position_weights

from .tiling import FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT, Choice, choose


@dataclass(frozen=True, slots=True)
class Product:
    """One product of one layer: what it gives, and how it is done."""

    layer: str
    gives: str
    choice: Choice


def products(graph: Graph) -> Iterator[Product]:
    """Yield the products of every layer whose positions have weights of their own, at the file's batch.

    A decoder is the input gradient of its encoder, so its own gradients are the other two.
    """
    for layer in graph.layers:
        op = layer.op
        if isinstance(op, Local | Decode) and position_weights(layer):
            decodes = isinstance(op, Decode)
            for gives, forms in (
                ("value", INPUT_GRADIENT if decodes else FORWARD),
                ("input gradient", FORWARD if decodes else INPUT_GRADIENT),
                ("weight gradient", WEIGHT_GRADIENT),
            ):
                choice = choose(forms, op.window, op.maps_in, op.maps, graph.training.batch)
                yield Product(layer.path, gives, choice)


def kernels_data(graph: Graph) -> list[dict[str, Any]]:
    """Return the products as JSON values."""
    return [
        {
            "layer": product.layer,
            "gives": product.gives,
            "form": product.choice.form,
            "tile": [product.choice.tiling.rows.tile, product.choice.tiling.columns.tile],
            "milliseconds": round(product.choice.milliseconds, 3),
        }
        for product in products(graph)
    ]


def kernels_text(graph: Graph) -> str:
    """Return the products as a table."""
    rows = [("layer", "gives", "product", "tile", "predicted ms")]
    found = list(products(graph))
    for product in found:
        tiling = product.choice.tiling
        tile = f"{tiling.rows.tile}x{tiling.columns.tile}"
        rows.append(
            (product.layer, product.gives, product.choice.form, tile, f"{product.choice.milliseconds:,.1f}")
        )
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = [
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    total = sum(product.choice.milliseconds for product in found)
    lines.append(
        f"{total:,.0f} ms in all at a batch of {graph.training.batch:,} on two cores; predicted, not measured"
    )
    return "\n".join(lines)
