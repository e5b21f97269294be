"""Top stimuli: the images with the strongest responses, found in one pass that holds only those it returns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from lnet.dsl.diagnostics import refused
from lnet.runtime.data import Batch
from lnet.runtime.engine.network import Network

from .neurons import Array, Neuron, find_neurons, respond


@dataclass(frozen=True, slots=True)
class Liked:
    """An image `[row, column, channel]`, normalised, and a neuron's response to it."""

    response: float
    image: Array
    name: str


@dataclass(frozen=True, slots=True)
class Survey:
    """The top images of every neuron, best first, the number of images seen, and their mean norm."""

    top: dict[Neuron, tuple[Liked, ...]]
    images: int
    norm: float


def top_stimuli(
    network: Network, neurons: Iterable[str], batches: Iterable[Batch], count: int = 16
) -> Survey:
    """Return the `count` images of `batches` that excite each neuron most.

    Of images with the same response those that came first. Raises `LnetError` for a neuron or a number that
    cannot be. (Le et al. 2012, section 4.4.)
    """
    if count < 1:
        raise refused("E780", f"the number of images must be positive, found {count}")
    found = tuple(dict.fromkeys(find_neurons(network.graph, tuple(neurons))))
    top: dict[Neuron, tuple[Liked, ...]] = dict.fromkeys(found, ())
    images, norms = 0, 0.0
    for batch in batches:
        values = respond(network, found, batch.images)
        for neuron, row in zip(found, values, strict=True):
            top[neuron] = _best(top[neuron], row, batch, count)
        images += len(batch.images)
        norms += float(np.sqrt(np.square(batch.images, dtype=np.float64).sum((1, 2, 3))).sum())
    return Survey(top, images, norms / max(images, 1))


def _best(kept: tuple[Liked, ...], row: Array, batch: Batch, count: int) -> tuple[Liked, ...]:
    order = np.argsort(-row, kind="stable")[:count]
    new = [Liked(float(row[i]), batch.images[i].copy(), batch.names[i]) for i in order]
    return tuple(sorted([*kept, *new], key=lambda liked: -liked.response)[:count])
