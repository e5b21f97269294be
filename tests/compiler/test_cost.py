import json
import subprocess
import sys

import pytest

import lnet
from lnet.compiler.cut.cost import encoding_weights, layer_cost, tile_costs, totals
from lnet.compiler.pipeline import compile_text
from lnet.compiler.plan.explain import explain_data, worst_over_mean

CATFACE = "examples/catface/model.lnet"


def test_the_published_count_of_weights():
    plan = lnet.compile(CATFACE)
    weights = {layer.path: layer_cost(plan.graph, layer).weights for layer in plan.graph.visible}
    assert (weights["V1.filter"], weights["V2.filter"], weights["V3.filter"]) == (
        260_410_464,
        517_653_504,
        366_799_104,
    )
    assert encoding_weights(plan.graph) == 1_144_863_072
    assert totals(plan.graph, plan.partition).parameters == 2 * 1_144_863_072
    assert "1,144,863,072 encoding weights" in plan.explain()


MEASURE = f"""
import json
import lnet
from tests.memory import peak
plan = lnet.compile({CATFACE!r}, workers=845)
text = plan.to_json()
print(json.dumps([plan.partition.count, len(plan.placement.tiles), len(text), peak()]))
"""


@pytest.mark.slow
def test_nothing_is_allocated_per_weight_or_neuron():
    """The full network on 845 workers stays far below a gibibyte, plan and all."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True, timeout=300
    )
    tiles, replicas, size, mebibytes = json.loads(done.stdout)
    assert (tiles, replicas) == (169, 5)
    assert size < 20e6
    assert mebibytes < 300


def plan_of(body, after="", **layout):
    source = f"network n {{ image: input(12x12x2); {body} }}\n{after}"
    return lnet.compile(lnet.parse(source), **layout)


def test_memory_of_one_tile():
    plan = plan_of("f: local(3, 4); q: l2()", "train { batch = 7; update = adam(rate = 0.1) }")
    (cost,) = tile_costs(plan.graph, plan.partition)
    weights = 10 * 10 * 3 * 3 * 2 * 4
    assert cost.parameters == cost.gradients == 4 * weights
    assert cost.server == 3 * 4 * weights
    assert cost.activations == 4 * 7 * (12 * 12 * 2 + 10 * 10 * 4)
    assert (cost.halo, cost.reduction) == (0, 0)


def test_tiles_share_out_parameters_and_reduce_shared_ones():
    """The dense layer is cut like what it reads; the shared weights are with the tile that has least, of four like it."""
    plan = plan_of("f: local(3, 4); g: local(3, 4, share = all); d: dense(5); q: l2()", workers=4)
    costs = tile_costs(plan.graph, plan.partition)
    own = 10 * 10 * 3 * 3 * 2 * 4
    shared = 3 * 3 * 4 * 4 + (8 * 8 * 4 * 5 + 5)
    assert sum(cost.server for cost in costs) == 2 * 4 * (own + shared)
    conv = 3 * 3 * 4 * 4
    assert [cost.reduction for cost in costs] == [0, 8 * conv, 8 * conv, 8 * conv]


def test_smooth_needs_the_weights_of_neighbours():
    plan = plan_of("f: local(3, 4); q: smooth()", workers=2)
    costs = tile_costs(plan.graph, plan.partition)
    strip = 10 * 3 * 3 * 2 * 4  # of the tile right of it; the gradient goes back
    assert [cost.reduction for cost in costs] == [2 * 4 * strip, 0]


def test_fetching_seldom_moves_less():
    often, seldom = (
        plan_of("f: local(3, 4); q: l2()", f"train {{ fetch = {n}; push = {n} }}") for n in (1, 10)
    )
    (one,), (ten,) = (tile_costs(plan.graph, plan.partition) for plan in (often, seldom))
    assert ten.traffic == pytest.approx(one.traffic / 10)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [845, 20])
def test_many_classes_weigh_on_all_workers_alike(workers):
    plan = lnet.compile("examples/imagenet22k/model.lnet", workers=workers)
    worst = worst_over_mean(plan)
    assert worst["memory"] < 2
    assert worst["exchanged"] < 1.5
    assert max(cost.messages for cost in plan.costs) < 700
    assert max(2 * cost.dense for cost in plan.costs) < 5 * 21841 * 100 * 4


def test_json_has_every_worker_and_tile():
    data = explain_data(lnet.compile(CATFACE, workers=845))
    assert (len(data["workers"]), len(data["tiles"]), data["grid"]) == (845, 169, [13, 13])
    assert data["totals"]["encoding_weights"] == 1_144_863_072
    assert data["layers"][1]["receptive_field"] == [18, 18]
    json.dumps(data)


def test_multiply_adds_of_a_shared_layer_count_every_position():
    plan = compile_text("network n { image: input(6x6x2); f: local(3, 5, share = all); q: l2() }")
    cost = layer_cost(plan.graph, plan.graph.layer("f"))
    assert cost.weights == 3 * 3 * 2 * 5
    assert cost.multiply_adds == 4 * 4 * 3 * 3 * 2 * 5
