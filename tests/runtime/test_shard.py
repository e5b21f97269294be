"""A network cut into tiles computes what it computes whole, whatever the cut: in double precision, so to rounding."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from generated_networks import networks
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from quickly import quickly

from lnet.compiler.core.shapes import Size
from lnet.compiler.cut.partition import partition
from lnet.compiler.cut.schedule import Programme, message_counts, schedule
from lnet.compiler.cut.weights import weight_messages
from lnet.compiler.pipeline import compile_text
from lnet.runtime.engine.evaluate import cut, total_loss
from lnet.runtime.engine.exchanges import exchanges
from lnet.runtime.engine.lockstep import evaluate_tiles, run_tiles
from lnet.runtime.engine.network import initial_params
from lnet.runtime.engine.shard import Send, Shard

TWO_STAGES = """
stage s() {
    filter: local(3, maps = 1, pad = same, bias = true)
    pool: l2pool(2)
    norm: lcn(3)
    learn: rica(sparsity = 0.3)
}
network n { image: input(8x7x1); V1: s(); V2: s() }
"""
EVERYTHING_SHARED = """
network n {
    image: input(9x10x1)
    f: local(3, 3, share = tile(2x3), bias = true, act = tanh)
    g: local(3, 2, stride = 2, share = all, of = f)
    own: local(2, 2, of = g)
    d: dense(4, act = softplus)
    p: l2pool(2, of = own)
    a: l2(own); b: l1(d); c: smooth(own, weight = 3); e: rica(encode = own, pool = p, tied = true)
}
"""
READ_DECODER = """
network n {
    image: input(8x8x1)
    f: local(3, 2)
    back: decode(like = f, of = f)
    again: local(3, 2, of = back)
    q: l2(again); r: squared_error(back, target = image)
}
"""
LABELLED = """
network n {
    image: input(8x8x1)
    f: local(3, 2, act = relu)
    p: maxpool(2, stride = 2)
    d: dense(3)
    q: cross_entropy(d)
}
"""
PADDED_POOLS = """
network n {
    image: input(9x10x1)
    f: local(3, 2, pad = 1x0)
    a: maxpool(3x2, stride = 2x1, pad = 2x0)
    b: maxpool(4, stride = 3, pad = same, of = f)
    c: maxpool(3, pad = 2, of = b)
    p: l2(a); q: l2(c); r: l1(f)
}
"""


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def whole(graph, seed=0):
    """Parameters that no symmetry hides, and images and labels for them."""
    rng = np.random.default_rng(seed)
    params = {
        name: jnp.asarray(np.asarray(value, np.float64) + 0.1 * rng.normal(size=value.shape))
        for name, value in initial_params(graph, seed).items()
    }
    sheet = graph.input.sheet
    images = jnp.asarray(rng.normal(size=(sheet.height, sheet.width, sheet.maps, 3)))
    return params, images, jnp.asarray(rng.integers(0, 3, 3))


def in_tiles(graph, grid, params, images, labels):
    parts = partition(graph, grid)
    shards = [Shard(graph, parts, tile) for tile in range(parts.count)]
    step = quickly(partial(run_tiles, shards))
    gradients, terms = step([shard.owned(params) for shard in shards], images, labels)
    return joined(shards, gradients, params), terms


def joined(shards, arrays, params):
    """What tiles own, put together; what nobody owns stays NaN."""
    result = {name: np.full(value.shape, np.nan) for name, value in params.items()}
    for shard, mine in zip(shards, arrays, strict=True):
        for name, place in shard.programme.owned:
            numbers = np.arange(result[name].size).reshape(result[name].shape)
            result[name].flat[cut(numbers, place)] = mine[name]
    return result


def check(text, grid):
    graph = compile_text(text).graph
    params, images, labels = whole(graph)
    labels = labels if any(o.term.needs_labels for o in graph.objectives) else None

    def loss(params):
        return total_loss(graph, params, images, labels)

    (_, terms), expected = quickly(jax.value_and_grad(loss, has_aux=True))(params)
    gradients, found = in_tiles(graph, grid, params, images, labels)
    assert found.keys() == terms.keys()
    for path, value in terms.items():
        np.testing.assert_allclose(found[path], value, rtol=1e-10, atol=1e-13, err_msg=path)
    for name, gradient in expected.items():
        np.testing.assert_allclose(gradients[name], gradient, rtol=1e-9, atol=1e-11, err_msg=name)


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(networks(), st.builds(Size, st.integers(1, 3), st.integers(1, 4)), st.sampled_from(["joint", "stage"]))
def test_random_networks(text, grid, gradients):
    check(f"{text}train {{ gradients = {gradients} }}", grid)


CUTS = [(1, 1, "joint"), (2, 2, "stage"), (1, 5, "joint")]


@pytest.mark.parametrize(("rows", "columns", "gradients"), CUTS)
def test_stages(rows, columns, gradients):
    check(f"{TWO_STAGES} train {{ gradients = {gradients} }}", Size(rows, columns))


@pytest.mark.parametrize(
    "text",
    [EVERYTHING_SHARED, READ_DECODER, LABELLED, PADDED_POOLS],
    ids=["shared", "decoder", "labels", "pools"],
)
def test_every_way_of_exchange(text):
    check(text, Size(2, 3))


def listening(change):
    """A shard of which everything that it sends is seen, and may be changed."""

    class Listening(Shard):
        def step(self, *arguments):
            step, answer = super().step(*arguments), None
            while True:
                try:
                    want = step.send(answer)
                except StopIteration as end:
                    return end.value
                if isinstance(want, Send):
                    want = change(self.programme.tile, want)
                answer = yield want

    return Listening


def check_shapes(text, grid):
    """All that a tile is sent has the shape that is expected of it, and nothing else is expected."""
    graph = compile_text(text).graph
    cut = partition(graph, grid)
    sent = [{} for _ in range(cut.count)]

    def note(tile, send):
        sent[send.receiver][tile, send.exchange] = tuple(array.shape for array in send.arrays)
        return send

    def compute(params, images, labels):
        shards = [listening(note)(graph, cut, tile) for tile in range(cut.count)]
        return run_tiles(shards, [shard.owned(params) for shard in shards], images, labels)

    jax.eval_shape(compute, *whole(graph))
    for tile, found in enumerate(sent):
        assert found == exchanges(graph, cut, schedule(graph, cut, tile), 3)


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(networks(), st.builds(Size, st.integers(1, 3), st.integers(1, 4)), st.sampled_from(["joint", "stage"]))
def test_shapes_of_random_networks(text, grid, gradients):
    check_shapes(f"{text}train {{ gradients = {gradients} }}", grid)


@pytest.mark.parametrize(
    "text",
    [TWO_STAGES, EVERYTHING_SHARED, READ_DECODER, LABELLED],
    ids=["stages", "shared", "decoder", "labels"],
)
def test_shapes_of_every_exchange(text):
    check_shapes(text, Size(2, 3))


def test_a_dropped_column_of_a_rim_is_noticed(monkeypatch):
    def drop(tile, send):
        arrays = tuple(array.at[:, -1].set(0) for array in send.arrays)
        return replace(send, arrays=arrays) if send.exchange == "values 0" else send

    monkeypatch.setitem(globals(), "Shard", listening(drop))
    with pytest.raises(AssertionError, match="Mismatched"):
        check(TWO_STAGES, Size(1, 2))


def test_an_owner_that_counts_its_rim_too_is_noticed(monkeypatch):
    def count_rim(*arguments) -> Programme:
        programme = schedule(*arguments)
        *phases, last = programme.phases
        terms = tuple(replace(term, owned=(None,) * len(term.owned)) for term in last.terms)
        return replace(programme, phases=(*phases, replace(last, terms=terms)))

    monkeypatch.setattr("lnet.runtime.engine.shard.schedule", count_rim)
    with pytest.raises(AssertionError, match="Mismatched"):
        check(TWO_STAGES, Size(1, 2))


def test_messages_are_those_that_the_plan_counts(monkeypatch):
    graph = compile_text(f"{TWO_STAGES} train {{ batch = 3 }}").graph
    cut = partition(graph, Size(2, 2))
    params, images, _ = whole(graph)
    sent = []

    def note(tile, send):
        sent.append((tile, send))
        return send

    shards = [listening(note)(graph, cut, tile) for tile in range(4)]
    jax.eval_shape(partial(run_tiles, shards), [shard.owned(params) for shard in shards], images)
    moved = sum(array.size for _, send in sent for array in send.arrays)
    assert moved == cut.halo_values * 3 + 2 * sum(m.values for m in weight_messages(graph, cut))
    senders = [tile for tile, _ in sent]
    assert tuple(senders.count(tile) for tile in range(4)) == message_counts(graph, cut)
    pairs = [(tile, send.receiver, send.exchange) for tile, send in sent]
    assert len(pairs) == len(set(pairs)), "one message for an exchange between two tiles"


EVALUATED = """
network n {
    image: input(13x11x2)
    y:     target(2)
    V1:    local(3, maps = 2x2, act = relu, of = image)
    norm:  batchnorm()
    drop:  dropout(0.4)
    pool:  l2pool(3)
    learn: rica(encode = V1, pool = pool, sparsity = 0.5)
    k:     dense(3)
    class: cross_entropy()
    z:     dense(2, of = pool)
    fit:   mean_squared_error(target = y, weight = between(0, 2, 0, 20))
    near:  smooth(of = V1)
}
train { data = arrays("a", labels = "k", targets = "y"); validation = arrays("b") }
"""


def test_an_evaluation_has_the_terms_of_the_whole_network():
    """Without what reads weights, nothing dropped, by running values, with a weight of its step; in any tiles."""
    with jax.enable_x64(True):
        graph = compile_text(EVALUATED).graph
        validated, rng = graph.validated, np.random.default_rng(3)
        params = {
            name: jnp.asarray(np.abs(np.asarray(value, float) + 0.1 * rng.normal(size=value.shape)))
            for name, value in initial_params(graph, 0).items()
        }
        images, labels = jnp.asarray(rng.normal(size=(13, 11, 2, 5))), jnp.asarray([0, 2, 1, 1, 0])
        targets = {"y": jnp.asarray(rng.normal(size=(1, 1, 2, 5)))}
        expected = quickly(lambda p: total_loss(validated, p, images, labels, targets, done=10)[1])(params)
        assert expected.keys() == {*(o.path for o in validated.objectives), "class top-1"}
        assert "near" not in expected
        parts = partition(graph, Size(1, 2))  # that of training
        shards = [Shard(validated, parts, tile) for tile in range(parts.count)]
        owned = [shard.owned(params) for shard in shards]
        found = quickly(partial(evaluate_tiles, shards))(owned, images, labels, targets, 10)
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, rtol=1e-9, err_msg=name)
