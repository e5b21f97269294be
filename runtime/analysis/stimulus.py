"""The optimal stimulus of a neuron: `argmax f(x)` over all images with `||x|| = c`, or over likely ones alone.

Projected gradient ascent on the sphere: g is the tangential part of the gradient, and a line search along the great
circle through x and g takes a step that gains enough (Armijo's rule):

        x(a) = cos(a) x + sin(a) c g / |g|              a, the angle of the step, is doubled after a gain
                                                        and halved where there is none

Starts are grey noise with the spectrum of photographs (an amplitude of 1 / frequency) in the receptive field, and zero
elsewhere: components without effect on the neuron stay as they were, so they should be neither coloured nor fine.

In a network that normalises contrast a neuron's response hardly depends on the norm, and its optimal stimulus is often
noise unlike any photograph. So the same ascent also goes over the images `x(z) = mean + sum(z[i] axes[i])` of principal
components: on the sphere `||z|| = sqrt(components)`, where all images are equally likely if such components are normal.
A pool responds alike to a pattern and its negative, so there are many best images, with light and dark swapped here and
there. A realistic one is found by starting from real images: from the mean of the neuron's top stimuli.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from math import inf, sqrt
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from lnet.compiler.graph.graph import Graph
from lnet.compiler.text_table import as_html
from lnet.dsl.diagnostics import refused
from lnet.runtime.engine.network import Network

from .components import Components
from .contact import ACROSS, enlarged, pattern, png, png_html
from .neurons import Array, Neuron, check_finite, find_neurons, responses, seen_by

SUFFICIENT = 1e-4
"""The least gain of a step as a fraction of the gain predicted by the slope; also the angle that ends the search."""


@dataclass(frozen=True)
class Stimulus:
    """The stimulus that excites a neuron most, among the images searched.

    `image` `[row, column, channel]` of length `norm`; `reached` are the final responses from each start, `response` the
    best of them.
    """

    neuron: Neuron
    image: Array
    norm: float
    reached: tuple[float, ...]

    @property
    def response(self) -> float:
        return max(self.reached)

    def _repr_html_(self) -> str:
        said = as_html([f"stimulus of {self.neuron}: response {self.response:.4g}"])
        return said + png_html(png(enlarged(pattern(self.image), ACROSS)))


def optimal_stimulus(
    network: Network, neuron: str, norm: float | None = None, starts: int = 8, steps: int = 500, seed: int = 0
) -> Stimulus:
    """Return the image of a given norm that excites a neuron most: `argmax f(x)`, `||x|| = norm`.

    `neuron` is written `"V3.norm[row, column, map]"`; `norm` is the length of all pixels as one vector, by default that
    of an image whose values have a mean square of 1. From `starts` images drawn with `seed`, at most `steps` steps
    each. Raises `LnetError` for an invalid neuron or number. (Le et al. 2012, section 4.4.)
    """
    (found,) = find_neurons(network.graph, [neuron])
    length = sqrt(network.graph.input.sheet.values) if norm is None else float(norm)
    if not (0 < length < inf and starts > 0 and steps > 0):
        message = f"norm, starts and steps must be positive, found {length:g}, {starts} and {steps}"
        raise refused("E780", message)
    return _best(network, found, noise(network.graph, found, starts, seed), length, steps, None)


def likely_stimulus(
    network: Network, neuron: str, components: Components, start: Array, steps: int = 500
) -> Stimulus:
    """Return the stimulus that excites a neuron most among images as likely as photographs.

    These are the mean of `components` plus their axes weighted by any `z` with `||z|| = sqrt(len(components))`, the typical
    norm of a standard normal vector. The ascent starts from the one closest to the image `start` and takes at most `steps`
    steps. Raises `LnetError` for an invalid neuron or number.
    """
    (found,) = find_neurons(network.graph, [neuron])
    if not (len(components) > 0 and steps > 0):
        message = f"components and steps must be positive, found {len(components)} and {steps}"
        raise refused("E780", message)
    first = components.coordinates(start)[None]
    return _best(network, found, first, sqrt(len(components)), steps, components)


def _best(
    network: Network, neuron: Neuron, first: Array, length: float, steps: int, components: Components | None
) -> Stimulus:
    """Return the best image reached by the ascent from starting points on the sphere."""
    with network.computing():
        frame = None
        if components is not None:
            frame = (jnp.asarray(components.mean, float), jnp.asarray(components.axes, float))
        images, values = _climb(
            network.graph, neuron, network.params.arrays, jnp.asarray(first, float), length, steps, frame
        )
    check_finite(str(neuron), np.asarray(values))
    reached = tuple(float(value) for value in values)
    image = np.asarray(images)[int(np.argmax(reached))]
    return Stimulus(neuron, image, length if components is None else float(np.linalg.norm(image)), reached)


def noise(graph: Graph, neuron: Neuron, count: int, seed: int) -> Array:
    """Return images `[count, row, column, channel]` of grey `1 / frequency` noise in a neuron's receptive field."""
    sheet, seen = graph.input.sheet, seen_by(graph, neuron)
    white = np.random.default_rng(seed).standard_normal((count, sheet.height, sheet.width))
    down, right = np.fft.fftfreq(sheet.height)[:, None], np.fft.fftfreq(sheet.width)[None, :]
    frequency = np.maximum(np.hypot(down, right), 1 / max(sheet.height, sheet.width))
    pink = np.fft.ifft2(np.fft.fft2(white) / frequency).real
    inside = np.zeros((sheet.height, sheet.width))
    inside[seen.rows.start : seen.rows.stop, seen.columns.start : seen.columns.stop] = 1
    return np.repeat((pink * inside)[..., None], sheet.maps, axis=-1).astype(np.float32)


