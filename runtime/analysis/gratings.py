"""Preferred orientations of a layer's neurons, from their filters or from their responses to gratings.

Orientations are those of the bars, in degrees counter-clockwise from horizontal, 0 to 180. A grating's wave runs across
its bars:

    bars 90     | | | |        wave  ->  right            bars 0     =====      wave  |  down
                | | | |                                              =====            v

A neuron's response to an orientation is the mean over all phases of its positive responses, at its preferred period;
its preference is the angle of their resultant (doubled angles), its selectivity the resultant's length: 1 if it responds
to one orientation alone, 0 if to all alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnet.compiler.core.shapes import Size
from lnet.compiler.settings import Normalization
from lnet.runtime.data.pixels import normalize
from lnet.runtime.engine.network import Network
from lnet.runtime.process.counted import counted

from .filters import resultant
from .neurons import Array, values_of

ORIENTATIONS = np.arange(0.0, 180.0, 15.0)
PHASES = np.arange(8) * (2 * np.pi / 8)
SHORTEST = 4.0
"""The shortest period in pixels; others are longer by factors of sqrt(2), up to half the image."""


@dataclass(frozen=True)
class Preference:
    """The preference of each neuron `[row, column, map]`: `orientation` in degrees, `selectivity` from 0 to 1."""

    orientation: Array
    selectivity: Array


def periods(size: Size) -> Array:
    """Return the periods of gratings, in pixels."""
    octaves = np.log2(max(1.0, min(size.rows, size.columns) / 2 / SHORTEST))
    return SHORTEST * 2.0 ** np.arange(0, octaves + 1e-9, 0.5)


def gratings(size: Size, maps: int, orientation: float, period: float) -> NDArray[np.float32]:
    """Return a grating in all phases, `[phase, row, column, channel]` in 0..1."""
    angle = np.deg2rad(orientation)
    rows, columns = np.mgrid[: size.rows, : size.columns]
    along = (np.cos(angle) * rows + np.sin(angle) * columns) * (2 * np.pi / period)
    waves = 0.5 + 0.5 * np.cos(along + PHASES[:, None, None])
    return np.repeat(waves[..., None], maps, axis=-1).astype(np.float32)


def tuning(network: Network, path: str, how: Normalization) -> Array:
    """Return the responses of a layer to gratings, normalised as `how` says: `[orientation, period, row, column, map]`."""
    sheet, value = network.graph.input.sheet, network.graph.layer(path).sheet
    lengths = periods(sheet.size)
    shape = (len(ORIENTATIONS), len(lengths), value.height, value.width, value.maps)
    found = np.zeros(shape, np.float32)
    shown = [(i, j) for i in range(len(ORIENTATIONS)) for j in range(len(lengths))]
    for i, j in counted("gratings", shown, len(shown)):
        images = normalize(gratings(sheet.size, sheet.maps, ORIENTATIONS[i], lengths[j]), how)
        found[i, j] = np.maximum(values_of(network, path, images), 0).mean(0)
    return found


def preference_of_responses(tuned: Array) -> Preference:
    """Return the preferences of neurons from their tuning `[orientation, period, row, column, map]`."""
    best = tuned.max(0).argmax(0)
    curve = np.take_along_axis(tuned, best[None, None], axis=1)[:, 0]
    doubled = np.exp(2j * np.deg2rad(ORIENTATIONS))
    return _preference(np.einsum("o,oijm->ijm", doubled, curve), curve.sum(0))


def preference_of_filters(weights: Array) -> Preference:
    """Return the preferences of filters `[row, column, field row, field column, channel, map]`."""
    rows, columns, *field, channels, maps = weights.shape
    filters = np.moveaxis(weights, -1, 2).reshape(-1, *field, channels)
    wave = resultant(filters).reshape(rows, columns, maps)
    return _preference(-wave.conj(), np.ones(wave.shape))  # bars: 90 degrees less the wave's angle


def _preference(sums: NDArray[np.complexfloating[Any]], total: Array) -> Preference:
    degrees = np.rad2deg(np.angle(sums)) / 2 % 180
    return Preference(degrees, np.abs(sums) / np.where(total > 0, total, 1))


def position_weights(network: Network, path: str) -> Array | None:
    """Return the weights of a local layer at every position, `[row, column, ...]`; None of another layer."""
    layer = network.graph.layer(path)
    if not layer.op.has_filters:
        return None
    weight = network.params[layer.parameters[0].name]
    rows, columns = layer.op.sets_used()
    everywhere: Array = weight[rows][:, columns]
    return everywhere
