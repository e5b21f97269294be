"""Dense layers, paddings and objectives over classes, cut over the tiles, compute what they compute whole: in double precision.

A step of all tiles is compiled as one program, without most optimisations: compiling is what takes time here.
"""

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_shard import check, listening, whole

from lnet.compiler.core.shapes import Interval, Region, Rows, Sheet, Size
from lnet.compiler.cut.deal import dealt
from lnet.compiler.cut.messages import all_messages, messages_of
from lnet.compiler.cut.partition import partition
from lnet.compiler.cut.schedule import message_counts
from lnet.compiler.cut.weights import owned_parameters, owned_places, weight_messages
from lnet.compiler.pipeline import compile_text
from lnet.runtime.cluster.actors.numerics import initial_shard
from lnet.runtime.engine.evaluate import cut
from lnet.runtime.engine.lockstep import run_tiles
from lnet.runtime.engine.network import initial_params
from lnet.runtime.kernels import classes
from lnet.runtime.kernels.ops import line
from lnet.runtime.store.checkpoint import Checkpoint
from lnet.runtime.store.checkpoints import CheckpointFolder
from lnet.runtime.store.safetensors import Damaged
from lnet.runtime.store.shards import StoredCheckpoint, opened, save_shard

EVEN = """
network n {
    image: input(7x9x1)
    f: local(2, 3, act = relu)
    p: dense(9, act = tanh)
    q: one_vs_all(p)
}
"""
UNEVEN = """
network n {
    image: input(5x5x2)
    c: local(3, 2, share = all, bias = true)
    d: dense(8, act = tanh)
    r: relu()
    e: dense(7, bias = false)
    s: add([e, e])
    q: cross_entropy(s); w: one_vs_all(e, weight = 0.3); l: l1(r); m: squared_error(d, target = r)
}
"""
BELOW_OTHERS = """
network n {
    image: input(4x6x1)
    d: dense(2, act = softplus)
    v: local(1, 3)
    both: concat([d, v])
    e: dense(3, of = both)
    q: cross_entropy(e); l: l2(both)
}
train { gradients = stage }
"""
SOFTMAX = """
network n {
    image: input(5x4x2)
    f: local(2, 3, act = softmax)
    d: dense(7, act = softmax)
    e: dense(5, act = elu(alpha = 0.5))
    v: softmax()
    w: dense(6, bias = false, act = softmax, of = f)
    s: squared_error(v, target = e); m: l2(d); n: l1(w)
}
"""
PADDED = """
network n {
    image: input(7x6x2)
    f: local(3, 3, act = gelu)
    x: decode(f, like = f)
    p: pad(7, 2, 0, 3, fill = wrap)
    g: local(3, 2, stride = 2, act = silu)
    r: pad(1, 0, 2, 1, fill = reflect); h: local(2, 2); e: pad(0, 3, fill = edge); q: l2(h); w: l2(e)
    d: dense(6, of = g)
    v: pad(1, 1, 1, 0, fill = wrap); k: local(2, 2); u: l2(k)
}
"""
EXAMPLE = Path(__file__).parents[2] / "examples" / "imagenet22k" / "model.lnet"
SMALLER = {
    "200x200x3": "12x12x1",
    "field = 18": "field = 2",
    "maps = 8": "maps = 2",
    "l2pool(5)": "l2pool(2)",
}
SMALLER |= {"lcn(5,": "lcn(3,", "21841": "23", "    V3:    sense()\n": ""}
"""The network of the example with fewer stages, positions, maps and classes."""


def small_example():
    text = EXAMPLE.read_text()
    for before, after in SMALLER.items():
        assert before in text
        text = text.replace(before, after)
    return text


NETWORKS = {
    "imagenet22k": (small_example(), Size(1, 2)),
    "uneven": (UNEVEN, Size(2, 2)),
    "below": (BELOW_OTHERS, Size(1, 4)),
    "softmax": (SOFTMAX, Size(2, 2)),
    "padded": (PADDED, Size(2, 3)),
}


