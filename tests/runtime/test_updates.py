"""Update rules are optax's; what a step keeps when something is not finite, and what memory it takes."""

import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lnet.compiler import rules
from lnet.compiler.core.arguments import signature
from lnet.compiler.cut.cost import totals
from lnet.compiler.pipeline import compile_text
from lnet.dsl.parser import parse
from lnet.plugin_check import check_parts
from lnet.runtime.engine.network import initial_params
from lnet.runtime.engine.updates import learning_rate, update_rule
from lnet.runtime.kernels.mode import sample_numbers
from lnet.runtime.training.trainer import training_step

TEXT = """
stage sense(field, maps) { filter: local(field, maps); pool: l2pool(3); norm: lcn(5, edge = valid); learn: rica() }
network bench { image: input(SIZE); V1: sense(FIELD); V2: sense(FIELD) }
train { batch = BATCH; update = UPDATE }
"""


def weights(params):
    return {name: name in ("a", "c") for name in params}


RULES = {
    "sgd(rate = 0.1)": optax.sgd(0.1),
    "sgd(rate = 0.1, momentum = 0.9)": optax.sgd(0.1, momentum=0.9),
    "sgd(rate = 0.1, momentum = 0.9, nesterov = true)": optax.sgd(0.1, momentum=0.9, nesterov=True),
    "adam(rate = 0.1)": optax.adam(0.1),
    "adam(rate = 0.1, b1 = 0.8, b2 = 0.95, eps = 0.01)": optax.adam(0.1, 0.8, 0.95, 0.01),
    "adamw(rate = 0.1)": optax.adamw(0.1, weight_decay=0.01, mask=weights),
    "adamw(0.1, 0.8, 0.95, 0.01, weight_decay = 0.5)": optax.adamw(
        0.1, 0.8, 0.95, 0.01, weight_decay=0.5, mask=weights
    ),
    "rmsprop(rate = 0.1)": optax.rmsprop(0.1, decay=0.9, eps=1e-8),
    "rmsprop(0.1, 0.8, 0.01, momentum = 0.5)": optax.rmsprop(0.1, decay=0.8, eps=0.01, momentum=0.5),
    "lion(rate = 0.1)": optax.lion(0.1, 0.9, 0.99, weight_decay=0, mask=weights),
    "lion(0.1, 0.8, 0.9, weight_decay = 0.2)": optax.lion(0.1, 0.8, 0.9, weight_decay=0.2, mask=weights),
    "adagrad(rate = 0.1, initial = 0)": optax.adagrad(0.1, initial_accumulator_value=0),
    "adam(rate = 0.1, schedule = cosine)": optax.adam(optax.cosine_decay_schedule(0.1, 6)),
    "sgd(rate = 0.1, schedule = cosine)": optax.sgd(optax.cosine_decay_schedule(0.1, 6)),
    "sgd(rate = 0.1, schedule = linear)": optax.sgd(optax.linear_schedule(0.1, 0, 6)),
    "adamw(rate = 0.1, schedule = steps([2, 4], factor = 0.5))": optax.adamw(
        optax.piecewise_constant_schedule(0.1, {2: 0.5, 4: 0.5}), weight_decay=0.01, mask=weights
    ),
}
"""Rules of the language and those of optax: of a network in whose `a` and `c` weights decay, and in `b` nothing does."""


def plan_of(size, field, maps, batch, update):
    values = {"SIZE": f"{size}x{size}x3", "FIELD": f"{field}, {maps}", "BATCH": str(batch), "UPDATE": update}
    text = TEXT
    for name, value in values.items():
        text = text.replace(name, value)
    return compile_text(text)


NAMED = """
network n { image: input(4x4x1); a: local(2, 2, bias = true); d: local(2, 2); c: local(2, 1); e: l2() }
train { steps = 6; update = %s }
"""


def rule_of(update):
    """The rule of a network of which the arrays `a` and `c` are weights, `b` a bias, and `f.weight` a frozen one."""
    graph = compile_text(NAMED % update).graph
    names = {"a.weight": "a", "a.bias": "b", "d.weight": "f.weight", "c.weight": "c"}
    layers = tuple(
        replace(layer, parameters=tuple(replace(p, name=names[p.name]) for p in layer.parameters))
        for layer in graph.layers
    )
    return update_rule(replace(graph, layers=layers, frozen=("f",)), 6)


@pytest.mark.parametrize("update", RULES)
def test_a_rule_is_that_of_optax(update):
    rule, theirs = rule_of(update), RULES[update]
    rng = np.random.default_rng(0)
    params = {"a": jnp.array(rng.normal(size=(3, 2)), jnp.float32), "b": jnp.ones(4), "f.weight": jnp.ones(3)}
    params["c"] = jnp.array(rng.normal(size=(5,)), jnp.float32)
    expected = {name: value for name, value in params.items() if name != "f.weight"}
    state, their_state = rule.init(params), theirs.init(expected)
    for _ in range(6):
        gradients = {name: jnp.array(rng.normal(size=p.shape), jnp.float32) for name, p in params.items()}
        gradients["b"] = gradients["b"].at[0].set(0)
        changes, their_state = theirs.update(
            {name: gradients[name] for name in expected}, their_state, expected
        )
        expected = optax.apply_updates(expected, changes)
        params, state = rule.updated(params, state, gradients)
        moved = {name: params[name] for name in expected}
        jax.tree.map(np.testing.assert_array_equal, (moved, state), (expected, their_state))
        assert (params["f.weight"] == 1).all()


