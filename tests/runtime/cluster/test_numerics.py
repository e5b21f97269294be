"""What a server does with updates: how much of the rate an old one takes."""

import numpy as np
import pytest

from lnet.compiler.pipeline import compile_text
from lnet.runtime.cluster.brief import Brief
from lnet.runtime.cluster.numerics import Server
from lnet.runtime.updates import named_state

TEXT = "network n { image: input(6x6x1); f: local(3, 2) } train { update = %s }"
RULES = ("sgd(rate = 0.1)", "sgd(rate = 0.1, momentum = 0.9)", "adam(rate = 0.1)", "adagrad(rate = 0.1)")


def after(update, age):
    """Return what one update of ones, `age` updates old, changes, and the rule's state."""
    plan = compile_text(TEXT % update)
    server = Server(Brief("run", plan.to_json(), ".", ".", None, workers=1, capacity=1), 0)
    server.begin()
    before = dict(server.params)
    server.apply([{name: np.ones(value.shape, np.float32) for name, value in before.items()}], age)
    return {name: server.params[name] - value for name, value in before.items()}, named_state(server.state)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("age", "share"), [(0, 1), (1, 1), (4, 0.25)])
def test_a_scaled_update_takes_its_share_of_the_rate_and_counts_whole_in_the_state(rule, age, share):
    full, full_state = after(rule, age)
    scaled, scaled_state = after(rule.replace(")", ", stale = scaled)"), age)
    for name, change in full.items():
        assert np.all(change != 0)
        np.testing.assert_allclose(scaled[name], share * change, rtol=1e-5, atol=1e-7)
    for name, value in full_state.items():
        np.testing.assert_array_equal(scaled_state[name], value)
