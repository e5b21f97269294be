"""The parameters of a tile in several shards: each value in just one, as even as they can be."""

import hashlib
import json
from math import prod

import numpy as np
import pytest
from generated_networks import networks
from hypothesis import given, settings
from hypothesis import strategies as st

import lnet
from lnet.compiler import pipeline
from lnet.compiler.core.shapes import Size, overlap, shape_at
from lnet.compiler.cut.shards import LEAST, best_shards, shard_places
from lnet.compiler.cut.weights import owned_places
from lnet.compiler.pipeline import compile_text
from lnet.compiler.plan.explain import worst_over_mean
from lnet.compiler.plan.plan import plan_from_json
from lnet.dsl.diagnostics import LnetError
from lnet.runtime.cluster.actors.numerics import TileParts

LOCAL = "network n {{ i: input({0}x{0}x3)\n f: local({1}, maps = {2})\n q: l2(of = f) }}\ntrain {{ replicas = {3} }}\n"


def cut_into(text, tiles, shards):
    return pipeline.lay_out(compile_text(text).graph, pipeline.Layout(tiles=tiles, shards_per_tile=shards))[0]


@given(networks(), st.integers(1, 3), st.integers(1, 3), st.integers(1, 7))
@settings(max_examples=60, deadline=None)
def test_every_value_of_a_tile_is_in_one_shard(text, rows, columns, shards):
    graph, cut = compile_text(text).graph, cut_into(text, Size(rows, columns), shards)
    for tile in range(cut.count):
        owned = owned_places(graph, cut, tile)
        for parameter in (p for p in graph.parameters if p.name in owned):
            counts = np.zeros(shape_at(parameter.shape, owned[parameter.name]), int)
            sizes = []
            for shard in cut.shards_of(tile):
                place = shard_places(graph, cut, shard).get(parameter.name, "nothing")
                sizes.append(0 if place == "nothing" else prod(shape_at(parameter.shape, place)))
                for _, here in (
                    () if place == "nothing" else overlap(place, owned[parameter.name], parameter.shape)
                ):
                    counts[here] += 1
            assert (counts == 1).all(), parameter.name
            assert max(sizes) == sizes[-1]


@given(networks(), st.integers(1, 5), st.integers(0, 10))
@settings(max_examples=30, deadline=None)
def test_what_is_divided_between_shards_is_joined_again(text, shards, seed):
    graph, cut = compile_text(text).graph, cut_into(text, Size(1, 2), shards)
    rng = np.random.default_rng(seed)
    for tile in range(cut.count):
        parts, owned = TileParts(graph, cut, tile), owned_places(graph, cut, tile)
        arrays = {
            p.name: rng.normal(size=shape_at(p.shape, owned[p.name])).astype(np.float32)
            for p in graph.parameters
            if p.name in owned
        }
        divided = parts.divided(arrays)
        assert len(divided) == shards
        joined = parts.joined(divided)
        assert joined.keys() == arrays.keys()
        for name, array in arrays.items():
            np.testing.assert_array_equal(joined[name], array)


@pytest.mark.parametrize(
    ("extent", "maps", "replicas", "shards"),
    [
        (12, 4, 8, 1),  # too small to be divided
        (40, 16, 1, 1),
        (40, 16, 5, 5),
        (40, 16, 7, 7),
        (40, 16, 23, 16),  # of 17.7 MiB: 17 parts of 31 x 31 positions would be as large
    ],
)
def test_a_tile_has_a_shard_for_each_replica(extent, maps, replicas, shards):
    plan = compile_text(LOCAL.format(extent, 10, maps, replicas))
    assert plan.partition.shards_per_tile == shards
    assert best_shards(plan.graph, plan.partition, replicas) == shards
    assert min(plan.costs[0].shards) * shards >= LEAST or shards == 1


def test_servers_of_a_tile_are_beside_different_replicas():
    plan = lnet.compile(lnet.parse(LOCAL.format(40, 10, 16, 3)), workers=12, replicas=3)
    assert plan.partition.shards_per_tile == 3
    for tile in range(plan.partition.count):
        homes = {plan.placement.servers[shard] for shard in plan.partition.shards_of(tile)}
        assert homes == {replica[tile] for replica in plan.placement.tiles}
    worst = worst_over_mean(plan)
    assert worst["memory"] < 1.1
    assert worst["parameters"] < 1.1
    alone = lnet.compile(lnet.parse(LOCAL.format(40, 10, 16, 3)), workers=12, replicas=3, shards_per_tile=1)
    assert worst_over_mean(alone)["parameters"] > 1.5


def test_a_plan_of_format_6_has_one_shard_a_tile():
    plan = compile_text(LOCAL.format(12, 5, 2, 2))
    data = json.loads(plan.to_json())
    older = {key: value for key, value in data["plan"]["partition"].items() if key != "shards_per_tile"}
    data["plan"]["partition"] = older
    with pytest.raises(LnetError, match="E605"):
        plan_from_json(json.dumps(data))
    text = json.dumps(data["plan"], sort_keys=True, separators=(",", ":"))
    data |= {"lnet plan": 6, "digest": hashlib.sha256(text.encode()).hexdigest()}
    assert plan_from_json(json.dumps(data)).partition == plan.partition
