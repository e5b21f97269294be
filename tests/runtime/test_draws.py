"""Random numbers of many samples at once are those of a generator for each."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lnet.runtime.data.draws import uniform
from lnet.runtime.data.order import random_numbers

NUMBERS = st.integers(0, 2**62)


@given(
    st.integers(0, 2**64 - 1),
    st.lists(st.tuples(NUMBERS, st.integers(0, 1)), min_size=1),
    st.integers(0, 2**20),
)
def test_they_are_those_of_numpys_philox(seed, samples, stream):
    numbers, views = np.array(samples).T
    expected = [random_numbers(seed, number, stream, view).random(9) for number, view in samples]
    np.testing.assert_array_equal(uniform(seed, numbers, views, stream, 9), expected)


@pytest.mark.parametrize("count", [1, 4, 5])
def test_fewer_numbers_are_the_first_of_more(count):
    numbers, views = np.arange(50), np.arange(50) % 2
    many = uniform(7, numbers, views, 3, 12)
    np.testing.assert_array_equal(uniform(7, numbers, views, 3, count), many[:, :count])
    assert 0 <= many.min() < 0.01 < 0.99 < many.max() < 1
    assert len(np.unique(many)) == many.size
