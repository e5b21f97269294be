"""Baselines: guesses, pixel statistics, templates, and the same network untrained."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal
from warnings import catch_warnings, simplefilter

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from lnet.compiler.core.shapes import Sheet
from lnet.compiler.graph.graph import Graph
from lnet.dsl.diagnostics import LnetError
from lnet.runtime.kernels.products import EXACT
from lnet.runtime.process.precision import computing_in
from lnet.runtime.store.run import Run

from .result import Choice, Finding, Row
from .scores import Figures
from .subjects import Images, Neurons, Responses, Subject, Weights
from .testing import Trial

Array = NDArray[np.floating]
SEEDS = 5
"""Untrained networks that are compared."""
EACH = 10
"""Training images for k-means per centroid; all are held at once."""
RAW, NORMAL, CENTROIDS = "linear filter, raw pixels", "linear filter, normalised", "k-means"


def plain_rows(trial: Trial, sheet: Sheet) -> Iterator[Row]:
    """Yield the baselines without a network: guess, brightness and contrast."""
    for row in trial.rows(Plain(sheet)).values():
        yield _either(row) if row.name == "guess" else row


@dataclass(frozen=True)
class Plain:
    """A constant, an image's mean, and its standard deviation, over all pixels and channels."""

    sheet: Sheet
    dtype: str = "float32"

    def respond(self, images: Images) -> Responses:
        mean, deviation = images.mean((1, 2, 3)), images.std((1, 2, 3))
        columns = {"guess": np.zeros_like(mean), "brightness": mean, "contrast": deviation}
        return {group: jnp.asarray(column)[None] for group, column in columns.items()}

    def name(self, group: str, unit: int) -> str:
        return ""


def _either(row: Row) -> Row:
    """Return the row with the better of a decision and its negation: always yes, or always no."""
    assert row.above is not None, "a row of a subject has findings"
    assert row.below is not None
    return replace(row, above=_best([row.above, row.below]), below=None)


# --- untrained networks ---------------------------------------------------------------------------------------------


def untrained_rows(trial: Trial, weights: Weights, layers: tuple[str, ...]) -> Iterator[Row]:
    """Yield the best and the mean of networks with initial weights from SEEDS seeds, for each layer."""
    drawn = (replace(weights, seed=seed) for seed in range(SEEDS))
    tested = [trial.rows(Neurons(untrained, layers), "random weights") for untrained in drawn]
    for layer in layers:
        rows = [rows[layer] for rows in tested]
        yield _merged(rows, "mean", _mean)
        best = _merged(rows, "best", _best)
        yield replace(best, neurons=sum(row.neurons for row in rows))


def _merged(
    rows: Sequence[Row], kind: Literal["mean", "best"], merge: Callable[[Sequence[Finding]], Finding]
) -> Row:
    counts = np.sum([row.distribution for row in rows], 0)
    return replace(
        rows[0],
        name=f"random weights, {kind} of {SEEDS}",
        untrained=kind,
        above=merge([row.above for row in rows if row.above is not None]),
        below=merge([row.below for row in rows if row.below is not None]),
        distribution=tuple(counts.tolist()),
        responses=None,
    )


def _best(findings: Sequence[Finding]) -> Finding:
    return Finding(
        max((finding.flattering for finding in findings), key=lambda choice: choice.chosen),
        max((finding.honest for finding in findings), key=lambda choice: choice.chosen),
    )


def _mean(findings: Sequence[Finding]) -> Finding:
    return Finding(
        _mean_choice([finding.flattering for finding in findings]),
        _mean_choice([finding.honest for finding in findings]),
    )


def _mean_choice(choices: Sequence[Choice]) -> Choice:
    chosen = float(np.mean([choice.chosen for choice in choices]))
    return Choice("", None, chosen, _mean_figures([choice.figures for choice in choices]))


def _mean_figures(several: Sequence[Figures]) -> Figures:
    means = []
    for field in fields(Figures):
        values = [getattr(figures, field.name) for figures in several]
        means.append(None if None in values else float(np.mean(values)))
    return Figures(*means)


# --- templates ------------------------------------------------------------------------------------------------------


