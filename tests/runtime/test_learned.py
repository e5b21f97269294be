"""How weights begin, how fast each parameter learns, and filters of length 1: `init`, `speed`, `constrain`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lnet
from lnet.compiler.cut.shards import shard_places
from lnet.compiler.pipeline import compile_text
from lnet.compiler.plan.explain import explain_data
from lnet.runtime.cluster.actors.numerics import Server, initial_shard
from lnet.runtime.cluster.config import RunConfig
from lnet.runtime.engine.evaluate import cut
from lnet.runtime.engine.network import initial_params
from lnet.runtime.engine.updates import named_state, state_from_names, update_rule
from lnet.runtime.training.start import frozen, start_from

RULES = [
    "sgd(rate = 0.01)",
    "sgd(rate = 0.01, momentum = 0.9, nesterov = true)",
    "adam(rate = 0.1, rise = 2)",
    "adagrad(rate = 0.1)",
    "lion(rate = 0.1, schedule = cosine)",
]
TRAINED_WITH = ["sgd(rate = 0.0003, momentum = 0.5)", "adam(rate = 0.01)"]
FIELD = 3 * 2 * 5
WIDE = """
network n {
    image: input(32x31x5)
    f: local(3x2, 7, stride = 2, init = INIT)
    g: decode(init = INIT)
    p: l2pool(2, of = f)
    l: rica(encode = f, pool = p, init = INIT)
    d: dense(40, init = INIT, of = p)
    q: l2()
}
"""
TRAINED = """
network n {
    image: input(9x8x2)
    f: local(3x2, 3, bias = true, F)
    g: local(2, 4, of = f, share = tile(2), G)
    p: l2pool(2)
    l: rica(encode = g, pool = p)
    d: dense(3, of = p, D)
    c: l2()
}
train { batch = 4; steps = 6; update = UPDATE; checkpoint = 3 }
"""


def text_of(update="sgd(rate = 0.0003)", f="", g="", d=""):
    text = TRAINED.replace("UPDATE", update)
    for place, given in (("F)", f), ("G)", g), ("D)", d)):
        text = text.replace(f", {place}", f", {given})" if given else ")")
    return text


def compiled(text, **given):
    return lnet.compile(lnet.parse(text), **given)


def photos(count=12):
    rng = np.random.default_rng(1)
    return rng.normal(size=(count, 9, 8, 2)).astype(np.float32)


def trained(path, **given):
    return lnet.train(compiled(text_of(**given)), photos(), directory=path, prepared=True)


def lengths(weight):
    return np.sqrt((np.asarray(weight, float) ** 2).sum((2, 3, 4)))


# --- init ------------------------------------------------------------------------------------------------

FANS = {
    "f.weight": (FIELD, 42),
    "g.weight": (FIELD, 42),
    "l.decode": (FIELD, 42),
    "d.weight": (14 * 14 * 7, 40),
}
SPREADS = {
    "normal": lambda i, o: (1 / i) ** 0.5,
    "glorot_normal": lambda i, o: (2 / (i + o)) ** 0.5,
    "he_normal": lambda i, o: (2 / i) ** 0.5,
    "0.3": lambda i, o: 0.3,
    "glorot_uniform": lambda i, o: (6 / (i + o)) ** 0.5,
    "he_uniform": lambda i, o: (6 / i) ** 0.5,
    "uniform(0.2)": lambda i, o: 0.2,
}


@pytest.mark.parametrize("init", SPREADS)
def test_weights_begin_as_the_formula_says(init):
    params = initial_params(compile_text(WIDE.replace("INIT", init)).graph, 7)
    assert set(params) == {*FANS, "d.bias"}
    for name, fans in FANS.items():
        weight, scale = np.asarray(params[name], float).ravel(), SPREADS[init](*fans)
        if "uniform" in init:
            assert np.abs(weight).max() == pytest.approx(scale, rel=1e-3)
            assert np.abs(weight).max() <= scale * (1 + 1e-6)
            scale /= 3**0.5
        assert weight.std() == pytest.approx(scale, rel=0.01)
        assert abs(weight.mean()) < 4 * scale / len(weight) ** 0.5
    assert not params["d.bias"].any()


def test_weights_of_a_file_without_init_never_change():
    """Version 0.1 began with these: a run that goes on, and one that is repeated, must find them again."""
    text = "network n { image: input(9x8x2); f: local(3x2, 4, bias = true); g: local(2, 2, share = all); "
    text += "p: l2pool(2); l: rica(); d: dense(3); c: cross_entropy() }"
    known = {
        "f.weight": (0.08532795310020447, -0.6322810053825378, 537.2996776798718),
        "g.weight": (-0.09931345283985138, 0.1929635852575302, 6.0055099779274315),
        "d.weight": (-0.2644007205963135, 0.27976253628730774, 17.902495775473653),
        "l.decode": (0.20844297111034393, -0.1254151314496994, 5.4166374111082405),
    }
    params = initial_params(compile_text(text).graph, 5)
    for name, (first, second, total) in known.items():
        found = np.asarray(params[name], float).ravel()
        np.testing.assert_allclose([*found[:2], np.abs(found).sum()], [first, second, total], rtol=1e-6)


def test_shards_begin_with_the_bits_of_the_whole():
    text = text_of(f="init = glorot_uniform, constrain = unit", g="constrain = unit", d="init = he_uniform")
    plan = compiled(text, workers=2, shards_per_tile=2)
    whole, seen = initial_params(plan.graph, plan.graph.training.seed), 0
    for shard in range(plan.partition.shards):
        places = shard_places(plan.graph, plan.partition, shard)
        for name, value in initial_shard(plan.graph, places).items():
            np.testing.assert_array_equal(value, cut(whole[name], places[name]))
            seen += value.size
    assert seen == sum(value.size for value in whole.values())


# --- speed -----------------------------------------------------------------------------------------------


def after(graph, gradients, share=None):
    """Parameters and state after three updates."""
    rule, params = update_rule(graph), initial_params(graph, 0)
    state = rule.init(params)
    for scale in (1.0, -2.0, 0.5):
        given = {name: jnp.float32(scale) * value for name, value in gradients.items()}
        params, state = rule.updated(params, state, given, share)
    return params, named_state(state)


@pytest.mark.parametrize("update", RULES)
@pytest.mark.parametrize("share", [None, 0.25])
def test_speed_is_a_factor_on_the_rate_of_every_rule(update, share):
    slow = "speed = 0.5"
    plain = compile_text(text_of(update)).graph
    graph = compile_text(text_of(update, f=f"{slow}, bias_speed = 3", g=slow, d=slow)).graph
    factors = {"f.weight": 0.5, "f.bias": 3, "g.weight": 0.5, "d.weight": 0.5, "d.bias": 0.5, "l.decode": 1}
    rng = np.random.default_rng(0)
    gradients = {p.name: jnp.asarray(rng.normal(size=p.shape), jnp.float32) for p in plain.parameters}
    begin = initial_params(plain, 0)
    (moved, state), (expected, expected_state) = (
        after(graph, gradients, share),
        after(plain, gradients, share),
    )
    assert set(factors) == set(moved)
    for name, factor in factors.items():
        change = factor * (np.asarray(expected[name], float) - begin[name])
        np.testing.assert_allclose(moved[name] - begin[name], change, rtol=1e-4, atol=1e-6, err_msg=name)
    jax.tree.map(np.testing.assert_array_equal, state, expected_state)


@pytest.mark.parametrize("update", TRAINED_WITH)
def test_speed_0_is_freezing(tmp_path, update):
    still = trained(tmp_path / "still", update=update, f="speed = 0")
    plan = compiled(text_of(update))
    froze = lnet.train(plan, photos(), directory=tmp_path / "froze", prepared=True, freeze=["f"])
    begin, found, expected = lnet.Network(plan).params, still.network().params, froze.network().params
    for name in found:
        np.testing.assert_array_equal(found[name], expected[name])
        assert (found[name] == begin[name]).all() == name.startswith("f.")
    for run in (still, froze):
        kept = {name.rpartition("/")[2] for name in run.checkpoint().update if "/" in name}
        assert not {name for name in kept if name.startswith("f.")}
        assert bool(kept) == bool(run.plan.graph.training.update.slots)
    again = lnet.resume(still.directory, data=photos(), steps=8)
    np.testing.assert_array_equal(again.network().params["f.weight"], begin["f.weight"])


def test_biases_alone_can_be_frozen(tmp_path):
    run = trained(tmp_path / "run", f="bias_speed = 0", d="speed = 0, bias_speed = 1")
    begin, found = lnet.Network(run.plan).params, run.network().params
    still = {name for name in found if (found[name] == begin[name]).all()}
    assert still == {"f.bias", "d.weight"}


def test_a_checkpoint_that_has_state_of_frozen_parameters_is_read():
    """Runs of before kept it."""
    plan = compiled(text_of("adam(rate = 0.1)"))
    rule, params = update_rule(plan.graph), initial_params(plan.graph, 0)
    old = {name: np.asarray(value) + 1 for name, value in named_state(rule.init(params)).items()}
    kept = update_rule(frozen(plan, ["f"]).graph)
    state = named_state(state_from_names(kept, params, old))
    assert state.keys() < old.keys()
    for name, value in state.items():
        np.testing.assert_array_equal(value, old[name])


def test_what_is_frozen_is_no_optimiser_state_in_the_costs():
    plain, still = (compiled(text_of("adam(rate = 1)", f=f), workers=2) for f in ("", "speed = 0"))
    held = sum(p.size for p in plain.graph.layer("f").parameters) * 4 * 2
    before, now = plain.explain(), still.explain()
    assert before != now
    servers = [sum(cost.server for cost in plan.costs) for plan in (plain, still)]
    assert servers[0] - servers[1] == held


# --- constrain -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("update", TRAINED_WITH)
def test_filters_keep_the_length_1(tmp_path, update):
    run = trained(tmp_path / "run", update=update, f="constrain = unit", g="constrain = unit, speed = 0.5")
    for params in (lnet.Network(run.plan).params, run.network(3).params, run.network().params):
        for name in ("f.weight", "g.weight"):
            np.testing.assert_allclose(lengths(params[name]), 1, atol=1e-6)
        assert np.abs(lengths(params["l.decode"]) - 1).max() > 0.01
    assert run.network().params["f.bias"].any()


def test_an_update_of_unit_vectors_is_that_of_the_formula():
    graph = compile_text(text_of("sgd(rate = 0.1)", f="constrain = unit, speed = 2")).graph
    begin = initial_params(graph, 0)
    gradients = {name: jnp.ones_like(value) for name, value in begin.items()}
    expected = np.asarray(begin["f.weight"], float)
    for scale in (1.0, -2.0, 0.5):
        expected = expected - 0.2 * scale
        expected /= lengths(expected)[:, :, None, None, None]
    np.testing.assert_allclose(after(graph, gradients)[0]["f.weight"], expected, rtol=1e-5, atol=1e-6)


def test_very_short_and_empty_vectors():
    from lnet.runtime.kernels.unit import unit_vectors

    weight = np.zeros((1, 2, 2, 1, 3, 3), np.float32)
    weight[0, 0, 0, 0, 0, 0], weight[0, 0, 1, 0, 1, 1] = 1e-30, -1e30
    found = np.asarray(unit_vectors(jnp.asarray(weight)))
    np.testing.assert_array_equal(lengths(found), [[[1, 1, 0], [0, 0, 0]]])
    assert found[0, 0, 1, 0, 1, 1] == -1


def test_servers_of_parts_update_as_one_of_the_whole():
    """The parts are of tiles and shards; a standby applies the same updates as its primary, by the same code."""
    given = {"f": "constrain = unit, speed = 0.5, bias_speed = 2", "g": "constrain = unit", "d": "speed = 0"}
    found = {}
    for workers, shards in ((1, 1), (2, 1)):
        plan = compiled(text_of("adam(rate = 0.1)", **given), workers=workers, shards_per_tile=shards)
        config = RunConfig("run", plan.to_json(), ".", ".", None, workers=workers, capacity=1)
        rng = np.random.default_rng(3)
        gradients = [
            {p.name: rng.normal(size=p.shape).astype(np.float32) for p in plan.graph.parameters}
            for _ in "abc"
        ]
        whole = {p.name: np.full(p.shape, np.nan) for p in plan.graph.parameters}
        for shard in range(plan.partition.shards):
            server = Server(config, shard)
            server.begin()
            for number, of_all in enumerate(gradients):
                part = {name: np.asarray(cut(of_all[name], at)) for name, at in server.places.items()}
                server.apply([part], 0)
                if number == 1:  # what a standby or a resumed run begins with
                    server.install(*server.snapshot())
            for name, at in server.places.items():
                numbers = np.arange(whole[name].size).reshape(whole[name].shape)
                whole[name].flat[np.asarray(cut(numbers, at))] = server.params[name]
        found[workers] = whole
    for name, value in found[1].items():
        np.testing.assert_allclose(found[2][name], value, rtol=1e-5, atol=1e-6, err_msg=name)
        assert np.isfinite(value).all()
    np.testing.assert_allclose(lengths(found[2]["g.weight"]), 1, atol=1e-6)


def test_a_run_that_begins_with_anothers_filters_gives_them_the_length_1(tmp_path):
    other = trained(tmp_path / "other")
    begun = start_from(other.directory, compiled(text_of(f="constrain = unit")))
    expected = other.network().params["f.weight"]
    expected = expected / lengths(expected)[:, :, None, None, None]
    np.testing.assert_allclose(begun.params["f.weight"], expected, atol=1e-6)
    np.testing.assert_array_equal(begun.params["g.weight"], other.network().params["g.weight"])


def test_explain_says_what_is_not_the_default():
    given = {
        "f": "init = glorot_uniform, bias_speed = 2",
        "g": "constrain = unit, speed = 0",
        "d": "init = 0.1",
    }
    plan = compiled(text_of(**given))
    lines = plan.explain().splitlines()
    assert "f.weight: begins uniform up to 0.447 (glorot_uniform)" in lines  # sqrt(6 / (12 + 18))
    assert "f.bias: speed 2" in lines
    assert "g.weight: frozen, vectors of length 1" in lines
    assert "d.weight: begins normal, deviation 0.1 (0.1)" in lines
    assert not [line for line in lines if line.startswith("l.decode:")]
    found = {row["name"]: row for row in explain_data(plan)["parameters"]}
    assert found["f.weight"]["init"] == "glorot_uniform"
    assert found["f.weight"]["spread"] == {"uniform": True, "scale": pytest.approx(0.2**0.5)}
    assert (found["g.weight"]["unit"], found["g.weight"]["speed"]) == (True, 0)
    assert found["f.bias"]["spread"] is None
