"""Networks in float64: every number of a run and of what looks at it, without a trace in networks in float32."""

import json
from math import inf

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from commands import lnetc
from jax import export as jax_export
from quickly import quickly

import lnet
from lnet.compiler.cut.cost import tile_costs, totals
from lnet.compiler.pipeline import compile_text
from lnet.runtime.analysis.neurons import cost_of, find_neurons, respond, values_of
from lnet.runtime.analysis.report import write_report
from lnet.runtime.analysis.sheet import sheet_view
from lnet.runtime.engine.evaluate import batch_last, total_loss
from lnet.runtime.engine.network import initial_params

TEXT = """
network n {
    image: input(12x11x1)
    a: local(3, 2, bias = true, act = tanh); p: l2pool(2)
    v: dense(2)
    s: smooth(of = a); y: cross_entropy()
}
train {
    data = frames("set.npz", labels = folder, crop = center, flip = false)
    batch = 4; steps = 4; checkpoint = 2; update = adam(rate = 0.01); precision = float64
}
"""
SINGLE = TEXT.replace("float64", "float32")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("precision")
    rng = np.random.default_rng(1)
    images = rng.random((16, 12, 11, 1))  # which no float32 holds
    np.savez(folder / "set.npz", images=images, labels=list("ab" * 8))
    (folder / "double.lnet").write_text(TEXT)
    (folder / "single.lnet").write_text(SINGLE)
    return folder


@pytest.fixture(scope="module")
def run(place):
    return lnet.train(lnet.compile(place / "double.lnet"), directory=place / "double")


def doubles(arrays):
    """Whether all real numbers are float64, and at least one of each array is no float32."""
    real = [np.asarray(value) for value in arrays if np.asarray(value).dtype.kind == "f"]
    return bool(real) and all(v.dtype == np.float64 and (v != v.astype(np.float32)).any() for v in real)


def test_a_run_takes_the_steps_of_a_formula_in_float64(run, place):
    graph, rule = run.plan.graph, optax.adam(0.01)
    stored = np.load(place / "set.npz")["images"]
    with jax.enable_x64(True):
        params = initial_params(graph, 0)
        state = rule.init(params)

        @quickly
        def taken(params, state, images, labels):
            gradients = jax.grad(lambda p: total_loss(graph, p, images, labels)[0])(params)
            changes, state = rule.update(gradients, state)
            return optax.apply_updates(params, changes), state

        for step in range(4):
            batch = run.samples(16)
            here = slice(4 * step, 4 * step + 4)
            raw = np.stack([stored[int(name.strip("[]").rsplit("[", 1)[-1])] for name in batch.names[here]])
            mean, deviation = raw.mean((1, 2, 3), keepdims=True), raw.std((1, 2, 3), keepdims=True)
            images = batch_last(jnp.asarray((raw - mean) / (deviation + 0.05)))
            np.testing.assert_allclose(batch.images[here], (raw - mean) / (deviation + 0.05), rtol=1e-12)
            labels = jnp.asarray(batch.labels[here])
            params, state = taken(params, state, images, labels)
    found = run.network().params
    for name, value in params.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-11, atol=1e-13, err_msg=name)
    checkpoint = run.checkpoint()
    assert doubles([*checkpoint.params.values(), *checkpoint.update.values()])


def test_a_resumed_run_ends_with_the_same_bits(run, place):
    short = lnet.train(lnet.compile(place / "double.lnet"), steps=2, directory=place / "resumed")
    resumed = lnet.resume(short.directory, steps=4).network().params
    for name, value in run.network().params.items():
        np.testing.assert_array_equal(resumed[name], value, err_msg=name)


def test_its_weights_begin_as_those_in_float32_and_go_both_ways(run, place):
    single, double = (lnet.compile(place / f"{name}.lnet") for name in ("single", "double"))
    begun = lnet.Network(single).params
    for name, value in lnet.Network(double).params.items():
        assert value.dtype == np.float64
        np.testing.assert_array_equal(value, begun[name], err_msg=name)
    rounded = lnet.train(single, steps=1, directory=place / "rounded", start=run.directory)
    again = lnet.train(double, steps=1, directory=place / "again", start=rounded.directory)
    first, last, widened = (
        each.params for each in (rounded.checkpoint(0), rounded.checkpoint(1), again.checkpoint(0))
    )
    for name, value in run.network().params.items():
        np.testing.assert_array_equal(first[name], value.astype(np.float32), err_msg=name)
        np.testing.assert_array_equal(widened[name], last[name], err_msg=name)
        assert (first[name].dtype, widened[name].dtype) == (np.float32, np.float64)


