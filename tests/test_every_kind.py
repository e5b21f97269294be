"""Every kind of the language, entered where it must be: its example against the formula in float64, and in tiles.

A kind that lacks its kernel, formula, strategy for random networks or row in the reference fails here by its name. So does
one whose op says something else of its value than the formula.
"""

import re
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from generated_networks import AROUND, compiles, lines_of
from objectives import FORMULAS as TERM_FORMULAS
from objectives import LINES as TERM_LINES
from ops import FORMULAS, LINES
from quickly import quickly

from lnet.compiler import objectives, ops
from lnet.compiler.core.arguments import LayerArgument, signature
from lnet.compiler.core.shapes import Interval, Region, Size
from lnet.compiler.cut.deal import dealt
from lnet.compiler.cut.partition import partition
from lnet.compiler.objectives import OBJECTIVE_KINDS, TERMS
from lnet.compiler.ops import LAYER_KINDS, OPS
from lnet.compiler.pipeline import compile_text
from lnet.compiler.reference import KINDS, SETTINGS, example_of, value_of
from lnet.compiler.words import TRAIN
from lnet.dsl.parser import parse
from lnet.runtime.engine.evaluate import batch_first, cut, layer_values, total_loss
from lnet.runtime.engine.lockstep import run_tiles
from lnet.runtime.engine.network import initial_params
from lnet.runtime.engine.shard import Shard
from lnet.runtime.engine.updates import update_rule
from lnet.runtime.export.ops import MODULES, NODES
from lnet.runtime.kernels.mode import sample_numbers
from lnet.runtime.kernels.objectives import TERM_KERNELS
from lnet.runtime.kernels.ops import LAYER_KERNELS
from lnet.runtime.training.trainer import training_step
from lnet.runtime.weights.layouts import LETTERS

ABOVE = "image: input(14x13x2); first: local(3, 2); second: local(3, 2, of = image)"
LAYER = "network n {{ {above}; crop: crop(11x10); x: {example}; q: l2(of = x) }}"
OBJECTIVE = (
    "network n {{ {above}; pool: l2pool(2); vector: dense(3); x: {example} }}; "
    'train {{ data = frames("none", views = 2) }}'
)
TARGET = "network n {{ {above}; t: tanh(of = image); x: {example}; e: cosine_error(of = t, target = x) }}"
AXES = {*LETTERS}
COMPUTED = {kind for kind, op in OPS.items() if not op.is_target}
OF_VECTORS = {kind for kind, term in TERMS.items() if term.needs_labels or term.compares_views}


@pytest.mark.parametrize("package", [ops, objectives], ids=["ops", "objectives"])
def test_every_file_of_kinds_is_in_the_table(package):
    with_kinds = [
        file.stem
        for file in Path(package.__file__).parent.glob("[a-z]*.py")
        if "\nKINDS" in file.read_text(encoding="utf-8")
    ]
    assert sorted(with_kinds) == sorted(package.FILES)


def test_every_kind_is_entered_wherever_it_must_be():
    assert set(LAYER_KERNELS) == COMPUTED, "kernels"
    assert set(TERM_KERNELS) == set(TERMS), "kernels"
    assert set(FORMULAS) | {"input"} == COMPUTED, "formulas"
    assert set(TERM_FORMULAS) == set(TERMS), "formulas"
    assert set(MODULES) | {"input"} == COMPUTED, "modules of PyTorch"
    assert set(NODES) | {"input"} == COMPUTED, "nodes of ONNX"
    assert set(LINES) | {"input", "target"} == set(LAYER_KINDS), "lines of random networks"
    assert set(TERM_LINES) | OF_VECTORS == set(OBJECTIVE_KINDS), "lines of random networks"
    assert set(SETTINGS) == {row.name for row in TRAIN.given}, "settings of the reference"
    for kinds in KINDS.values():
        for name, function in kinds.items():
            assert value_of(function), f"'{name}' has no row in the reference"
            assert example_of(function), f"'{name}' has no example"


MADE = [kind for kind in LAYER_KINDS if kind not in ("input", "target")]


def program(kind):
    """A network around the example of a kind."""
    if kind == "input":
        return f"network n {{ image: {example_of(LAYER_KINDS[kind])}; f: local(3, 2); q: l2() }}"
    if kind == "target":
        return TARGET.format(above=ABOVE, example=example_of(LAYER_KINDS[kind]))
    if kind in LAYER_KINDS:
        return LAYER.format(above=ABOVE, example=example_of(LAYER_KINDS[kind]))
    return OBJECTIVE.format(above=ABOVE, example=example_of(OBJECTIVE_KINDS[kind]))


