"""What layers ask for that compute otherwise in training than in evaluation, and random numbers by counter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.random import threefry2x32_p
from numpy.typing import NDArray

from lnet.compiler.core.shapes import Region, Sheet

from .initial import key_of


@dataclass(frozen=True)
class Mode:
    """Training or evaluation, for one layer.

    `samples`: in training the numbers of the batch's samples in the run, `[2, batch]` (`sample_numbers`); else None. `held`:
    the layer's parameters stay as they are (`--freeze`).
    """

    seed: int
    path: str
    samples: jax.Array | None
    held: bool = False

    @property
    def by_batch(self) -> bool:
        """Whether a batch is normalised by its own mean and variance, and moves the running ones."""
        return self.samples is not None and not self.held


EVALUATION = Mode(0, "", None)
"""Evaluation of any layer: nothing is drawn, and no batch has a mean of its own."""


def sample_numbers(first: int, count: int) -> NDArray[np.uint32]:
    """Return the numbers of samples from `first` on, as two words each: `[2, count]`."""
    numbers = np.arange(first, first + count, dtype=np.uint64)
    return np.stack([numbers & np.uint64(2**32 - 1), numbers >> np.uint64(32)]).astype(np.uint32)


def random_words(mode: Mode, sheet: Sheet, within: Region) -> jax.Array:
    """Return a random word for every unit of a region of a sheet, and every sample: `[rows, columns, maps, batch]`.

    Threefry-2x32 (Salmon et al. 2011) of the unit's number in the whole sheet, under a key that is that of the sample's
    number, under the key of seed and layer. So tiles draw the same words, and so does whichever replica has the sample.
    """
    assert mode.samples is not None, "evaluation draws nothing"
    samples = _threefry(key_of(mode.seed, f"{mode.path} noise"), mode.samples)
    rows, columns, maps = jnp.indices((*_extents(within), sheet.maps), jnp.uint32)
    position = (rows + within.rows.start) * sheet.width + columns + within.columns.start
    units = (position * sheet.maps + maps)[..., None]
    words: jax.Array = _threefry(samples[:, None, None, None], [units, jnp.zeros_like(units)])[0]
    return words


def _extents(region: Region) -> tuple[int, int]:
    return region.rows.length, region.columns.length


def _threefry(key: Any, counters: Any) -> jax.Array:
    """Return two words for each counter of two, under keys of two; all are broadcast to one shape."""
    words = jnp.broadcast_arrays(key[0], key[1], counters[0], counters[1])
    found: list[jax.Array] = threefry2x32_p.bind(*words)  # type: ignore[no-untyped-call]
    return jnp.stack(found)
