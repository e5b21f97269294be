"""Every kind of the language, entered where it must be: its example against the formula in float64, and in tiles.

A kind that lacks its kernel, formula, strategy for random networks or row in the reference fails here by its name.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from objectives import FORMULAS as TERM_FORMULAS
from objectives import LINES as TERM_LINES
from ops import FORMULAS, LINES
from quickly import quickly

from docs import tables
from lnet.compiler.core.shapes import Size
from lnet.compiler.cut.deal import dealt
from lnet.compiler.cut.partition import partition
from lnet.compiler.objectives import OBJECTIVE_KINDS, TERMS
from lnet.compiler.ops import LAYER_KINDS, OPS
from lnet.compiler.pipeline import compile_text
from lnet.runtime.engine.evaluate import batch_first, cut, layer_values, total_loss
from lnet.runtime.engine.lockstep import run_tiles
from lnet.runtime.engine.network import initial_params
from lnet.runtime.engine.shard import Shard
from lnet.runtime.kernels.objectives import TERM_KERNELS
from lnet.runtime.kernels.ops import LAYER_KERNELS

ABOVE = "image: input(14x13x2); first: local(3, 2); second: local(3, 2, of = image)"
LAYER = "network n {{ {above}; crop: crop(11x10); x: {example}; q: l2(of = x) }}"
OBJECTIVE = (
    "network n {{ {above}; pool: l2pool(2); vector: dense(3); x: {example} }}; "
    'train {{ data = frames("none", views = 2) }}'
)
TARGET = "network n {{ {above}; t: tanh(of = image); x: {example}; e: cosine_error(of = t, target = x) }}"
COMPUTED = {kind for kind, op in OPS.items() if not op.is_target}
OF_VECTORS = {kind for kind, term in TERMS.items() if term.needs_labels or term.compares_views}


def test_every_kind_is_entered_wherever_it_must_be():
    assert set(LAYER_KERNELS) == COMPUTED, "kernels"
    assert set(TERM_KERNELS) == set(TERMS), "kernels"
    assert set(FORMULAS) | {"input"} == COMPUTED, "formulas"
    assert set(TERM_FORMULAS) == set(TERMS), "formulas"
    assert set(LINES) | {"input", "target"} == set(LAYER_KINDS), "lines of random networks"
    assert set(TERM_LINES) | OF_VECTORS == set(OBJECTIVE_KINDS), "lines of random networks"
    for kinds in tables.TABLES.values():
        for name, function in kinds.items():
            assert tables.value_of(function), f"'{name}' has no row in the reference"


def program(kind):
    """A network around the example of a kind."""
    if kind == "input":
        return f"network n {{ image: {tables.example_of(LAYER_KINDS[kind])}; f: local(3, 2); q: l2() }}"
    if kind == "target":
        return TARGET.format(above=ABOVE, example=tables.example_of(LAYER_KINDS[kind]))
    if kind in LAYER_KINDS:
        return LAYER.format(above=ABOVE, example=tables.example_of(LAYER_KINDS[kind]))
    return OBJECTIVE.format(above=ABOVE, example=tables.example_of(OBJECTIVE_KINDS[kind]))


@pytest.mark.parametrize("kind", LAYER_KINDS)
def test_the_facts_of_an_op_agree(kind):
    graph = compile_text(program(kind)).graph
    layer = graph.input if kind == "input" else graph.layer("x")
    assert layer.op.renamed(lambda path: path) == layer.op
    in_tiles = dealt(graph, Size(1, 1))
    for layer in (each for each in in_tiles.layers if each.path in (layer.path, f"{layer.path} sums")):
        assert layer.op.position_roles <= {"weight", "bias", *layer.op.weights()}
        for role, weights in layer.op.weights().items():
            assert len(weights.shape) == len(weights.axes) == len(set(weights.axes))
            if role in layer.op.position_roles:
                units = in_tiles.layer(layer.reads[0]).sheet if layer.op.scatters else layer.sheet
                assert weights.shape[:2] == (units.height, units.width)
        assert layer.op.exchanged == (layer.op.scatters or bool(layer.parameters))


@pytest.mark.parametrize("kind", [*LAYER_KINDS, *OBJECTIVE_KINDS])
def test_an_example_has_the_values_of_its_formula_whole_and_in_tiles(kind):
    with jax.enable_x64(True):
        graph = compile_text(program(kind)).graph
        rng = np.random.default_rng(2)
        params = {
            name: jnp.asarray(np.asarray(value, float) + 0.1 * rng.normal(size=value.shape))
            for name, value in initial_params(graph, 0).items()
        }
        sheet = graph.input.sheet
        images = jnp.asarray(rng.normal(size=(sheet.height, sheet.width, sheet.maps, 4)))
        labels = np.array([0, 2, 1, 2])
        sheets = {layer.path: layer.sheet for layer in graph.targets}
        targets = {
            path: jnp.asarray(rng.normal(size=(sheet.height, sheet.width, sheet.maps, 4)))
            for path, sheet in sheets.items()
        }
        given = {path: np.asarray(batch_first(value)) for path, value in targets.items()}
        expected = reference.values(graph, params, np.asarray(batch_first(images)), given)

        def loss(params):
            return total_loss(graph, params, images, jnp.asarray(labels), targets)[0]

        @quickly
        def whole(params):
            return layer_values(graph, params, images, graph.computed), *jax.value_and_grad(loss)(params)

        values, value, gradients = whole(params)
        for path, found in values.items():
            np.testing.assert_allclose(batch_first(found), expected[path], rtol=1e-9, atol=1e-9, err_msg=path)
        formula = reference.loss(graph, params, np.asarray(batch_first(images)), labels, None, given)
        np.testing.assert_allclose(value, formula, rtol=1e-8)
        parts = partition(graph, Size(2, 3))
        shards = [Shard(graph, parts, tile) for tile in range(parts.count)]
        step = quickly(partial(run_tiles, shards))
        found, terms = step([shard.owned(params) for shard in shards], images, jnp.asarray(labels), targets)
        np.testing.assert_allclose(sum(terms[o.path] for o in graph.objectives), formula, rtol=1e-8)
        for shard, mine in zip(shards, found, strict=True):
            for name, place in shard.programme.owned:
                part = cut(gradients[name], place)
                np.testing.assert_allclose(mine[name], part, rtol=1e-8, atol=1e-10, err_msg=name)


@pytest.mark.parametrize("kind", ["l2pool", "lcn", "crop"])
def test_an_op_that_asks_for_too_little_is_found(kind, monkeypatch):
    """The negative control: what a region needs is said wrongly, one row and column less."""
    honest = OPS[kind].needs

    def less(op, region):
        found = honest(op, region)
        return found.grow(-1, -1) if found.area and found.size.rows > 2 and found.size.columns > 2 else found

    monkeypatch.setattr(OPS[kind], "needs", less)
    with pytest.raises((AssertionError, TypeError, ValueError, ArithmeticError)):
        test_an_example_has_the_values_of_its_formula_whole_and_in_tiles(kind)