RISING = {
    "constant": lambda t: 1.0,
    "cosine": lambda t: (1 + math.cos(math.pi * t / 16)) / 2,
    "linear": lambda t: 1 - t / 16,
    "steps([7, 15], factor = 0.1)": lambda t: 0.1 ** ((t + 4 >= 7) + (t + 4 >= 15)),
}
"""The share of the rate `t` steps after it has risen, of 16 that are left of 20."""


@pytest.mark.parametrize("schedule", RISING)
@pytest.mark.parametrize("every", [1, 5, 0.5])
def test_a_rate_rises_and_then_follows_its_schedule(schedule, every):
    """Of a server that takes `every` updates in a step of a replica, too."""
    text = TEXT.replace("UPDATE", f"sgd(rate = 0.5, schedule = {schedule}, rise = 4)")
    for name, value in {"SIZE": "20x20x3", "FIELD": "3, 1", "BATCH": "1"}.items():
        text = text.replace(name, value)
    update = compile_text(text).graph.training.update
    rate = learning_rate(update, 20, round(20 * every))
    for count in range(round(20 * every)):
        step = count / every
        rising = min(1, (count + 1) / (4 * every))
        expected = 0.5 * (rising if step < 4 else RISING[schedule](step - 4))
        assert float(rate(jnp.asarray(count))) == pytest.approx(expected, rel=1e-5, abs=1e-7)


def test_a_rate_that_never_changes_needs_no_count():
    assert learning_rate(compile_text(NAMED % "adam(rate = 0.5)").graph.training.update, 6, 6) == 0.5


def test_every_rule_is_compared_with_optax():
    assert {update.partition("(")[0] for update in RULES} == set(rules.RULES)


OF_ALL_RULES = {"schedule", "stale", "rise"}


@pytest.mark.parametrize("kind", rules.RULES)
def test_every_argument_of_a_rule_is_compared_with_optax(kind):
    """One that no comparison gives may be ignored, and nothing would be noticed."""
    table, given = signature(kind, rules.RULES[kind]), set()
    for update in (update for update in RULES if update.startswith(f"{kind}(")):
        positional = iter(table.positional)
        call = parse(f"train {{ update = {update} }}").declarations[0].settings[0].value
        given |= {each.name.text if each.name else next(positional).name for each in call.arguments}
    assert {row.name for row in table.given} - OF_ALL_RULES <= given, "give it in a comparison of RULES"


@pytest.mark.parametrize("update", RULES)
def test_a_rule_does_to_a_part_what_it_does_to_the_whole(update):
    check_parts(update, compile_text(NAMED % update).graph)


@pytest.mark.parametrize("update", RULES)
def test_a_rule_keeps_as_many_arrays_as_it_says(update):
    params = {"a": jnp.zeros((3, 2))}
    kept = [array for array in jax.tree.leaves(rule_of(update).init(params)) if array.shape == (3, 2)]
    assert len(kept) == plan_of(20, 3, 1, 1, update).graph.training.update.slots


@pytest.mark.parametrize("update", ["adam(rate = 0.1, schedule = cosine)", "sgd(rate = 0.1, momentum = 0.9)"])
@pytest.mark.parametrize("steps_before", [0, 2])
def test_a_step_that_is_not_finite_keeps_parameters_and_state(update, steps_before):
    graph = plan_of(20, 4, 2, 3, update).graph
    rule = rule_of(update)
    step = training_step(graph, rule)
    params = initial_params(graph, 0)
    state = rule.init(params)
    images = jax.random.normal(jax.random.key(0), (20, 20, 3, 3))
    for _ in range(steps_before):
        params, state, _, finite = step(params, state, images, None, None, sample_numbers(0, 3))
        assert finite
    before = jax.tree.map(np.array, (params, state))
    params, state, _, finite = step(
        params, state, images.at[2, 3, 0, 1].set(jnp.inf), None, None, sample_numbers(0, 3)
    )
    assert not finite
    jax.tree.map(np.testing.assert_array_equal, before, (params, state))


@pytest.mark.parametrize(
    "update",
    [
        "adagrad(rate = 0.1)",
        "sgd(rate = 0.1)",
        "sgd(rate = 0.1, momentum = 0.9)",
        "adam(rate = 0.1, schedule = cosine)",
    ],
)
def test_a_step_holds_weights_state_gradients_and_thrice_the_activations_at_most(update):
    """No second copy of anything: neither of the state before a step nor of what gradients begin with."""
    plan = plan_of(50, 18, 4, 32, update)
    rule = rule_of(update)
    params = {p.name: jax.ShapeDtypeStruct(p.shape, jnp.float32) for p in plan.graph.parameters}
    images = jax.ShapeDtypeStruct((50, 50, 3, 32), jnp.float32)
    state, samples = jax.eval_shape(rule.init, params), sample_numbers(0, 32)
    step = training_step(plan.graph, rule).lower(params, state, images, None, None, samples)
    memory = step.compile().memory_analysis()
    arrays = memory.argument_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes
    sums = totals(plan.graph, plan.partition)
    bound = 2 * sums.parameter_bytes + sums.state_bytes + 3 * sums.activation_bytes
    assert arrays + memory.temp_size_in_bytes <= bound