@pytest.fixture
def double_precision():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("name", NETWORKS)
def test_tiles_compute_what_the_whole_network_does(name, double_precision):
    check(*NETWORKS[name])


def test_what_is_uneven_is_dealt_and_what_is_even_stays():
    def names(text, grid):
        return [layer.path for layer in dealt(compile_text(text).graph, grid).layers]

    assert names(EVEN, Size(2, 2)) == ["image", "f", "p sums", "p", "p peaks", "p standings"]
    assert names(EVEN, Size(1, 1)) == ["image", "f", "p"]
    assert "c line" in names(UNEVEN, Size(2, 3))
    assert "r line" not in names(UNEVEN, Size(2, 3)), "a line is dealt already"
    assert "d vector" in names(BELOW_OTHERS, Size(1, 4))
    softmax = names(SOFTMAX, Size(2, 2))
    assert softmax[softmax.index("d sums") :][:4] == ["d sums", "d scores", "d scores vector", "d"]


CONTROLS = {
    "a tile that says a wrong sum of its exponentials": (
        "peaks",
        lambda op, values, params, precision: classes.peaks(values[0]) * 1.01,
    ),
    "values that are dealt to the wrong place": (
        "flat",
        lambda op, values, params, precision: jnp.roll(line.flat(op, values[0]), 1, axis=0),
    ),
}


@pytest.mark.parametrize("name", CONTROLS)
def test_it_is_noticed(name, double_precision, monkeypatch):
    monkeypatch.setitem(line.KERNELS, *CONTROLS[name])
    with pytest.raises(AssertionError, match="Mismatched"):
        check(UNEVEN, Size(2, 2))


def test_messages_are_those_that_the_plan_counts():
    graph = compile_text(UNEVEN).graph
    parts, sent = partition(graph, Size(2, 3)), []

    def note(tile, send):
        sent.append((tile, sum(array.size for array in send.arrays)))
        return send

    def step(params, images, labels):
        shards = [listening(note)(graph, parts, tile) for tile in range(parts.count)]
        return run_tiles(shards, [shard.owned(params) for shard in shards], images, labels)

    jax.eval_shape(step, *whole(graph))
    senders = [tile for tile, _ in sent]
    assert tuple(senders.count(tile) for tile in range(parts.count)) == message_counts(graph, parts)
    planned = 3 * sum(message.values for message in all_messages(graph, parts))
    assert sum(size for _, size in sent) == planned + 2 * sum(m.values for m in weight_messages(graph, parts))


# --- where weights are --------------------------------------------------------------------------------------------


def test_every_weight_has_one_owner_and_all_own_alike():
    graph = compile_text(
        "network n { image: input(30x30x2); c: local(3, 4, share = all); d: dense(90); q: l2() }"
    ).graph
    parts = partition(graph, Size(2, 3))
    owned = [owned_places(graph, parts, tile) for tile in range(parts.count)]
    for parameter in graph.parameters:
        counts = np.zeros(parameter.shape, int)
        numbers = np.arange(counts.size).reshape(parameter.shape)
        for places in owned:
            if parameter.name in places:
                counts.flat[cut(numbers, places[parameter.name])] += 1
        assert (counts == 1).all(), parameter.name
    values = [sum(owned_parameters(graph, parts, tile).values()) for tile in range(parts.count)]
    assert max(values) < 1.3 * np.mean(values)


def test_shared_weights_are_spread_by_bytes():
    layers = "; ".join(f"c{i}: local(3, 4, share = all)" for i in range(6))
    graph = compile_text(f"network n {{ image: input(30x30x4); {layers}; q: l2() }}").graph
    parts = partition(graph, Size(1, 3))
    owned = [len(owned_places(graph, parts, tile)) for tile in range(3)]
    assert owned == [2, 2, 2]


