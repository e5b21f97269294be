"""What neurons like: optimal stimuli that are known in closed form, and the best of real images."""

import numpy as np
import pytest

import lnet
from lnet.runtime.analysis.components import principal_components
from lnet.runtime.analysis.neurons import find_neurons, leading_to, respond, seen_by
from lnet.runtime.analysis.stimulus import likely_stimulus, noise
from lnet.runtime.analysis.top_stimuli import top_stimuli
from lnet.runtime.data import Batch

TEXT = "network n { image: input(7x8x2); f: local(3x4, 2, stride = 2); p: l2pool(2); g: lcn(3); q: l2(f) }\n"


@pytest.fixture(scope="module")
def net():
    return lnet.Network(lnet.compile(lnet.parse(TEXT)))


def images(count, seed=0):
    return np.random.default_rng(seed).normal(size=(count, 7, 8, 2)).astype(np.float32)


def test_a_linear_neuron_likes_its_weights(net):
    found = lnet.optimal_stimulus(net, "f[1, 2, 0]", norm=3, starts=3)
    weight = net.params["f.weight"][1, 2, ..., 0]
    expected = np.zeros((7, 8, 2))
    expected[2:5, 4:8] = 3 * weight / np.linalg.norm(weight)
    np.testing.assert_allclose(found.image, expected, atol=2e-3)
    assert found.response == pytest.approx(3 * np.linalg.norm(weight), rel=1e-5)
    assert found.reached == pytest.approx([found.response] * 3, rel=1e-5)
    assert found.response == pytest.approx(net["f[1, 2, 0]"](found.image[None])[0], rel=1e-5)


def test_a_pool_likes_the_first_singular_vector_of_its_filters(net):
    found = lnet.optimal_stimulus(net, "p[1, 1, 1]", norm=5)
    filters = np.zeros((2, 2, 7, 8, 2))
    for a, b in np.ndindex(2, 2):
        top, left = 2 * (1 + a), 2 * (1 + b)
        filters[a, b, top : top + 3, left : left + 4] = net.params["f.weight"][1 + a, 1 + b, ..., 1]
    _, values, vectors = np.linalg.svd(filters.reshape(4, -1))
    assert found.response == pytest.approx(np.sqrt(1e-3 + (5 * values[0]) ** 2), rel=1e-4)
    assert abs(found.image.ravel() @ vectors[0]) == pytest.approx(5, rel=1e-3)


def test_the_stimulus_has_the_norm_and_beats_noise(net):
    found = lnet.optimal_stimulus(net, "g[1, 1, 0]", seed=3)
    assert found.norm == pytest.approx(np.sqrt(7 * 8 * 2))
    assert np.linalg.norm(found.image) == pytest.approx(found.norm, rel=1e-5)
    (neuron,) = find_neurons(net.graph, ["g[1, 1, 0]"])
    random = noise(net.graph, neuron, 200, seed=4)
    random *= found.norm / np.linalg.norm(random.reshape(200, -1), axis=1)[:, None, None, None]
    assert found.response > respond(net, (neuron,), random).max()
    assert found.response == max(found.reached)


