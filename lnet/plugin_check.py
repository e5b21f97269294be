"""The check of plug-ins: the example of each kind is computed whole and in tiles, and the gradients are compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from lnet.compiler.core.shapes import Size
from lnet.compiler.cut.partition import partition
from lnet.compiler.graph.graph import Graph
from lnet.compiler.pipeline import compile_text
from lnet.compiler.plugins.registry import Brought, brought
from lnet.dsl.diagnostics import refused
from lnet.runtime.engine.evaluate import cut as cut_out
from lnet.runtime.engine.evaluate import total_loss
from lnet.runtime.engine.lockstep import run_tiles
from lnet.runtime.engine.network import initial_params
from lnet.runtime.engine.shard import Shard
from lnet.runtime.engine.updates import update_rule

PROGRAMS = {
    "layer": "network n {{ image: input(14x13x2); first: local(3, 2); x: {example}; q: l2(of = x) }}",
    "objective": "network n {{ image: input(14x13x2); first: local(3, 2); x: {example} }}",
    "update rule": "network n {{ image: input(14x13x2); first: local(3, 2); x: l2() }} train {{ update = {example} }}",
}
"""A small network around the example of a kind."""
TILES = Size(2, 3)
IMAGES = 3
CLOSE = 1e-4
"""Tolerance of gradients in tiles, relative to the largest gradient: float32 rounding."""


@dataclass(frozen=True)
class Checked:
    """A part of a plug-in, and the relative difference of its gradients in tiles; None: not a kind."""

    brought: Brought
    difference: float | None

    @property
    def text(self) -> str:
        return "-" if self.difference is None else f"{self.difference:.0e}"


def check_plugins() -> Iterator[Checked]:
    """Check all parts of plug-ins, one by one; raises `LnetError` for a kind that fails."""
    for each in brought():
        if each.what not in PROGRAMS:
            yield Checked(each, None)
            continue
        graph = compile_text(PROGRAMS[each.what].format(example=each.example), name=each.kind).graph
        if each.what == "update rule":
            _check_slots(each.kind, graph)
        yield Checked(each, _difference(each.kind, graph))


def _difference(kind: str, graph: Graph) -> float:
    rng = np.random.default_rng(0)
    params = {
        name: jnp.asarray(value + 0.1 * rng.normal(size=value.shape).astype(np.float32))
        for name, value in initial_params(graph, 0).items()
    }
    sheet = graph.input.sheet
    images = jnp.asarray(rng.normal(size=(sheet.height, sheet.width, sheet.maps, IMAGES)).astype(np.float32))
    (loss, _), gradients = jax.value_and_grad(lambda p: total_loss(graph, p, images), has_aux=True)(params)
    if not all(bool(jnp.isfinite(a).all()) for a in (loss, *gradients.values())):
        raise refused("E610", f"the example of '{kind}' has values or gradients that are not finite")
    largest = max(float(abs(gradient).max()) for gradient in gradients.values()) or 1.0
    difference = max(_apart(graph, params, images, gradients)) / largest
    if difference > CLOSE:
        raise refused(
            "E610",
            f"the example of '{kind}' learns otherwise in {TILES} tiles: its gradients differ by {difference:.1%}",
            "a value must depend on nothing but the neighbourhood that 'reach' says, and on no position of its own",
        )
    return difference


def _apart(
    graph: Graph, params: Mapping[str, jax.Array], images: jax.Array, gradients: Mapping[str, jax.Array]
) -> Iterator[float]:
    """Yield the largest absolute difference of each tile's gradients from the whole network's, by parameter."""
    cut = partition(graph, TILES)
    shards = [Shard(graph, cut, tile) for tile in range(cut.count)]
    found, _ = run_tiles(shards, [shard.owned(params) for shard in shards], images, None)
    for shard, mine in zip(shards, found, strict=True):
        for name, region in shard.programme.owned:
            expected = cut_out(gradients[name], region)
            yield float(jnp.max(jnp.abs(mine[name] - expected), initial=0.0))


def _check_slots(kind: str, graph: Graph) -> None:
    """Raise `LnetError` if the number of a rule's state arrays differs from its `slots`."""
    update, shape = graph.training.update, (7, 5)
    state = update_rule(graph).init({"w": jnp.zeros(shape)})
    kept = sum(jnp.shape(leaf) == shape for leaf in jax.tree.leaves(state))
    if kept != update.slots:
        raise refused(
            "E610",
            f"the update rule '{kind}' keeps {kept} arrays of a parameter's shape, and says {update.slots}",
        )