@pytest.mark.parametrize("kind", LAYER_KINDS)
def test_the_facts_of_an_op_agree(kind):
    graph = compile_text(program(kind)).graph
    layer = graph.input if kind == "input" else graph.layer("x")
    assert layer.op.renamed(lambda path: path) == layer.op
    in_tiles = dealt(graph, Size(1, 1))
    for layer in (each for each in in_tiles.layers if each.path in (layer.path, f"{layer.path} sums")):
        assert layer.op.position_roles <= {"weight", "bias", *layer.op.weights()}
        if layer.op.keeps_patch:
            assert {in_tiles.layer(path).sheet.maps for path in layer.reads} == {layer.sheet.maps}
        for role, weights in layer.op.weights().items():
            assert set(weights.axes) <= AXES
            assert len(weights.shape) == len(weights.axes) == len(set(weights.axes))
            if role in layer.op.position_roles:
                units = in_tiles.layer(layer.reads[0]).sheet if layer.op.scatters else layer.sheet
                assert weights.shape[:2] == (units.height, units.width)
                assert weights.axes[:2] == ("row", "column")
        assert layer.op.exchanged == (layer.op.scatters or bool(layer.parameters))


@pytest.mark.parametrize("kind", [*MADE, *OBJECTIVE_KINDS])
def test_a_gpu_computes_a_step_by_xla_alone_and_multiplies_float32_as_it_is(kind, monkeypatch):
    """Nothing is called that only a CPU has; and JAX would let GPUs round operands to tf32 unless a product forbids it."""
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    graph = compile_text(program(kind)).graph
    rule, sheet = update_rule(graph), graph.input.sheet
    params = jax.eval_shape(lambda: initial_params(graph, 0))
    images = jax.ShapeDtypeStruct((sheet.height, sheet.width, sheet.maps, 4), jnp.float32)
    labels = jax.ShapeDtypeStruct((4,), jnp.int32)
    of_step = params, jax.eval_shape(rule.init, params), images, labels, None, sample_numbers(0, 4)
    text = training_step(graph, rule).trace(*of_step).lower(lowering_platforms=("cuda",)).as_text()
    assert "custom_call" not in text
    products = [line for line in text.splitlines() if re.search("dot_general|stablehlo.convolution", line)]
    assert all("HIGHEST" in line for line in products), products


# --- what an op says of its value, by the formula ----------------------------------------------------------