def test_the_rows_of_a_region():
    sheet, region = Sheet(4, 5, 3), Region(Interval(1, 3), Interval(2, 4))
    numbers = np.arange(60).reshape(4, 5, 3)
    found = cut(np.arange(60), Rows.over(region, sheet))
    np.testing.assert_array_equal(found, cut(numbers, region).ravel())
    assert Rows.over(Region(Interval(1, 3), Interval(0, 5)), sheet).intervals == (Interval(15, 45),)


def test_no_tile_sends_or_receives_more_than_its_share():
    """Four times the units in all, for the sums and their gradients, sent and received; and the peaks."""
    graph = compile_text("network n { image: input(20x20x1); d: dense(1000); q: cross_entropy() }").graph
    parts = partition(graph, Size(4, 5))
    totals = [sum(m.values for m in messages_of(graph, parts, tile)) for tile in range(parts.count)]
    assert max(totals) < 1.5 * np.mean(totals)
    assert max(totals) < 5 * 1000


# --- checkpoints --------------------------------------------------------------------------------------------------


@pytest.fixture
def checkpoint(tmp_path):
    """A network with parameters that are its numbers, a way to save them in some shards, and to read them."""
    graph = compile_text(UNEVEN).graph
    params = {
        p.name: np.arange(p.size, dtype=np.float32).reshape(p.shape) + number
        for number, p in enumerate(graph.parameters)
    }
    shapes = {name: value.shape for name, value in params.items()}

    def saved(places, number):
        files = []
        for shard, held in enumerate(places):
            own = {name: cut(params[name], place) for name, place in held.items()}
            state = {f"sum/{name}": -value for name, value in own.items()}
            digest = save_shard(tmp_path, None, number, shard, held, own, state)
            files.append(tmp_path / f".{number}.writing" / f"shard-{shard}-{digest[:16]}.safetensors")
        return StoredCheckpoint(tmp_path, tuple(files))

    return graph, params, shapes, saved


def places_in(graph, grid):
    parts = partition(graph, grid)
    return [owned_places(graph, parts, tile) for tile in range(parts.count)]


def test_checkpoints_are_read_in_any_cut(checkpoint):
    graph, params, shapes, saved = checkpoint
    cuts = {
        "whole": [dict.fromkeys(shapes)],
        "tiles": places_in(graph, Size(2, 3)),
        "others": places_in(graph, Size(1, 4)),
    }
    for number, written in enumerate(cuts.values()):
        stored = saved(written, number)
        for places in cuts["whole"] + cuts["tiles"] + cuts["others"]:
            found, state = stored.read(places, shapes)
            assert found.keys() == places.keys()
            for name, place in places.items():
                np.testing.assert_array_equal(found[name], cut(params[name], place), err_msg=name)
                np.testing.assert_array_equal(state[f"sum/{name}"], -found[name])


def test_a_missing_shard_is_noticed(checkpoint):
    graph, _, shapes, saved = checkpoint
    stored = saved(places_in(graph, Size(2, 3)), 0)
    with pytest.raises(Damaged, match="is missing"):
        replace(stored, files=stored.files[:-1]).read(dict.fromkeys(shapes), shapes)


def test_a_checkpoint_of_the_format_before_is_read(checkpoint, tmp_path):
    graph, params, shapes, _ = checkpoint
    path = CheckpointFolder.of(tmp_path, graph, 1).save(Checkpoint(3, params, {}))
    manifest = path / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"format": "3"', '"format": "2"'))
    for places in places_in(graph, Size(2, 3)):
        found, _ = opened(path).read(places, shapes)
        for name, place in places.items():
            np.testing.assert_array_equal(found[name], cut(params[name], place))


def test_initial_weights_are_the_same_in_every_cut():
    graph = compile_text(UNEVEN).graph
    everything = initial_params(graph, graph.training.seed)
    for places in places_in(graph, Size(2, 3)):
        for name, value in initial_shard(graph, places).items():
            np.testing.assert_array_equal(value, cut(everything[name], places[name]), err_msg=name)
