"""The neuron test, streaming: memory grows with neurons and with images, never with their product.

A neuron's response r is held against 20 thresholds, equally spaced strictly between the smallest and the largest
response in the images that it is chosen on:

    low                                                              high
     |----+----+----+----+----+----+-- ... --+----+----+----+----+----|      t_k = low + k (high - low) / 21
         t_1  t_2  t_3                                     t_19  t_20         k = 1 .. 20, in float32

Its accuracy is the best of 20: the share of images where `r > t_k` agrees with the label; for its negation, where
`not r > t_k` agrees. The neuron with the best accuracy is chosen, on a tie the first in the order row, column, map, with
its lowest best threshold. Three passes over the images:

    1  low and high of every neuron                             [selection, neuron]
    2  at each threshold, positives and negatives above it      [selection, threshold, label, neuron]
    3  all responses of the few neurons that were chosen        [neuron, image]

Selections are sets of images to choose on: all of them, as the original did, and one half, for the honest figure.
Minima, maxima and counts do not depend on the order or the batches of images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from .subjects import Responses

THRESHOLDS = 20
Array = NDArray[Any]
Places = NDArray[np.int64]
T = TypeVar("T")


class Statistic(Protocol[T]):
    """A result of one pass over the images: mapped over batches, then merged."""

    def map(self, responses: Responses, numbers: Places) -> T:
        """Return the result of a batch: `responses` has a column for each of `numbers`, and may have more."""

    def merge(self, one: T, other: T) -> T:
        """Return the result of two batches, in their order."""


@dataclass(frozen=True)
class Range:
    """Smallest and largest response `[selection, neuron]` in each of `selections` `[selection, image]`."""

    selections: NDArray[np.bool_]

    def map(self, responses: Responses, numbers: Places) -> dict[str, tuple[Array, Array]]:
        return {
            group: _host(_range(r, _columns(self.selections, numbers, r.shape[1])))
            for group, r in responses.items()
        }

    def merge(
        self, one: dict[str, tuple[Array, Array]], other: dict[str, tuple[Array, Array]]
    ) -> dict[str, tuple[Array, Array]]:
        return {
            group: (np.minimum(low, other[group][0]), np.maximum(high, other[group][1]))
            for group, (low, high) in one.items()
        }


@dataclass(frozen=True)
class Counts:
    """Images above each of `thresholds` `[selection, threshold, neuron]`, by label: negatives, positives."""

    selections: NDArray[np.bool_]
    positive: NDArray[np.bool_]
    thresholds: Mapping[str, Array]

    def map(self, responses: Responses, numbers: Places) -> dict[str, Array]:
        kinds = np.stack([self.selections & ~self.positive, self.selections & self.positive], 1)
        return {
            group: np.asarray(
                _counts(r, self.thresholds[group], _columns(kinds, numbers, r.shape[1]))
            ).astype(np.int64)
            for group, r in responses.items()
        }

    def merge(self, one: dict[str, Array], other: dict[str, Array]) -> dict[str, Array]:
        return {group: count + other[group] for group, count in one.items()}


@dataclass(frozen=True)
class Chosen:
    """The responses `[neuron, image]` of a few neurons of each group, by their numbers."""

    units: Mapping[str, Array]

    def map(self, responses: Responses, numbers: Places) -> dict[str, Array]:
        return {
            group: np.asarray(responses[group][units])[:, : len(numbers)]
            for group, units in self.units.items()
        }

    def merge(self, one: dict[str, Array], other: dict[str, Array]) -> dict[str, Array]:
        return {group: np.concatenate([found, other[group]], 1) for group, found in one.items()}


def _columns(masks: Array, numbers: Places, width: int) -> Array:
    """Return the masks `[..., column]` of a batch, False in padded columns."""
    columns = np.zeros((*masks.shape[:-1], width), masks.dtype)
    columns[..., : len(numbers)] = masks[..., numbers]
    return columns


def _host(arrays: tuple[jax.Array, jax.Array]) -> tuple[Array, Array]:
    low, high = arrays
    return np.asarray(low), np.asarray(high)


@jax.jit
def _range(responses: jax.Array, members: jax.Array) -> tuple[jax.Array, jax.Array]:
    """NaN propagates, so that it is not overlooked."""
    low = [jnp.where(m, responses, jnp.inf).min(1) for m in members]
    high = [jnp.where(m, responses, -jnp.inf).max(1) for m in members]
    return jnp.stack(low), jnp.stack(high)


@jax.jit
def _counts(responses: jax.Array, thresholds: jax.Array, kinds: jax.Array) -> jax.Array:
    """Return `[selection, threshold, label, neuron]`; sums of ones are exact in float32 up to 2^24 images a batch."""

    def above(threshold: jax.Array, kind: jax.Array) -> jax.Array:
        hits = (responses > threshold[:, None]).astype(jnp.float32)
        return (kind.astype(jnp.float32) @ hits.T).astype(jnp.int32)

    return jnp.stack(
        [jax.lax.map(partial(above, kind=kind), t) for t, kind in zip(thresholds, kinds, strict=True)]
    )


def thresholds_between(low: Array, high: Array) -> Array:
    """Return the thresholds `[selection, threshold, neuron]` between ends `[selection, neuron]`."""
    parts = np.arange(1, THRESHOLDS + 1, dtype=low.dtype)[:, None] / low.dtype.type(THRESHOLDS + 1)
    thresholds: Array = low[:, None] + parts * (high - low)[:, None]
    return thresholds


def accuracies(counts: Array, positives: Array) -> Array:
    """Return the accuracy `[selection, threshold, neuron]` of "response > threshold".

    `counts` is `[selection, threshold, label, neuron]`; `positives` has the negatives and positives of each selection.
    """
    negatives_right = positives[:, 0, None, None] - counts[:, :, 0]
    share: Array = (negatives_right + counts[:, :, 1]) / positives.sum(1)[:, None, None]
    return share