class _Climb(NamedTuple):
    """The state of the ascent from each start."""

    taken: jax.Array
    x: jax.Array
    value: jax.Array
    gradient: jax.Array
    angle: jax.Array


@partial(jax.jit, static_argnums=(0, 1))
def _climb(
    graph: Graph,
    neuron: Neuron,
    params: Mapping[str, jax.Array],
    starts: jax.Array,
    norm: jax.Array,
    steps: jax.Array,
    frame: tuple[jax.Array, jax.Array] | None,
) -> tuple[jax.Array, jax.Array]:
    """Return the images reached from all starts, as one array, and the responses to them.

    Points of the sphere are images, or, with a mean and axes as `frame`, their coordinates.
    """

    def images(x: jax.Array) -> jax.Array:
        return x if frame is None else frame[0] + jnp.tensordot(x, frame[1], 1)

    def total(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        values = responses(graph, (neuron,), params, images(x))[0]
        return values.sum(), values

    def evaluated(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        (_, values), gradient = jax.value_and_grad(total, has_aux=True)(x)
        return values, gradient

    def step(now: _Climb) -> _Climb:
        slope = _along(now.gradient, now.x, norm)
        steepness = _length(slope)
        trial = _onto(jnp.cos(now.angle) * now.x + jnp.sin(now.angle) * _onto(slope, norm), norm)
        value, gradient = evaluated(trial)
        promised = (now.angle * norm * steepness).ravel()
        gained = value > now.value + SUFFICIENT * promised
        better = gained.reshape(now.angle.shape)
        return _Climb(
            now.taken + 1,
            jnp.where(better, trial, now.x),
            jnp.where(gained, value, now.value),
            jnp.where(better, gradient, now.gradient),
            jnp.where(better, jnp.minimum(2 * now.angle, jnp.pi / 4), now.angle / 2),
        )

    def goes_on(now: _Climb) -> jax.Array:
        return (now.taken < steps) & (now.angle > SUFFICIENT).any()

    first = _onto(starts, norm)
    angle = jnp.full((len(starts), *[1] * (starts.ndim - 1)), 0.1, starts.dtype)
    last = lax.while_loop(goes_on, step, _Climb(jnp.zeros((), int), first, *evaluated(first), angle))
    return images(last.x), last.value


def _length(x: jax.Array) -> jax.Array:
    return jnp.sqrt(_dot(x, x))


def _dot(x: jax.Array, y: jax.Array) -> jax.Array:
    """Return the scalar products of points, in an array that broadcasts with them."""
    return (x * y).sum(range(1, x.ndim), keepdims=True)


def _onto(x: jax.Array, norm: jax.Array) -> jax.Array:
    """Scale points to a norm; zero stays zero."""
    length = _length(x)
    return x * (norm / jnp.where(length > 0, length, 1))


def _along(gradient: jax.Array, x: jax.Array, norm: jax.Array) -> jax.Array:
    """Return the part of a gradient tangential to the sphere at x."""
    return gradient - x * (_dot(gradient, x) / norm**2)