def test_a_seed_says_it_all(net):
    first, again, other = (lnet.optimal_stimulus(net, "g[0, 1, 1]", seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.image, again.image)
    assert first.reached == again.reached != other.reached


def test_starts_lie_where_the_neuron_looks(net):
    (neuron,) = find_neurons(net.graph, ["f[2, 0, 1]"])
    seen = seen_by(net.graph, neuron)
    assert (seen.rows.start, seen.rows.stop, seen.columns.start, seen.columns.stop) == (4, 7, 0, 4)
    start = noise(net.graph, neuron, 2, seed=0)
    assert np.count_nonzero(start) == 2 * 3 * 4 * 2
    assert not np.array_equal(start[0], start[1])


def test_a_neuron_without_a_slope_keeps_its_start():
    plan = lnet.compile(lnet.parse("network n { image: input(5x5x1); f: local(3, 1, act = relu); q: l2(f) }"))
    net = lnet.Network(plan)
    net.params["f.weight"] = np.zeros((3, 3, 3, 3, 1, 1))
    found = lnet.optimal_stimulus(net, "f[0, 0, 0]", norm=2)
    assert found.response == 0
    assert np.linalg.norm(found.image) == pytest.approx(2)


def test_a_linear_neuron_likes_of_likely_images_its_weights_in_their_coordinates(net):
    pixels = images(60)
    batches = [Batch(pixels[:40], None, ()), Batch(pixels[40:], None, ())]
    found = principal_components(batches, 4)
    stimulus = likely_stimulus(net, "f[1, 2, 0]", found, pixels[3], steps=2000)
    weight = np.zeros((7, 8, 2))
    weight[2:5, 4:8] = net.params["f.weight"][1, 2, ..., 0]
    flat = pixels[:40].reshape(40, -1).astype(float)
    covariance = np.cov(flat.T, bias=True)
    variances, axes = (part[..., -4:] for part in np.linalg.eigh(covariance))
    slopes = (axes * np.sqrt(variances)).T @ weight.ravel()
    expected = flat.mean(0) + axes * np.sqrt(variances) @ (2 * slopes / np.linalg.norm(slopes))
    np.testing.assert_allclose(stimulus.image.ravel(), expected, atol=5e-3)
    assert stimulus.norm == pytest.approx(np.linalg.norm(expected), rel=1e-3)
    assert found.images == 40
    assert found.share == pytest.approx(variances.sum() / np.trace(covariance), rel=1e-4)


def test_components_are_fewer_than_images():
    pixels = images(3)
    found = principal_components([Batch(pixels, None, ())], 10)
    assert len(found) == 2
    assert found.share == pytest.approx(1)
    z = found.coordinates(pixels[1])
    np.testing.assert_allclose(found.mean + np.tensordot(z, found.axes, 1), pixels[1], atol=1e-5)
    with pytest.raises(lnet.LnetError, match="E780"):
        principal_components([Batch(pixels, None, ())], 0)


def test_no_components_make_no_likely_image(net):
    single = principal_components([Batch(images(1), None, ())], 10)
    with pytest.raises(lnet.LnetError, match="E780"):
        likely_stimulus(net, "f[0, 0, 0]", single, images(1)[0])


@pytest.mark.parametrize(
    ("neuron", "options", "code"),
    [
        ("f", {}, "E720"),
        ("f[9, 0, 0]", {}, "E720"),
        ("h[0, 0, 0]", {}, "E720"),
        ("f[0, 0, 0]", {"norm": 0}, "E780"),
        ("f[0, 0, 0]", {"starts": 0}, "E780"),
        ("f[0, 0, 0]", {"norm": float("nan")}, "E780"),
    ],
)
def test_what_cannot_be(net, neuron, options, code):
    with pytest.raises(lnet.LnetError) as caught:
        lnet.optimal_stimulus(net, neuron, **options)
    assert caught.value.diagnostics[0].code == code


def test_top_stimuli_are_those_of_a_full_sort(net):
    pixels = images(53)
    pixels[40] = pixels[7]  # equally good: the first comes first
    batches = [
        Batch(pixels[i : i + 10], None, tuple(str(n) for n in range(i, min(i + 10, 53))))
        for i in range(0, 53, 10)
    ]
    neurons = ["g[1, 1, 0]", "f[0, 2, 1]", "p[0, 0, 0]"]
    survey = top_stimuli(net, neurons, batches, count=7)
    assert survey.images == 53
    assert survey.norm == pytest.approx(np.linalg.norm(pixels.reshape(53, -1), axis=1).mean(), rel=1e-5)
    for text, (neuron, top) in zip(neurons, survey.top.items(), strict=True):
        assert str(neuron) == text
        order = np.argsort(-net[text](pixels), kind="stable")[:7]
        assert [liked.name for liked in top] == [str(number) for number in order]
        np.testing.assert_allclose([liked.response for liked in top], net[text](pixels)[order], rtol=1e-5)
        np.testing.assert_array_equal(top[0].image, pixels[order[0]])


def test_of_fewer_images_all_are_returned(net):
    survey = top_stimuli(net, ["f[0, 0, 0]", "f[0,0,0]"], [Batch(images(3), None, ("a", "b", "c"))], count=5)
    assert sorted(liked.name for liked in next(iter(survey.top.values()))) == ["a", "b", "c"]


def test_no_image_is_no_number_of_images(net):
    with pytest.raises(lnet.LnetError, match="E780"):
        top_stimuli(net, ["f[0, 0, 0]"], [], count=0)


def test_layers_that_a_neuron_does_not_need_are_left_out():
    text = "network n { image: input(9x9x1); a: local(3, 2); b: local(3, 2, of = image); c: l2pool(2, of = a); q: l2(b) }"
    graph = lnet.compile(lnet.parse(text)).graph
    assert [layer.path for layer in leading_to(graph, ["c"])] == ["image", "a", "c"]
