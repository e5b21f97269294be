"""What a neuron costs: its responses, and its weights times what they read, one input at a time."""

import numpy as np
import pytest

import lnet
from lnet.runtime.analysis.moments import moments_of
from lnet.runtime.analysis.neurons import cost_of
from lnet.runtime.data import Batch

TEXT = """network n {
    image:  input(5x4x2)
    filter: local(3x2, 4, stride = 2x1, pad = same, bias = true, groups = 2, share = blocks(2))
    bent:   local(3x2, 4, stride = 2x1, pad = same, bias = true, groups = 2, share = blocks(2), act = tanh, of = image)
    units:  dense(3, of = image)
    wider:  transposed(3, 2, stride = 2, bias = true, of = image)
    back:   decode(like = filter, of = filter)
    pool:   l2pool(2)
    few:    l2(pool)
}"""


@pytest.fixture(scope="module")
def network():
    net = lnet.Network(lnet.compile(lnet.parse(TEXT)))
    rng = np.random.default_rng(0)
    for name in net.params:
        net.params[name] = rng.normal(size=net.params[name].shape)
    for role in ("weight", "bias"):
        net.params[f"bent.{role}"] = net.params[f"filter.{role}"]
    return net


def images(count):
    return np.random.default_rng(1).normal(size=(count, 5, 4, 2)).astype(np.float32)


@pytest.mark.parametrize("layer", ["filter", "units", "wider"])
def test_transmission_is_what_each_input_adds(network, layer):
    """One input at a time, without what the layer says to nothing, its bias."""
    (image,) = images(1)
    lone = np.stack([np.where(np.arange(image.size) == k, image.ravel(), 0) for k in range(image.size)])
    added = network(lone.reshape(-1, *image.shape))[layer] - network(np.zeros((1, *image.shape)))[layer]
    found = cost_of(network, layer, image[None]).transmission[0]
    np.testing.assert_allclose(found, np.abs(added).sum(0), rtol=1e-4, atol=1e-5)


def test_activation_functions_cost_nothing_on_the_way(network):
    few = images(2)
    straight, bent = (cost_of(network, layer, few) for layer in ("filter", "bent"))
    np.testing.assert_allclose(bent.transmission, straight.transmission, rtol=1e-5)
    np.testing.assert_allclose(bent.values, np.tanh(straight.values), rtol=1e-5)


def test_what_a_layer_reads_is_that_of_its_operand(network):
    """A decoder reads its encoder's values, by weights of its own."""
    few = images(3)
    read, weight = (
        np.abs(network(few)["filter"]).astype(float),
        np.abs(network.params["back.weight"]).astype(float),
    )
    rows, columns = network.graph.layer("filter").op.sets_used()
    padded = np.zeros((3, 7, 6, 2))  # `same`: a row on both sides, a column behind
    for i, j, m in np.ndindex(read.shape[1:]):
        of_group = slice(0, 1) if m < 2 else slice(1, 2)
        field = weight[rows[i], columns[j], :, :, :, m] * read[:, i, j, m, None, None, None]
        padded[:, 2 * i : 2 * i + 3, j : j + 2, of_group] += field
    found = cost_of(network, "back", few).transmission
    np.testing.assert_allclose(found, padded[:, 1:6, :4], rtol=1e-4)


def test_energy_over_batches_is_that_of_all_images(network):
    many = images(11)
    batches = [Batch(many[i : i + 4], None, ("",) * 4) for i in range(0, 11, 4)]
    cost = cost_of(network, "filter", many)
    found = moments_of(network, "filter", batches).energy
    np.testing.assert_allclose(found.activation, np.abs(cost.values).mean(0), rtol=1e-5)
    np.testing.assert_allclose(found.transmission, cost.transmission.mean(0), rtol=1e-5)
    total = np.abs(cost.values).mean(0) / 3 + cost.transmission.mean(0) * 2 / 3
    np.testing.assert_allclose(found.total, total, rtol=1e-5)
    without = moments_of(network, "pool", batches).energy
    assert (without.transmission, without.total, list(without.maps)) == (None, None, ["activation"])