def template_rows(
    trial: Trial, run: Run, weights: Weights, count: int, data: str | os.PathLike[str] | None
) -> Iterator[Row]:
    """Yield the best of `count` training patches, and of as many centroids of them.

    Without images to take patches from, the rows' notes say why; raises `LnetError` if `data` is wrong.
    """
    graph = run.plan.graph
    try:
        patches = run.images(data, normalize="none")
        drawn = patches.batch(0, count, views=1)
    except LnetError as error:
        if data is not None:
            raise
        why = error.diagnostics[0].message
        yield from (Row(name, "", True, 0, note=why) for name in (RAW, NORMAL, CENTROIDS))
        return
    batch = graph.training.batch
    normal = Neurons(weights, (first_read(graph),))
    views: dict[str, Subject] = {RAW: Pixels(graph.input.sheet), NORMAL: normal}
    for name, view in views.items():
        yield from _templates(trial, name, view, _seen_through(view, drawn.images, batch), drawn.names)
    parts = (patches.batch(n * count, count, views=1).images for n in range(EACH))
    seen = (_seen_through(normal, part, batch) for part in parts)
    try:
        centroids = centroids_of(seen, count, trial.seed)
    except ImportError:
        note = "scikit-learn is not installed: pip install 'lnetc[probe]'"
        yield Row(CENTROIDS, "", True, 0, note=note)
        return
    names = tuple(f"centroid {number}" for number in range(count))
    yield from _templates(trial, CENTROIDS, normal, centroids, names)


def _templates(
    trial: Trial, name: str, view: Subject, vectors: Array, names: tuple[str, ...]
) -> Iterator[Row]:
    for row in trial.rows(Templates(view, vectors, names)).values():
        yield replace(row, name=name)


def first_read(graph: Graph) -> str:
    """Return the layer that the first weights read: the input, or a normalisation of it."""
    first = next((layer for layer in graph.layers if layer.parameters), None)
    return graph.input.path if first is None else graph.layer(first.reads[0]).path


def _seen_through(view: Subject, images: Images, batch: int) -> Array:
    """Return a view's responses to images, as vectors `[image, value]`."""
    parts = [images[first : first + batch] for first in range(0, len(images), batch)]
    with computing_in(view.dtype):
        return np.concatenate([np.asarray(_only(view.respond(part))).T for part in parts])


def _only(responses: Responses) -> jax.Array:
    (values,) = responses.values()
    return values


def centroids_of(batches: Iterator[Array], count: int, seed: int) -> Array:
    """Return k-means centroids of batches of vectors (Lloyd's algorithm); raises ImportError."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    model: Any = KMeans(count, init="random", random_state=seed % 2**32, n_init=1, max_iter=20)
    with catch_warnings():
        simplefilter("ignore", ConvergenceWarning)  # of fewer different images than centroids
        model.fit(np.concatenate(list(batches)))
    centroids: Array = model.cluster_centers_.astype(np.float32)
    return centroids


@dataclass(frozen=True)
class Pixels:
    """The pixels of images, in 0..1."""

    sheet: Sheet
    dtype: str = "float32"

    def respond(self, images: Images) -> Responses:
        return {"pixels": jnp.asarray(images).reshape(len(images), -1).T}

    def name(self, group: str, unit: int) -> str:
        return f"pixel {unit}"


@dataclass(frozen=True)
class Templates:
    """The cosine between what a view makes of an image and each of `vectors` `[unit, value]`."""

    view: Subject
    vectors: Array
    names: tuple[str, ...]

    @property
    def sheet(self) -> Sheet:
        return self.view.sheet

    @property
    def dtype(self) -> str:
        return self.view.dtype

    def respond(self, images: Images) -> Responses:
        return {"templates": _cosines(self.vectors, _only(self.view.respond(images)))}

    def name(self, group: str, unit: int) -> str:
        return self.names[unit]


@jax.jit
def _cosines(vectors: jax.Array, values: jax.Array) -> jax.Array:
    """Return the cosines `[unit, image]`; 0 with a vector of length 0."""
    lengths = jnp.linalg.norm(vectors, axis=1)[:, None] * jnp.linalg.norm(values, axis=0)
    return jnp.matmul(vectors, values, precision=EXACT) / jnp.where(lengths > 0, lengths, 1)
