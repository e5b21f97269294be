"""The check of plug-ins: the example of each kind is computed whole and in tiles; losses and gradients are compared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from lnet.compiler.core.shapes import Size
from lnet.compiler.cut.partition import partition
from lnet.compiler.graph.graph import Graph
from lnet.compiler.pipeline import compile_text
from lnet.compiler.plugins.registry import Brought, brought
from lnet.dsl.diagnostics import LnetError, refused
from lnet.runtime.engine.evaluate import Params, total_loss
from lnet.runtime.engine.evaluate import cut as cut_out
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
"""Tolerance of losses and gradients in tiles, relative to the loss and to the largest gradient: float32 rounding."""
WHAT_TILES_NEED = (
    "in a tile, a value must follow from its field and its weights alone, not from the place in the sheet or its extent",
    "weights of positions have the axes 'row' and 'column' first: a tile has those of its positions, and all others whole",
)


@dataclass(frozen=True)
class Checked:
    """A part of a plug-in, and the relative difference of losses and gradients in tiles; None: not a kind."""

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
            check_parts(each.kind, graph)
        yield Checked(each, _difference(each.kind, graph))


def _difference(kind: str, graph: Graph) -> float:
    rng = np.random.default_rng(0)
    params = {
        name: jnp.asarray(value + 0.1 * rng.normal(size=value.shape).astype(np.float32))
        for name, value in initial_params(graph, 0).items()
    }
    sheet = graph.input.sheet
    images = jnp.asarray(rng.normal(size=(sheet.height, sheet.width, sheet.maps, IMAGES)).astype(np.float32))
    whole = jax.jit(jax.value_and_grad(lambda p: total_loss(graph, p, images), has_aux=True))
    (loss, _), gradients = whole(params)
    if not all(bool(jnp.isfinite(a).all()) for a in (loss, *gradients.values())):
        raise refused("E610", f"the example of '{kind}' has values or gradients that are not finite")
    try:
        of_tiles, apart = _in_tiles(graph, params, images, gradients)
    except (LnetError, TypeError, ValueError) as error:
        said = error.diagnostics[0] if isinstance(error, LnetError) else None
        notes = (said.message, *said.notes) if said else (str(error),)
        message = f"the example of '{kind}' can be computed whole, but not in {TILES} tiles"
        raise refused("E610", message, *notes, hint=WHAT_TILES_NEED) from error
    largest = max(float(abs(gradient).max()) for gradient in gradients.values())
    found = {
        "has another loss": float(abs(of_tiles - loss) / (abs(loss) or 1)),
        "learns otherwise": apart / (largest or 1),
    }
    for what, difference in found.items():
        if difference > CLOSE:
            message = f"the example of '{kind}' {what} in {TILES} tiles than whole, by {difference:.1%}"
            raise refused("E610", message, hint=WHAT_TILES_NEED)
    return max(found.values())


def _in_tiles(graph: Graph, params: Params, images: jax.Array, gradients: Params) -> tuple[jax.Array, float]:
    """Return the loss of tiles, and the largest absolute difference of their gradients from the whole network's."""
    cut = partition(graph, TILES)
    shards = [Shard(graph, cut, tile) for tile in range(cut.count)]
    tiles = jax.jit(lambda owned: run_tiles(shards, owned, images))
    found, terms = tiles([shard.owned(params) for shard in shards])
    apart = (
        float(jnp.max(jnp.abs(mine[name] - cut_out(gradients[name], place)), initial=0.0))
        for shard, mine in zip(shards, found, strict=True)
        for name, place in shard.programme.owned
    )
    return sum(terms.values(), start=jnp.zeros(())), max(apart)


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


def check_parts(kind: str, graph: Graph) -> None:
    """Raise `LnetError` if a rule changes a part of an array otherwise than the whole: tiles and servers hold parts."""
    rule, rng = update_rule(graph), np.random.default_rng(0)
    whole = {name: jnp.asarray(rng.normal(size=shape)) for name, shape in {"w": (4, 3), "v": (5,)}.items()}
    part = {"w": whole["w"][1:3]}
    states = rule.init(whole), rule.init(part)
    for _ in range(2):
        gradients = {name: jnp.asarray(rng.normal(size=value.shape)) for name, value in whole.items()}
        whole, of_whole = rule.updated(whole, states[0], gradients)
        part, of_part = rule.updated(part, states[1], {"w": gradients["w"][1:3]})
        states = of_whole, of_part
    if not np.allclose(whole["w"][1:3], part["w"], rtol=1e-4, atol=1e-6):
        message = f"the update rule '{kind}' changes a part of an array otherwise than the whole"
        hint = "tiles and servers hold parts: a value may depend on its own gradients alone, not on norms or means of others"
        raise refused("E610", message, hint=hint)
