"""The order of the images in a pass over the data: the image at each position, a permutation of 0..n-1.

    order 1    numpy's shuffle: an array of n numbers for each pass
    order 2    computed for one position at a time, so that nothing is stored: for `MANY` images or more

A run keeps its order, by its number in run.json and in its checkpoints; lnet 0.1 knew the first alone.

Order 2 is a Feistel network on pairs (Black & Rogaway 2002, "Ciphers with arbitrary finite domains"): position =
left + a * right, with left in 0..a-1, right in 0..b-1 and a * b just above n. A round adds to one half a number that
depends on the other half and a key; results of n and more are permuted again until one is below n.

    left  += mix(right, key 1)   mod a
    right += mix(left, key 2)    mod b
    ...
"""

from __future__ import annotations

from functools import lru_cache
from math import isqrt

import numpy as np
from numpy.typing import NDArray

STORED, COMPUTED = 1, 2
"""Numbers of the orders."""
MANY = 100_000
"""From this number of images on, their order is computed, and they are read through an index (index.py)."""
_ROUNDS = 8
_WORD = 2**64 - 1
_STREAM = 1  # of random numbers: one for windows (dataset.py), this one for permutations


def order_for(count: int) -> int:
    """Return the number of the order of a new run on so many images."""
    return COMPUTED if count >= MANY else STORED


def image_at(order: int, seed: int, number: int, position: int, count: int) -> int:
    """Return the image at a position of pass `number` over `count` images."""
    if order == STORED:
        return int(_stored(seed, number, count)[position])
    return _computed(_keys(seed, number), position, count)


@lru_cache(maxsize=4)
def _stored(seed: int, number: int, count: int) -> NDArray[np.int64]:
    return random_numbers(seed, number, _STREAM).permutation(count)


@lru_cache(maxsize=4)
def _keys(seed: int, number: int) -> tuple[int, ...]:
    drawn = random_numbers(seed, number, _STREAM).integers(0, _WORD, _ROUNDS, np.uint64, endpoint=True)
    return tuple(drawn.tolist())


def _computed(keys: tuple[int, ...], position: int, count: int) -> int:
    narrow = max(1, isqrt(count - 1))
    wide = -(-count // narrow)
    while True:
        right, left = divmod(position, narrow)
        for at in range(0, _ROUNDS, 2):
            left = (left + _mix(right, keys[at])) % narrow
            right = (right + _mix(left, keys[at + 1])) % wide
        position = left + narrow * right
        if position < count:
            return position


def _mix(value: int, key: int) -> int:
    """Return 64 bits that all depend on all bits of both (the finalizer of splitmix64, Steele et al. 2014)."""
    value = ((value + 1) * 0x9E3779B97F4A7C15 ^ key) & _WORD
    value = ((value ^ value >> 30) * 0xBF58476D1CE4E5B9) & _WORD
    value = ((value ^ value >> 27) * 0x94D049BB133111EB) & _WORD
    return value ^ value >> 31


def random_numbers(seed: int, number: int, stream: int, view: int = 0) -> np.random.Generator:
    """Return random numbers that depend on seed, number, stream and view alone (Salmon et al. 2011)."""
    counter = np.array([0, 0, view, stream], np.uint64)
    return np.random.Generator(np.random.Philox(key=np.array([seed, number], np.uint64), counter=counter))
