"""Random numbers for many samples at once, each a function of seed, sample, view and stream alone.

A generator based on counters (Philox 4x64, Salmon et al. 2011), so nothing is kept between two numbers: any process draws
the same for a sample, in any order. They are the numbers of `order.random_numbers`, which makes a generator for one sample;
making it takes longer than drawing for a hundred samples here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]

_ROUNDS = 10
_MULTIPLIERS = 0xD2E7470EE14C6C93, 0xCA5A826395121157
_KEY_STEPS = 0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B
_WORD, _HALF = 2**64 - 1, np.uint64(2**32 - 1)
_32, _11 = np.uint64(32), np.uint64(11)


def uniform(
    seed: int, numbers: NDArray[np.int64], views: NDArray[np.int64], stream: int, count: int
) -> NDArray[np.float64]:
    """Return `count` numbers in 0..1 for each sample and its view, `[samples, count]`."""
    blocks = [_block(seed, numbers, views, stream, number) for number in range(1, -(-count // 4) + 1)]
    words = np.concatenate(blocks, axis=1)[:, :count]
    return (words >> _11).astype(np.float64) * 2.0**-53


def _block(
    seed: int, numbers: NDArray[np.int64], views: NDArray[np.int64], stream: int, number: int
) -> Words:
    """Return block `number` of four words for each sample, `[samples, 4]`."""
    first, second = np.full(len(numbers), number, np.uint64), np.zeros(len(numbers), np.uint64)
    third, fourth = views.astype(np.uint64), np.full(len(numbers), stream, np.uint64)
    keys = seed, numbers.astype(np.uint64)
    for at in range(_ROUNDS):
        of_seed = np.uint64((keys[0] + at * _KEY_STEPS[0]) & _WORD)
        of_number = keys[1] + np.uint64(at * _KEY_STEPS[1] & _WORD)
        (high, fourth_next), (high_third, second_next) = (
            _product(word, by) for word, by in zip((first, third), _MULTIPLIERS, strict=True)
        )
        first, third = high_third ^ second ^ of_seed, high ^ fourth ^ of_number
        second, fourth = second_next, fourth_next
    return np.stack([first, second, third, fourth], axis=1)


def _product(words: Words, by: int) -> tuple[Words, Words]:
    """Return the high and the low word of products of 128 bits."""
    least, most = words & _HALF, words >> _32
    by_least, by_most = np.uint64(by & 0xFFFFFFFF), np.uint64(by >> 32)
    middle = most * by_least + (least * by_least >> _32)
    other = least * by_most + (middle & _HALF)
    return most * by_most + (middle >> _32) + (other >> _32), words * np.uint64(by)
