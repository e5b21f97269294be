"""What a server does with updates: how much of the rate an old one takes, and that what was read of it stays."""

import numpy as np
import pytest

from lnet.compiler.pipeline import compile_text
from lnet.runtime.cluster.actors.numerics import Server, as_numpy
from lnet.runtime.cluster.config import RunConfig
from lnet.runtime.engine.updates import named_state

TEXT = "network n { image: input(6x6x1); f: local(3, 2) } train { update = %s }"
RULES = ("sgd(rate = 0.1)", "sgd(rate = 0.1, momentum = 0.9)", "adam(rate = 0.1)", "adagrad(rate = 0.1)")

HELD = {
    "nothing": lambda read: {},
    "what was read": lambda read: read,
    "its arrays": dict,
    "numpy's view of them": as_numpy,
}
"""What somebody keeps of parameters."""


def begun(update):
    plan = compile_text(TEXT % update)
    server = Server(RunConfig("run", plan.to_json(), ".", ".", None, workers=1, capacity=1), 0)
    server.begin()
    return server


def ones(server):
    return [{name: np.ones(value.shape, np.float32) for name, value in server.params.items()}]


def after(update, age):
    """Return what one update of ones, `age` updates old, changes, and the rule's state."""
    server = begun(update)
    before = dict(server.params)
    server.apply(ones(server), age)
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


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("held", HELD)
def test_parameters_that_were_read_stay_and_change_nothing(rule, held):
    server, alone = begun(rule), begun(rule)
    kept, copies = [], []
    for _ in range(6):
        kept.append(HELD[held](server.read()))
        copies.append({name: np.array(value) for name, value in kept[-1].items()})
        server.apply(ones(server), 0)
        alone.spare = None
        alone.apply(ones(alone), 0)
    for found, wanted in zip(kept, copies, strict=True):
        for name, value in found.items():
            np.testing.assert_array_equal(value, wanted[name])
    for name, value in alone.params.items():
        np.testing.assert_array_equal(server.params[name], value)


@pytest.mark.parametrize("rule", RULES)
def test_an_update_takes_no_new_memory_when_nobody_holds_the_old(rule):
    server, places = begun(rule), []
    for _ in range(6):
        server.apply(ones(server), 0)
        places.append([value.unsafe_buffer_pointer() for value in server.params.values()])
    assert places[2:] == places[:-2]
