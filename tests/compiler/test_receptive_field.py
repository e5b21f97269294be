"""Receptive fields against gradients: what a neuron sees is where its value depends on the image."""

import jax
import numpy as np
import pytest
from generated_networks import networks
from hypothesis import HealthCheck, given, settings

import lnet
from lnet.compiler.core.shapes import Interval, Region
from lnet.compiler.graph.receptive_field import receptive_field, receptive_region
from lnet.compiler.pipeline import compile_text
from lnet.runtime.engine.evaluate import batch_last, layer_values
from lnet.runtime.engine.network import initial_params

CATFACE = "examples/catface/model.lnet"


def test_the_fields_of_the_published_network():
    graph = lnet.compile(CATFACE).graph
    seen = {layer.path: receptive_field(graph, layer.path).rows for layer in graph.visible}
    assert (seen["V1.filter"], seen["V1.pool"], seen["V1.norm"], seen["V3.norm"]) == (18, 22, 30, 88)


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

    moved = np.abs(np.asarray(jax.grad(neuron)(images))).sum((2, 3)) > 0
    region = receptive_region(graph, last.path, Region(Interval(row, row + 1), Interval(column, column + 1)))
    moved[region.rows.start : region.rows.stop, region.columns.start : region.columns.stop] = False
    assert not moved.any()