def test_a_network_computes_in_it_and_leaves_jax_as_it_was(run):
    net = run.network()
    images = run.samples(3).images
    assert doubles([*net(images).values(), *net.everything(images).values()])
    assert doubles(net.gradients(images, [0, 1, 1]).values())
    assert doubles([net.loss(images, [0, 1, 1]), net["p[1, 2, 0]"](images)])
    net.params["a.bias"] = np.full(net.params["a.bias"].shape, 1 / 3)
    assert doubles([net.params["a.bias"]])
    assert jnp.asarray(np.ones(2)).dtype == jnp.ones(2).dtype == np.float32


def test_analyses_compute_in_it(run, place):
    net = run.network()
    images = run.samples(3).images
    neuron = find_neurons(net.graph, ["p[1, 2, 0]"])
    cost = cost_of(net, "a", images)
    assert doubles(
        [values_of(net, "p", images), respond(net, neuron, images), cost.values, cost.transmission]
    )
    assert doubles([lnet.optimal_stimulus(net, "p[1, 2, 0]", starts=1, steps=3).image])
    (row, *_) = lnet.probe(run, place / "set.npz", "a", layers=["p"], baselines=False).rows
    assert doubles([row.above.flattering.threshold])
    sheet_view(run, "a", place / "set.npz")
    assert "float64" in write_report(run).read_text()


def test_exports_have_its_type(run, place):
    net, images = run.network(), run.samples(2).images
    lnet.export(net, place / "weights.npz", images)
    with np.load(place / "weights.npz") as file:
        names = ["a.weight", "activations/p"]
        assert doubles([file[name] for name in names])
        np.testing.assert_array_equal(file["activations/p"], net(images)["p"])
    taken = lnet.import_weights(
        place / "weights.npz", lnet.compile(place / "double.lnet"), place / "imported"
    )
    np.testing.assert_array_equal(taken.network().params["a.weight"], net.params["a.weight"])
    lnet.export_program(net, place / "program")
    program = jax_export.deserialize((place / "program").read_bytes())
    with jax.enable_x64(True):
        found = program.call(dict(net.params), images)
    np.testing.assert_allclose(found["v"], net(images)["v"], rtol=1e-12)


def test_arrays_and_targets_are_not_rounded(tmp_path):
    text = """network n { x: input(3x4x2); t: target(3x4x2); h: local(2, 3, pad = same); y: local(1, 2)
        e: mean_squared_error(of = y, target = t) } train { batch = 2; steps = 1; precision = float64 }"""
    rng = np.random.default_rng(0)
    x, t = rng.random((4, 3, 4, 2)), rng.random((4, 3, 4, 2))
    run = lnet.train(compile_text(text), lnet.Arrays(x, targets=t), directory=tmp_path / "run")
    (loss,) = [event.loss for event in run.events() if event.name == "step"]
    net = lnet.Network(run.plan)
    np.testing.assert_array_equal(lnet.prepare(x, net), x)
    losses = [net.loss(x[[i, j]], targets=t[[i, j]]) for i in range(4) for j in range(i)]
    assert min(abs(found - loss) for found in losses) < 1e-14 * loss
    with pytest.raises(lnet.LnetError, match=r"E704: .* that no finite float64 holds"):
        lnet.prepare(np.full((1, 3, 4, 2), inf), net)
    lnet.prepare(np.full((1, 3, 4, 2), 1e300), net)


def test_explain_counts_eight_bytes(place):
    single, double = (lnet.compile(place / f"{name}.lnet", workers=2) for name in ("single", "double"))
    ones, twos = (totals(plan.graph, plan.partition) for plan in (single, double))
    for what in ("parameter_bytes", "state_bytes", "activation_bytes", "batch_bytes", "halo"):
        assert getattr(twos, what) == 2 * getattr(ones, what) > 0, what
    costs = [tile_costs(plan.graph, plan.partition) for plan in (single, double)]
    for one, two in zip(*costs, strict=True):
        assert (two.memory, two.exchanged, two.traffic) == (
            2 * one.memory,
            2 * one.exchanged,
            2 * one.traffic,
        )
    sums = json.loads(lnetc("explain", "--json", place / "double.lnet").stdout)["totals"]
    assert sums["parameter_bytes"] == twos.parameter_bytes


@pytest.mark.parametrize("wire", ["bfloat16", "float32"])
def test_nothing_of_it_is_rounded_on_the_wire_E751(place, wire):
    with pytest.raises(lnet.LnetError, match=f"E751: parameters cannot be sent as '{wire}'") as found:
        lnet.train(lnet.compile(place / "double.lnet"), wire=wire)
    assert "the network is computed in float64" in str(found.value)
