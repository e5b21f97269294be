"""Random networks of the language against the float64 formulas."""

import numpy as np
import pytest
import reference
from generated_networks import networks
from hypothesis import HealthCheck, Phase, given, settings

from lnet.compiler.pipeline import compile_text
from lnet.runtime.engine.network import Network


@pytest.mark.slow
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
@given(networks())
def test_values_loss_and_gradients(text):
    network = Network(compile_text(text))
    rng = np.random.default_rng(5)
    for name, value in network.params.items():
        if name.endswith("bias"):
            network.params[name] = rng.normal(size=value.shape).astype(np.float32)
    sheet = network.graph.input.sheet
    images = rng.normal(size=(2, sheet.height, sheet.width, sheet.maps)).astype(np.float32)
    expected = reference.values(network.graph, network.params, images)
    for path, value in network(images).items():
        np.testing.assert_allclose(
            value, expected[path], rtol=0, atol=1e-4 * np.abs(expected[path]).max() + 1e-7
        )
    loss = reference.loss(network.graph, network.params, images, None)
    assert network.loss(images) == pytest.approx(loss, rel=1e-4, abs=1e-5)
    still = {p.name for p in network.graph.parameters if p.momentum is not None}  # running values have none
    gradients = {name: g for name, g in network.gradients(images).items() if name not in still}
    direction = {name: rng.normal(size=g.shape) for name, g in gradients.items()}
    found = sum(float((gradients[name] * direction[name]).sum()) for name in gradients)
    slope, kinks = reference.slope(network.graph, network.params, direction, images)
    length = np.sqrt(sum(float((d**2).sum()) for d in direction.values()))
    norm = np.sqrt(sum(float((g.astype(float) ** 2).sum()) for g in gradients.values()))
    assert abs(found - slope) <= 1e-3 * norm * length + 1e-4 + kinks
