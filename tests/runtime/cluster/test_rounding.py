"""What is rounded for the wire is half as large, and stays what it is however often it is sent on."""

import jax.numpy as jnp
import numpy as np

from lnet.runtime.engine.rounding import incoming, outgoing


def arrays():
    values = np.random.default_rng(0).normal(size=(3, 50)).astype(np.float32)
    return {"a": jnp.asarray(values), "b": values * np.float32(1e-20)}


def test_rounded_values_are_close_and_half_as_large():
    sent = outgoing(arrays(), rounded=True)
    for name, value in arrays().items():
        assert 2 * sent[name].nbytes == value.nbytes
        found = np.asarray(incoming(sent)[name], np.float32)
        assert (np.abs(found - value) <= 2.0**-8 * np.abs(value)).all()
        assert (found != value).any()


def test_others_are_sent_as_they_are():
    for name, value in arrays().items():
        np.testing.assert_array_equal(incoming(outgoing(arrays()))[name], value)


def test_a_standby_gets_the_bits_that_its_primary_got():
    first = outgoing(arrays(), rounded=True)
    again = outgoing(incoming(first))
    for name, bits in first.items():
        np.testing.assert_array_equal(again[name], bits)


def test_what_is_no_payload_is_left_to_whoever_checks_it():
    assert incoming([1]) == [1]
    assert incoming({"a": "text"}) == {"a": "text"}