def intervals(extent):
    """Each position alone, the first half and all."""
    yield from (Interval(i, i + 1) for i in range(extent))
    yield from (Interval(0, (extent + 1) // 2), Interval(0, extent))


def of_formula(kind, rng, changed=lambda number, value: value):
    """The layer of a kind's example, its operands' sheets, and the formula's value of operands that were changed."""
    graph = compile_text(program(kind)).graph
    layer = graph.layer("x")
    sheets = [graph.layer(path).sheet for path in layer.reads]
    drawn = [rng.normal(size=(1, sheet.height, sheet.width, sheet.maps)) for sheet in sheets]
    roles = {p.role: 0.5 + rng.random(p.shape) for p in layer.parameters}
    operands = [changed(number, value) for number, value in enumerate(drawn)]
    count = max(map(len, operands))
    operands = [np.broadcast_to(value, (count, *value.shape[1:])) for value in operands]
    return layer, sheets, FORMULAS[layer.op.kind](layer.op, operands, roles)


def dependence(kind, operand=0):
    """The layer of a kind's example, and which positions of its value depend on each position of an operand.

    One position of the operand after the other is no number, and so is all that depends on it.
    """

    def blotted(number, value):
        if number != operand:
            return value
        places = list(np.ndindex(value.shape[1:3]))
        value = np.repeat(value, len(places), 0)
        for n, place in enumerate(places):
            value[(n, *place)] = np.nan
        return value

    layer, sheets, value = of_formula(kind, np.random.default_rng(3), blotted)
    size = sheets[operand].size
    depends = np.isnan(value).any(3).reshape(size.rows, size.columns, *value.shape[1:3])
    assert depends.any()
    return layer, depends


@pytest.mark.parametrize("kind", MADE)
def test_an_op_asks_for_all_that_its_value_depends_on(kind):
    for operand in range(len(compile_text(program(kind)).graph.layer("x").reads)):
        layer, depends = dependence(kind, operand)
        rows, columns = (list(intervals(extent)) for extent in depends.shape[2:])
        for region in (Region(down, across) for down in rows for across in columns):
            read = cut(np.moveaxis(depends, (2, 3), (0, 1)), region).any((0, 1))
            asked = layer.op.needs_of(operand, region).clip(Size(*depends.shape[:2]))
            cut(read, asked)[:] = False
            assert not read.any(), f"'needs' leaves out what {region} depends on: {asked}"


WINDOWS = {"lcn": 2}
"""Windows that slide one after the other, where an op has more than one: a value reads through all of them."""

WITHOUT_WINDOW = {"dense", "space_to_depth"}
"""Kinds that read more than one position, but not through a window that slides."""


def widest(depends):
    """The most rows and columns of the first two axes that one position of the last two depends on."""
    for axis in (1, 0):
        seen = depends.any(axis)
        last = len(seen) - 1 - np.argmax(seen[::-1], 0)
        yield int(np.where(seen.any(0), last - np.argmax(seen, 0) + 1, 0).max())


@pytest.mark.parametrize("kind", MADE)
def test_the_field_of_an_op_is_what_one_position_reads_or_writes(kind):
    layer, depends = dependence(kind)
    if layer.op.scatters:
        depends = np.moveaxis(depends, (2, 3), (0, 1))
    field = layer.op.field_size
    if kind in WITHOUT_WINDOW:
        assert field is None
        return
    size, windows = field or Size(1, 1), WINDOWS.get(kind, 1)
    stated = Size(*(windows * (extent - 1) + 1 for extent in (size.rows, size.columns)))
    assert Size(*widest(depends)) == stated, f"'field_size' is {field}"


@pytest.mark.parametrize("kind", MADE)
def test_values_are_not_negative_where_an_op_says_so(kind):
    layer, _, value = of_formula(kind, np.random.default_rng(3))
    if layer.op.nonnegative(False):
        assert (value >= 0).all()
    layer, _, value = of_formula(kind, np.random.default_rng(3), lambda number, value: np.abs(value))
    if layer.op.nonnegative(True):
        assert (value >= 0).all()


# --- values and gradients ---------------------------------------------------------------------------------


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
        assert_slope(graph, params, gradients, (np.asarray(batch_first(images)), labels, None, given))
        parts = partition(graph, Size(2, 3))
        shards = [Shard(graph, parts, tile) for tile in range(parts.count)]
        step = quickly(partial(run_tiles, shards))
        found, terms = step([shard.owned(params) for shard in shards], images, jnp.asarray(labels), targets)
        np.testing.assert_allclose(sum(terms[o.path] for o in graph.objectives), formula, rtol=1e-8)
        for shard, mine in zip(shards, found, strict=True):
            for name, place in shard.programme.owned:
                part = cut(gradients[name], place)
                np.testing.assert_allclose(mine[name], part, rtol=1e-8, atol=1e-10, err_msg=name)


def assert_slope(graph, params, gradients, given):
    """Gradients are the slope of the formula; those of running values are none."""
    still = {p.name for p in graph.parameters if p.momentum is not None}
    moved = {name: np.asarray(g) for name, g in gradients.items() if name not in still}
    rng = np.random.default_rng(4)
    direction = {name: rng.normal(size=g.shape) for name, g in moved.items()}
    found = sum((moved[name] * direction[name]).sum() for name in moved)
    slope, kinks = reference.slope(graph, params, direction, *given)
    largest = np.sqrt(
        sum((g**2).sum() for g in moved.values()) * sum((d**2).sum() for d in direction.values())
    )
    assert abs(found - slope) <= 1e-6 * largest + kinks, f"gradients {found}, the formula's slope {slope}"


# --- arguments ----------------------------------------------------------------------------------------------

LEARNING = {"init", "speed", "bias_speed", "constrain", "tied"}
"""Arguments of how weights learn, not of what is computed; they have tests of their own."""


def arguments_of(text):
    """The arguments that a call gives, by their names."""
    (network,) = parse(f"network n {{ x: {text} }}").declarations
    (item,) = network.items
    positional = iter(signature(item.kind.text, (LAYER_KINDS | OBJECTIVE_KINDS)[item.kind.text]).positional)
    return {argument.name.text if argument.name else next(positional).name for argument in item.arguments}


@pytest.mark.parametrize("kind", [*LAYER_KINDS, *OBJECTIVE_KINDS])
def test_every_argument_is_given_in_the_example_or_in_random_networks(kind):
    """One that is always left out may be ignored by the kernel, and nothing would be noticed."""
    function = (LAYER_KINDS | OBJECTIVE_KINDS)[kind]
    given = arguments_of(example_of(function))
    if kind in LINES or kind in TERM_LINES:
        lines = lines_of(kind)
        assert any(compiles([*AROUND, f"x: {line}"]) for line in lines), f"no such line compiles: {lines[:3]}"
        given |= {name for line in lines for name in arguments_of(line)}
    arguments = {
        row.name for row in signature(kind, function).given if not isinstance(row.type, LayerArgument)
    }
    assert arguments - LEARNING <= given, (
        "give it in the docstring's example, or in the line of random networks"
    )


@pytest.mark.parametrize("kind", ["l2pool", "lcn", "crop"])
def test_an_op_that_asks_for_too_little_is_found(kind, monkeypatch):
    """The negative control: what a region needs is said wrongly, one row and column less."""
    honest = OPS[kind].needs

    def less(op, region):
        found = honest(op, region)
        return found.grow(-1, -1) if found.area and found.size.rows > 2 and found.size.columns > 2 else found

    monkeypatch.setattr(OPS[kind], "needs", less)
    with pytest.raises(AssertionError, match="'needs' leaves out what"):
        test_an_op_asks_for_all_that_its_value_depends_on(kind)
    with pytest.raises((AssertionError, TypeError, ValueError, ArithmeticError)):
        test_an_example_has_the_values_of_its_formula_whole_and_in_tiles(kind)


@pytest.mark.parametrize("kind", MADE)
def test_a_wrong_field_is_found(kind, monkeypatch):
    """The negative control: the field of an op is stated wrongly, with one row more."""
    honest = compile_text(program(kind)).graph.layer("x").op.field_size or Size(1, 1)
    monkeypatch.setattr(OPS[kind], "field_size", Size(honest.rows + 1, honest.columns))
    with pytest.raises(AssertionError):
        test_the_field_of_an_op_is_what_one_position_reads_or_writes(kind)
