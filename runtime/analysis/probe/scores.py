"""Statistics of how well responses separate positives from negatives, with bootstrap intervals; images have weights.

Weights make the bootstrap cheap: a source that is drawn twice counts twice, so that one sorted list of responses
serves all resamples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]
RESAMPLES = 1000
CHUNK = 2**18
"""Weights that are held at once."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Statistics of one neuron's responses; None if undefined, as with one class only.

    accuracy, balanced   of "response > threshold"; balanced: the mean of the two classes' accuracies
    roc_area             the chance that a positive's response is above a negative's, ties counted half
    average_precision    the sum of precision x gain in recall over all thresholds, from the highest
    d_prime              the distance of the two means over the root of the mean of the two variances
    """

    accuracy: float | None
    balanced: float | None
    roc_area: float | None
    average_precision: float | None
    d_prime: float | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """One neuron's verdict on images: responses `[n]`, predicted positives, and true positives."""

    responses: Floats
    predicted: Mask
    positive: Mask


def figures(verdict: Verdict) -> Figures:
    """Return the figures of a verdict."""
    (row,) = _table(verdict, np.ones((1, len(verdict.positive))))
    return Figures(*(float(value) if np.isfinite(value) else None for value in row))


def interval(verdict: Verdict, sources: NDArray[np.int64], seed: int) -> tuple[Figures, Figures]:
    """Return the ends of 95 % bootstrap intervals: percentiles over resamples of the sources (Efron 1979)."""
    _, source = np.unique(sources, return_inverse=True)
    count = int(source.max()) + 1
    rng = np.random.default_rng(seed)
    rows, left = [], RESAMPLES
    while left:
        drawn = min(left, max(1, CHUNK // len(sources)))
        weights = rng.multinomial(count, np.full(count, 1 / count), drawn)[:, source]
        rows.append(_table(verdict, weights.astype(float)))
        left -= drawn
    table = np.concatenate(rows)
    low, high = ([_quantile(column, q) for column in table.T] for q in (0.025, 0.975))
    return Figures(*low), Figures(*high)


def _quantile(values: Floats, q: float) -> float | None:
    """Return a quantile over resamples, without those that lack one of the classes."""
    known = values[np.isfinite(values)]
    return float(np.quantile(known, q)) if len(known) else None


def _table(verdict: Verdict, weights: Floats) -> Floats:
    """Return the figures `[k, figure]`, in their order in `Figures`, under weights `[k, n]`."""
    right = verdict.predicted == verdict.positive
    of_positives, of_negatives = weights * verdict.positive, weights * ~verdict.positive
    with np.errstate(divide="ignore", invalid="ignore"):
        sensitivity = (of_positives @ right) / of_positives.sum(1)
        specificity = (of_negatives @ right) / of_negatives.sum(1)
        columns = (
            (weights @ right) / weights.sum(1),
            (sensitivity + specificity) / 2,
            *_ranked(verdict.responses, of_positives, of_negatives),
            _d_prime(verdict.responses, of_positives, of_negatives),
        )
    return np.stack(columns, 1)


def _ranked(responses: Floats, positives: Floats, negatives: Floats) -> tuple[Floats, Floats]:
    """Return ROC area and average precision `[k]`; equal responses share one rank."""
    order = np.argsort(-responses, kind="stable")
    ranked = responses[order]
    starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
    found = np.add.reduceat(positives[:, order], starts, axis=1)
    wrong = np.add.reduceat(negatives[:, order], starts, axis=1)
    above, wrong_above = np.cumsum(found, 1), np.cumsum(wrong, 1)
    total = above[:, -1]
    below = wrong_above[:, -1:] - wrong_above + wrong / 2
    precision = above / np.maximum(above + wrong_above, 1e-300)
    return (found * below).sum(1) / (total * wrong_above[:, -1]), (found * precision).sum(1) / total


def _d_prime(responses: Floats, positives: Floats, negatives: Floats) -> Floats:
    (mean, variance), (other, other_variance) = (_moments(responses, w) for w in (positives, negatives))
    distance: Floats = (mean - other) / np.sqrt((variance + other_variance) / 2)
    return distance


def _moments(responses: Floats, weights: Floats) -> tuple[Floats, Floats]:
    values = responses.astype(float)
    centred = values - values.mean()  # variances of large, nearly equal values keep their digits
    total = weights.sum(1)
    mean = weights @ centred / total
    return mean, weights @ centred**2 / total - mean**2


def first_half(sources: NDArray[np.int64], positive: Mask, seed: int) -> Mask:
    """Return the mask of the first half: about half of the sources, each with all of its images.

    Sources with a positive and those without are halved separately, so that both halves have both.
    """
    numbers, source = np.unique(sources, return_inverse=True)
    has_positive = np.zeros(len(numbers), bool)
    has_positive[source[positive]] = True
    order = np.random.default_rng(seed).permutation(len(numbers))
    chosen = np.zeros(len(numbers), bool)
    for kind in (has_positive, ~has_positive):
        chosen[order[kind[order]][::2]] = True
    return chosen[source]
