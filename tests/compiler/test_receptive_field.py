"""Receptive fields against gradients: what a neuron sees is where its value depends on the image."""

import jax
import numpy as np
import pytest
from generated_networks import networks
from hypothesis import HealthCheck, given, settings
from quickly import quickly

import lnet
from lnet.compiler.core.shapes import Interval, Region
from lnet.compiler.graph.receptive_field import receptive_field, receptive_region
from lnet.compiler.ops.lcn import LCN
from lnet.compiler.pipeline import compile_text
from lnet.runtime.engine.evaluate import batch_last, layer_values
from lnet.runtime.engine.network import initial_params

CATFACE = "examples/catface/model.lnet"


def test_the_fields_of_the_published_network():
    graph = lnet.compile(CATFACE).graph
    seen = {layer.path: receptive_field(graph, layer.path).rows for layer in graph.visible}
    assert (seen["V1.filter"], seen["V1.pool"], seen["V1.norm"], seen["V3.norm"]) == (18, 22, 30, 88)


def test_the_fields_of_a_deep_network_take_steps_for_each_layer_alone(monkeypatch):
    """Twice as deep takes twice the steps, not four times; a neuron of a deep layer sees everything."""
    text = "network n {{ image: input(9x9x1); deep[{}]: lcn(3); end: add([deep[0], deep[{}]]); q: l2() }}"
    steps = []
    needs_of = LCN.needs_of
    monkeypatch.setattr(LCN, "needs_of", lambda *args: steps.append(1) or needs_of(*args))
    counts = []
    for depth in (100, 200, 400):
        graph = compile_text(text.format(depth, depth - 1)).graph
        steps.clear()
        seen = [str(receptive_field(graph, layer.path)) for layer in graph.visible]
        assert seen[:4] == ["1x1", "5x5", "9x9", "9x9"]
        assert seen[-1] == "9x9"
        counts.append(len(steps))
    assert counts[2] - counts[1] == 2 * (counts[1] - counts[0])


@pytest.mark.slow
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(networks())
def test_nothing_outside_the_field_matters(text):
    graph = compile_text(text).graph
    last = graph.output
    params = initial_params(graph, 3)
    sheet = graph.input.sheet
    images = batch_last(jax.random.normal(jax.random.key(1), (1, sheet.height, sheet.width, sheet.maps)))
    row, column = last.sheet.height // 2, last.sheet.width // 2

    def neuron(x):
        return layer_values(graph, params, x)[last.path][row, column].sum()

    moved = np.abs(np.asarray(quickly(jax.grad(neuron))(images))).sum((2, 3)) > 0
    region = receptive_region(graph, last.path, Region(Interval(row, row + 1), Interval(column, column + 1)))
    moved[region.rows.start : region.rows.stop, region.columns.start : region.columns.stop] = False
    assert not moved.any()
