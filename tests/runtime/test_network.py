"""Values, losses and gradients of whole networks against the float64 formulas of `reference.py`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import reference

from lnet.compiler.pipeline import compile_text
from lnet.dsl.diagnostics import LnetError
from lnet.runtime.engine.network import Network

STAGES = """
stage sense(maps = 3, field = 3) {
    filter: local(field, maps)
    pool:   l2pool(2)
    norm:   lcn(3, floor = 0.1)
    learn:  rica(sparsity = 0.5)
}
network n {
    image: input(9x10x2)
    V1: sense(maps = 2)
    V2: sense()
}
"""

NETWORKS = {
    "stages": STAGES,
    "tied": "network n { image: input(7x6x1); f: local(3x2, 3, stride = 2x1, pad = 1); p: l2pool(2)\n"
    "learn: rica(tied = true, sparsity = 2) }",
    "shared": "network n { image: input(8x9x2); a: local(3, 3, share = all, bias = true, act = tanh)\n"
    "b: local(2, 2, stride = 2, share = tile(2x3), bias = true, pad = same)\n"
    "c: local(2, 2, share = tile(5))\n x: decode(b, b); y: decode(of = a)\n"
    "e: squared_error(y, image); q: l2(c); r: l1(x) }",
    "supervised": "network n { image: input(6x6x2); f: local(3, 2, act = softplus, bias = true); m: maxpool(2, stride = 2)\n"
    "d: dense(4, act = sigmoid); out: dense(3); c: cross_entropy(); o: one_vs_all(weight = 0.3)\n"
    "s: smooth(of = f, weight = 2) }",
    "wiring": "network n { image: input(9x9x2); a: local(3, 2); b: local(3, 2, of = image); s: add([a, b])\n"
    "k: concat([a, s, b]); v: lcn(3x5, sigma = 1, across = none, edge = valid, floor = 0.2); g: avgpool(3, pad = 1)\n"
    "c: crop(2x3); t: relu(of = c); q: l2(t); h: lcn(15, of = a); z: l1(h, weight = 0.1); w: l1(g) }",
    "joint decoder": "network n { image: input(7x7x1); a: local(3, 2); y: decode(tied = true); d: local(3, 2, of = y)\n"
    "e: squared_error(y, target = image); q: l2(d) }",
    "padded pools": "network n { image: input(7x8x1); f: local(3, 2); a: maxpool(3x2, stride = 2x1, pad = 1x0)\n"
    "b: maxpool(2, stride = 2, pad = same, of = f); c: maxpool(3, pad = 2, of = b); q: l2(a); r: l2(c) }",
    "per stage": STAGES + "train { gradients = stage }",
}


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> Network:
    return Network(compile_text(NETWORKS[request.param]))


def sample(network: Network, batch: int = 3) -> tuple[np.ndarray, np.ndarray | None]:
    sheet = network.graph.input.sheet
    images = np.random.default_rng(1).normal(size=(batch, sheet.height, sheet.width, sheet.maps))
    supervised = any(o.term.needs_labels for o in network.graph.objectives)
    return images.astype(np.float32), np.arange(batch) % 3 if supervised else None


def randomise_biases(network: Network) -> None:
    rng = np.random.default_rng(2)
    for name, value in network.params.items():
        if name.endswith(".bias"):
            network.params[name] = rng.normal(size=value.shape).astype(np.float32)


def test_values_follow_the_formulas(network: Network) -> None:
    randomise_biases(network)
    images, _ = sample(network)
    expected = reference.values(network.graph, network.params, images)
    found = network(images)
    assert list(found) == [layer.path for layer in network.graph.visible]
    for path, value in found.items():
        assert value.shape == expected[path].shape
        np.testing.assert_allclose(value, expected[path], atol=1e-4 * np.abs(expected[path]).max() + 1e-7)


def test_loss_follows_the_formulas(network: Network) -> None:
    randomise_biases(network)
    images, labels = sample(network)
    expected = reference.loss(network.graph, network.params, images, labels)
    assert network.loss(images, labels) == pytest.approx(expected, rel=1e-4)


def test_gradients_are_those_of_the_formulas(network: Network) -> None:
    """Directional derivatives of every parameter, objective by objective in what it may train."""
    randomise_biases(network)
    images, labels = sample(network)
    gradients = network.gradients(images, labels)
    norm = np.sqrt(sum(float((g.astype(float) ** 2).sum()) for g in gradients.values()))
    rng = np.random.default_rng(3)
    for name, gradient in gradients.items():
        assert gradient.shape == network.params[name].shape
        direction = rng.normal(size=gradient.shape)
        direction /= np.linalg.norm(direction)
        expected = _slope(network, name, direction, images, labels)
        assert abs((gradient * direction).sum() - expected) < 1e-3 * norm, name


def _slope(
    network: Network, name: str, direction: np.ndarray, images: np.ndarray, labels: np.ndarray | None
) -> float:
    """The derivative of what trains `name`: with `gradients = stage` only the losses of its own stage."""
    graph = network.graph
    objectives = [
        o
        for o in graph.objectives
        if graph.training.gradients == "joint" or graph.block(o.part_of) == graph.block(name)
    ]
    step = 1e-5
    values = []
    for sign in (1, -1):
        params = {n: np.asarray(v, float) for n, v in network.params.items()}
        params[name] = params[name] + sign * step * direction
        values.append(reference.loss(graph, params, images, labels, objectives))
    return (values[0] - values[1]) / (2 * step)


def test_gradients_per_stage_differ_from_joint_ones_below() -> None:
    """Later stages train earlier ones jointly, and not per stage; the last stage is trained alike."""
    joint, stage = (Network(compile_text(NETWORKS[name])) for name in ("stages", "per stage"))
    images, _ = sample(joint)
    left, right = joint.gradients(images), stage.gradients(images)
    assert not np.allclose(left["V1.filter.weight"], right["V1.filter.weight"], rtol=1e-2)
    np.testing.assert_allclose(left["V2.filter.weight"], right["V2.filter.weight"], rtol=1e-4, atol=1e-5)


def test_an_outer_stage_trains_the_stages_inside_it() -> None:
    text = """
    stage inner() { f: local(3, 2); q: l2(weight = 0.5) }
    stage outer() { a: inner(); g: local(2, 2); r: l1() }
    network n { image: input(7x7x1); V: outer(); W: inner() }
    train { gradients = stage }
    """
    network = Network(compile_text(text))
    images, _ = sample(network)
    gradients = network.gradients(images)
    graph = network.graph
    rng = np.random.default_rng(4)
    trained_by = {"V.a.f.weight": ["V.a.q", "V.r"], "V.g.weight": ["V.r"], "W.f.weight": ["W.q"]}
    for name, paths in trained_by.items():
        direction = rng.normal(size=gradients[name].shape)
        ends = []
        for sign in (1, -1):
            params = {n: np.asarray(v, float) for n, v in network.params.items()}
            params[name] = params[name] + sign * 1e-6 * direction
            chosen = [o for o in graph.objectives if o.path in paths]
            ends.append(reference.loss(graph, params, images, None, chosen))
        assert (gradients[name] * direction).sum() == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-3)


def test_parameters_have_the_names_and_shapes_of_the_language() -> None:
    network = Network(compile_text(STAGES))
    assert {name: value.shape for name, value in network.params.items()} == {
        "V1.filter.weight": (7, 8, 3, 3, 2, 2),
        "V2.filter.weight": (4, 5, 3, 3, 2, 3),
        "V1.learn.decode": (7, 8, 3, 3, 2, 2),
        "V2.learn.decode": (4, 5, 3, 3, 2, 3),
    }


def test_one_neuron() -> None:
    network = Network(compile_text(STAGES))
    images, _ = sample(network)
    np.testing.assert_array_equal(network["V1.norm[4, 2, 1]"](images), network(images)["V1.norm"][:, 4, 2, 1])
    np.testing.assert_array_equal(network["V1[4, 2, 1]"](images), network(images)["V1.norm"][:, 4, 2, 1])


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (
            lambda n: n["V1.norm[6, 0, 0]"],
            "the layer 'V1.norm' is 6x7x2, so it has no neuron V1.norm[6, 0, 0]",
        ),
        (lambda n: n["V1.nrm[0, 0, 0]"], "E720: there is no layer 'V1.nrm'"),
        (lambda n: n["V1.norm"], "expected a neuron such as 'V1.pool[4, 7, 2]', found 'V1.norm'"),
        (
            lambda n: n(np.zeros((2, 9, 9, 2))),
            "E716: expected images [batch, 9, 10, 2], prepared as in training, found [2, 9, 9, 2]",
        ),
        (lambda n: n.params["V1.weight"], "there is no parameter 'V1.weight'"),
        (
            lambda n: n.params.update({"V1.filter.weight": np.zeros(3)}),
            "has the shape (7, 8, 3, 3, 2, 2), found (3,)",
        ),
    ],
)
def test_mistakes_are_explained(mistake, message: str) -> None:
    with pytest.raises(LnetError) as caught:
        mistake(Network(compile_text(STAGES)))
    assert message in str(caught.value)


DOUBLE = """
import numpy as np, reference
from lnet.compiler.pipeline import compile_text
from lnet.runtime.engine.network import Network
net = Network(compile_text(TEXT))
images = np.random.default_rng(1).normal(size=(3, 9, 10, 2))
net.params.update({name: value.astype(float) for name, value in net.params.items()})
expected = reference.values(net.graph, net.params, images)
for path, value in net(images).items():
    assert value.dtype == np.float64
    np.testing.assert_allclose(value, expected[path], rtol=0, atol=1e-11 * np.abs(expected[path]).max())
assert abs(net.loss(images) / reference.loss(net.graph, net.params, images, None) - 1) < 1e-11
"""


@pytest.mark.slow
def test_double_precision_where_jax_is_asked_for_it() -> None:
    """Kernels compute in what they are given: the proof that partitions do not change numbers needs that."""
    environment = os.environ | {"JAX_ENABLE_X64": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
    code = DOUBLE.replace("TEXT", repr(STAGES))
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=300)
