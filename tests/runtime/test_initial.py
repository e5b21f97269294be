"""Initial weights: normal, of their own, and the same whatever part is asked for."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lnet.compiler.core.learned import Spread
from lnet.compiler.core.shapes import Interval, Region
from lnet.runtime.kernels.initial import initial_weight


def test_initial_weights_are_normal_and_their_own():
    weight = np.asarray(initial_weight(3, "V1.weight", (6, 7, 5, 5, 2, 4), Spread(False, 50**-0.5))) * 50**0.5
    assert abs(weight.mean()) < 0.02
    assert weight.std() == pytest.approx(1, abs=0.02)
    flat = weight.reshape(42, -1)
    correlation = np.corrcoef(flat) - np.eye(42)
    assert np.abs(correlation).max() < 0.35
    for seed, name in ((4, "V1.weight"), (3, "V2.weight")):
        other = np.asarray(initial_weight(seed, name, (6, 7, 5, 5, 2, 4), Spread(False, 50**-0.5)))
        assert abs(np.corrcoef(weight.ravel(), other.ravel())[0, 1]) < 0.05


@given(st.integers(0, 5), st.integers(0, 6), st.integers(1, 6), st.integers(1, 7), st.integers(0, 2**63 - 1))
@settings(max_examples=20, deadline=None)
def test_a_part_of_the_initial_weights_is_that_part_of_the_whole(top, left, rows, columns, seed):
    shape = (6, 7, 2, 2, 1, 3)
    region = Region(Interval(top, min(6, top + rows)), Interval(left, min(7, left + columns)))
    whole = np.asarray(initial_weight(seed, "a", shape, Spread(False, 0.5)))
    part = np.asarray(initial_weight(seed, "a", shape, Spread(False, 0.5), region))
    np.testing.assert_array_equal(
        part, whole[region.rows.start : region.rows.stop, region.columns.start : region.columns.stop]
    )


def test_known_initial_weights_never_change():
    """A checkpoint's run must begin with the same weights for ever: the generator's published test vector."""
    from jax.extend.random import threefry_2x32

    words = threefry_2x32(
        jnp.array([0x13198A2E, 0x03707344], jnp.uint32), jnp.array([0x243F6A88, 0x85A308D3], jnp.uint32)
    )
    assert [hex(int(word)) for word in words] == ["0xc4923a9c", "0x483df7a0"]
