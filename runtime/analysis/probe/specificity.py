"""Specificity: the best neuron's response to phase-scrambled positives, and the lifetime sparseness of all neurons.

Scrambling phases keeps an image's spectrum, and so its mean and contrast, and destroys its form. Lifetime sparseness is
near 1 for a neuron that responds strongly to few images, near 0 for one that responds to all alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from lnet.compiler.core.shapes import Sheet

from .passes import Chosen, Places
from .result import SPARSENESS_BINS, Row
from .scores import Mask
from .subjects import Images, Neurons, Responses, Subject
from .testing import Trial

Array = NDArray[Any]


def with_specificity(trial: Trial, neurons: Neurons, rows: Mapping[str, Row]) -> dict[str, Row]:
    """Return the rows of a network's layers with the two figures."""
    best = {
        layer: np.array([neurons.unit(row.above.flattering.neuron)])
        for layer, row in rows.items()
        if row.above is not None
    }
    plain = trial.evaluator.evaluate(neurons, Chosen(best))
    without_form = trial.evaluator.evaluate(Scrambled(neurons, trial.seed), Chosen(best))
    sums = trial.evaluator.evaluate(neurons, Sums())
    positive = trial.images.positive
    return {
        layer: replace(
            row,
            scrambled=scaled(without_form[layer][0, positive], plain[layer][0], positive),
            sparseness=_counted(lifetime_sparseness(*sums[layer], len(positive))),
        )
        for layer, row in rows.items()
    }


def scaled(responses: Array, others: Array, positive: Mask) -> float | None:
    """Return the mean response, normalised to 1 for the mean positive and 0 for the mean negative."""
    one, zero = others[positive].mean(), others[~positive].mean()
    return float((responses.mean() - zero) / (one - zero)) if one != zero else None


def _counted(sparseness: Array) -> tuple[int, ...]:
    known = sparseness[np.isfinite(sparseness)]
    return tuple(np.histogram(known, SPARSENESS_BINS, (0, 1))[0].tolist())


@dataclass(frozen=True)
class Sums:
    """Sums of the magnitudes and of the squares of all responses `[neuron]`, in float64."""

    def map(self, responses: Responses, numbers: Places) -> dict[str, tuple[Array, Array]]:
        return {group: _sums(np.asarray(r[:, : len(numbers)], np.float64)) for group, r in responses.items()}

    def merge(
        self, one: dict[str, tuple[Array, Array]], other: dict[str, tuple[Array, Array]]
    ) -> dict[str, tuple[Array, Array]]:
        return {group: (a + other[group][0], b + other[group][1]) for group, (a, b) in one.items()}


def _sums(responses: Array) -> tuple[Array, Array]:
    return np.abs(responses).sum(1), (responses**2).sum(1)


def lifetime_sparseness(magnitudes: Array, squares: Array, images: int) -> Array:
    """Return `(1 - mean(|r|)^2 / mean(r^2)) / (1 - 1/n)` of neurons, by their sums over n images.

    Vinje & Gallant 2000, of the response's magnitude, since responses have signs; NaN for a silent neuron.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        evenness = (magnitudes / images) ** 2 / (squares / images)
        sparseness: Array = (1 - evenness) / (1 - 1 / images)
    return sparseness


@dataclass(frozen=True)
class Scrambled:
    """A subject that sees images with scrambled phases."""

    subject: Subject
    seed: int

    @property
    def sheet(self) -> Sheet:
        return self.subject.sheet

    @property
    def dtype(self) -> str:
        return self.subject.dtype

    def respond(self, images: Images) -> Responses:
        return self.subject.respond(scrambled(images, self.seed))

    def name(self, group: str, unit: int) -> str:
        return self.subject.name(group, unit)


def scrambled(images: Images, seed: int) -> Images:
    """Return images with the phases of white noise added to theirs, the same for all channels of an image.

    The noise depends on the seed and the image alone, so that it is the same in a batch of any size.
    """
    noise = np.stack([_noise(image, seed) for image in images])
    phase = np.fft.fft2(noise, axes=(1, 2))
    phase /= np.abs(phase)
    phase[:, 0, 0] = 1  # keeps the mean
    return np.fft.ifft2(np.fft.fft2(images, axes=(1, 2)) * phase, axes=(1, 2)).real.astype(np.float32)


def _noise(image: Array, seed: int) -> Array:
    return np.random.default_rng((seed, crc32(image.tobytes()))).standard_normal((*image.shape[:2], 1))
