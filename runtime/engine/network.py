"""A network with its parameters: values of neurons, losses and gradients."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray

from lnet.compiler.graph.brief import layers_table
from lnet.compiler.graph.graph import Graph
from lnet.compiler.plan.plan import Plan
from lnet.compiler.text_table import as_html
from lnet.dsl.diagnostics import Diagnostic, LnetError, did_you_mean, refused, those_there_are
from lnet.runtime.data.inputs import (
    Images,
    Inputs,
    check_shape,
    checked,
    checked_labels,
    checked_targets,
    prepared,
)
from lnet.runtime.kernels.choose import portable
from lnet.runtime.kernels.initial import initial_values
from lnet.runtime.process.cache import keep_programs
from lnet.runtime.process.precision import computing_in

from . import running
from .evaluate import (
    Done,
    Programs,
    Targets,
    batch_first,
    batch_last,
    layer_values,
    observed_loss,
    separate_values,
    total_loss,
)
from .units import in_units

Array = NDArray[np.floating]
PureBatch = ArrayLike | Mapping[str, ArrayLike | Mapping[str, ArrayLike]]
"""Images `[batch, row, column, channel]`, or beside them labels and targets, by these names."""


def initial_params(graph: Graph, seed: int) -> dict[str, jax.Array]:
    """Return the initial parameters: a function of seed, name and position alone."""
    with computing_in(graph.training.dtype):
        return {p.name: initial_values(p, seed) for p in graph.parameters}


class UnknownParameter(LnetError, KeyError):
    """An unknown name of a parameter; also a `KeyError`, so that `in` and `get` work as for any mapping."""


class Parameters(MutableMapping[str, Array]):
    """The parameters of a network by name, as numpy arrays of their canonical shapes; assign to replace one."""

    def __init__(self, graph: Graph, arrays: Mapping[str, jax.Array]) -> None:
        self._shapes = {p.name: p.shape for p in graph.parameters}
        self._dtype = graph.training.dtype
        self.arrays = dict(arrays)

    def __getitem__(self, name: str) -> Array:
        self._check(name)
        return np.asarray(self.arrays[name])

    def __setitem__(self, name: str, value: ArrayLike) -> None:
        self._check(name)
        with computing_in(self._dtype):
            array = jnp.asarray(value, float)
        if array.shape != self._shapes[name]:
            raise _refused(f"'{name}' has the shape {self._shapes[name]}, found {array.shape}")
        self.arrays[name] = array

    def __delitem__(self, name: str) -> None:
        raise _refused("a parameter of a network cannot be removed")

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)

    def _check(self, name: str) -> None:
        if name not in self._shapes:
            message, notes = f"there is no parameter '{name}'", (those_there_are("parameters", self._shapes),)
            raise UnknownParameter(
                [Diagnostic("E720", message, notes=notes, hints=did_you_mean(name, self._shapes))]
            )


def _total(
    graph: Graph,
    params: Mapping[str, jax.Array],
    done: Done,
    images: jax.Array,
    labels: jax.Array | None,
    targets: Targets,
) -> jax.Array:
    return total_loss(graph, params, images, labels, targets, done=done)[0]


# Compiled once per graph and shape of images, and shared by all networks of that graph.
_values = jax.jit(layer_values, static_argnums=0)
_loss = jax.jit(_total, static_argnums=0)
_gradients = jax.jit(jax.grad(_total, argnums=1), static_argnums=0)


class Network:
    """A network that a plan describes, with parameters.

    `params` are arrays by name (None: the initial values from the plan's seed), `inputs` the statistics of the images that
    it was trained on. Images are `[batch, row, column, channel]`, prepared as in training:
    `lnet.prepare(images, network)` makes them so. Values come back as `[batch, row, column, map]`.
    Raises `LnetError` for arrays of the wrong shape and names that the network does not have; warns of images that are
    not prepared.
    """

    plan: Plan
    params: Parameters
    inputs: Inputs | None
    graph: Graph

    def __init__(
        self, plan: Plan, params: Mapping[str, ArrayLike] | None = None, inputs: Inputs | None = None
    ) -> None:
        keep_programs()
        self.plan = plan
        self.inputs = inputs
        self.graph = plan.graph
        if params is None:
            self.params = Parameters(self.graph, initial_params(self.graph, self.graph.training.seed))
        else:
            self.params = Parameters(self.graph, {})
            self._take(params)

    def _repr_html_(self) -> str:
        weights = sum(parameter.size for parameter in self.graph.parameters)
        return as_html([f"network {self.graph.name}: {weights:,} parameters", layers_table(self.graph)])

    def computing(self) -> AbstractContextManager[object]:
        """Compute in the network's precision, in this thread."""
        return computing_in(self.graph.training.dtype)

    def _take(self, params: Mapping[str, ArrayLike]) -> None:
        missing = [name for name in self.params if name not in params]
        if missing:
            raise _refused(f"the parameter '{missing[0]}' is missing")
        for name, value in params.items():
            self.params[name] = value

    def __call__(self, images: ArrayLike) -> dict[str, Array]:
        """Return the value of every layer by path: `{"V1.filter": [batch, row, column, map]}`."""
        with self.computing():
            values = _values(self.graph, self.params.arrays, self._images(images))
            return {layer.path: np.asarray(batch_first(values[layer.path])) for layer in self.graph.visible}

    def loss(
        self,
        images: ArrayLike,
        labels: ArrayLike | None = None,
        targets: ArrayLike | Mapping[str, ArrayLike] | None = None,
        step: int = 0,
    ) -> float:
        """Return the loss: the sum of all objectives, each a mean over the batch.

        An objective that compares views takes images 2k and 2k + 1 as those of one.
        `targets`: an array `[batch, row, column, map]` by the name of each target; of a single target the array alone.
        `step`: the number of steps done, which sets the weights of objectives that change (`between`).
        """
        with self.computing():
            return float(_loss(self.graph, self.params.arrays, step, *self._batch(images, labels, targets)))

    def gradients(
        self,
        images: ArrayLike,
        labels: ArrayLike | None = None,
        targets: ArrayLike | Mapping[str, ArrayLike] | None = None,
        step: int = 0,
    ) -> dict[str, Array]:
        """Return the gradient of the loss by parameter name, as `train.gradients` says; `targets`, `step` as in `loss`."""
        with self.computing():
            batch = self._batch(images, labels, targets)
            gradients = _gradients(self.graph, self.params.arrays, step, *batch)
        return {name: np.asarray(gradients[name]) for name in self.params}

    def apply(
        self, params: Mapping[str, ArrayLike], images: ArrayLike, layers: Iterable[str] | None = None
    ) -> dict[str, jax.Array]:
        """Return the value of every layer by path, `[batch, row, column, map]`: a pure function.

        JAX may compile, map, divide and differentiate it, in both modes and to any order. `params`: by name, as
        `dict(net.params)` has them; `images` as for the network itself; `layers`: the layers to return (default: all).
        Numbers are of JAX's default type; frozen parameters and running values are constants. Raises `LnetError` for missing
        parameters, unknown layers and arrays of other shapes.
        """
        taken, values = self._pure(params), self._shaped(images)
        paths = tuple(layer.path for layer in self.graph.visible) if layers is None else tuple(layers)
        for path in paths:
            if path not in self.graph:
                raise no_layer(self.graph, path)
        found = layer_values(self.graph, taken, batch_last(values))
        return {path: batch_first(found[self.graph.layer(path).path]) for path in paths}

    def loss_fn(self, params: Mapping[str, ArrayLike], batch: PureBatch, step: Done = 0) -> jax.Array:
        """Return the loss of a batch: a pure function, as `apply` is.

        `batch`: images, or `{"images": ..., "labels": ..., "targets": {...}}`, as `loss` takes them; values are not checked.
        Its gradient is the one that training uses, so it stops where `train.gradients` says. `step`: the number of steps
        done. Raises `LnetError` as `apply` does, and for what is missing in the batch.
        """
        return self._observed(params, batch, step, None)[0]

    def training_loss(
        self, params: Mapping[str, ArrayLike], batch: PureBatch, samples: ArrayLike, step: Done = 0
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Return the loss as training computes it, with dropout and batch statistics, and the new running values by name.

        `samples`: the numbers of the batch's samples in the run, `[batch]`, which seed dropout. Otherwise like `loss_fn`;
        for `jax.value_and_grad(net.training_loss, has_aux=True)`.
        """
        loss, observed = self._observed(params, batch, step, _words(jnp.asarray(samples)))
        moving = running.momenta(self.graph)
        update = running.of_batch(moving, jax.lax.stop_gradient(observed))
        return loss, running.moved(moving, self._pure(params), update) if running.moves(
            moving, update
        ) else {}

    def _observed(
        self, params: Mapping[str, ArrayLike], batch: PureBatch, step: Done, samples: jax.Array | None
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Return the loss, and what norms found in the batch."""
        given: Mapping[str, Any] = batch if isinstance(batch, Mapping) else {"images": batch}
        for name in given.keys() - {"images", "labels", "targets"}:
            raise refused("E716", f"a batch has 'images', 'labels' and 'targets', found '{name}'")
        images = batch_last(self._shaped(given.get("images", ())))
        _check_pairs(self.graph, images.shape[-1])
        targets = checked_targets(given.get("targets"), images.shape[-1], self.graph)
        labels = given.get("labels")
        if labels is None and any(objective.term.needs_labels for objective in self.graph.objectives):
            raise _needs_labels(self.graph)
        loss, (_, observed) = observed_loss(
            self.graph,
            self._pure(params),
            images,
            None if labels is None else jnp.asarray(labels, jnp.int32),
            {path: batch_last(jnp.asarray(value, float)) for path, value in targets.items()},
            samples,
            step,
        )
        return loss, observed

    def _pure(self, params: Mapping[str, ArrayLike]) -> dict[str, jax.Array]:
        """Return parameters by name as arrays of JAX, of the network's type and their own shapes."""
        if self.graph.training.dtype == "float64" and jnp.result_type(float) != jnp.float64:
            hint = 'jax.config.update("jax_enable_x64", True) before the first array'
            raise refused("E720", "the network computes in float64, which is disabled in JAX", hint=hint)
        found = {}
        for name, shape in ((p.name, p.shape) for p in self.graph.parameters):
            if name not in params:
                raise _refused(f"the parameter '{name}' is missing")
            found[name] = jnp.asarray(params[name], float)
            if found[name].shape != shape:
                raise _refused(f"'{name}' has the shape {shape}, found {found[name].shape}")
        return found

    def _shaped(self, images: ArrayLike) -> jax.Array:
        found = jnp.asarray(images, float)
        check_shape(found, self.graph.input.sheet)
        return found

    def __getitem__(self, neuron: str) -> Callable[[ArrayLike], Array]:
        """Return one neuron, `net["V3.norm[4, 7, 2]"]`, as a function of images: `[batch]`."""
        path, row, column, map_ = parse_neuron(self.graph, neuron)

        def respond(images: ArrayLike) -> Array:
            with self.computing():
                values = _values(self.graph, self.params.arrays, self._images(images))
                return np.asarray(values[path][row, column, map_])

        return respond

    def unit_sheet(self, layer: str, values: ArrayLike) -> Array:
        """Return values `[..., row, column, map]` of a layer as its unit sheet `[..., row, column]`.

        Raises `LnetError` for a layer without a patch, and for values of another shape.
        """
        if layer not in self.graph:
            raise no_layer(self.graph, layer)
        found, array = self.graph.layer(layer), np.asarray(values)
        if found.patch is None:
            raise refused("E310", f"the maps of '{found.path}' are not laid out in a patch")
        shape = (found.sheet.height, found.sheet.width, found.sheet.maps)
        if array.shape[-3:] != shape:
            raise _refused(
                f"the values of '{found.path}' are [..., {', '.join(map(str, shape))}], found {array.shape}"
            )
        return in_units(array, found.patch, array.ndim - 3)[..., 0]

    def everything(self, images: ArrayLike) -> dict[str, Array]:
        """Return the values of all layers, including those made by passes: decoders by the path of their objective.

        XLA compiles all of it, one layer after the other: this takes the least memory for a single computation.
        """
        return self._everything(self._checked(images), {})

    def everything_in_parts(
        self, images: ArrayLike, size: int, programs: Programs
    ) -> Iterator[dict[str, Array]]:
        """Yield what `everything` returns, of `size` images at a time; the last part may have fewer.

        `programs`: programs compiled for networks of the same plan; missing ones are added.
        """
        taken = np.asarray(self._checked(images))
        for at in range(0, len(taken), size):
            some = np.arange(at, at + size) % len(taken)  # always as many, for the same programs
            left = len(taken) - at
            yield {path: value[:left] for path, value in self._everything(taken[some], programs).items()}

    def _everything(self, images: ArrayLike, programs: Programs) -> dict[str, Array]:
        with portable(), self.computing():
            taken = batch_last(jnp.asarray(images, float))
            values = separate_values(self.graph, self.params.arrays, taken, programs)
        return {path: np.moveaxis(np.asarray(value), -1, 0) for path, value in values.items()}

    def _checked(self, images: ArrayLike, callers: int = 1) -> Any:
        return checked(images, self.graph.input.sheet, self.inputs, callers + 1)

    def _images(self, images: ArrayLike, callers: int = 1) -> jax.Array:
        return batch_last(jnp.asarray(self._checked(images, callers + 1), dtype=float))

    def _batch(
        self,
        images: ArrayLike,
        labels: ArrayLike | None,
        targets: ArrayLike | Mapping[str, ArrayLike] | None,
    ) -> tuple[jax.Array, jax.Array | None, Targets]:
        """Return images, labels and targets as the loss takes them."""
        taken = self._images(images, 2)
        _check_pairs(self.graph, taken.shape[-1])
        given = {
            path: batch_last(jnp.asarray(value, dtype=float))
            for path, value in checked_targets(targets, taken.shape[-1], self.graph).items()
        }
        units = {
            objective.path: self.graph.layer(objective.reads[0]).sheet.maps
            for objective in self.graph.objectives
            if objective.term.needs_labels
        }
        if not units:
            return taken, None, given
        if labels is None:
            raise _needs_labels(self.graph)
        return taken, jnp.asarray(checked_labels(labels, taken.shape[-1], units)), given


def _needs_labels(graph: Graph) -> LnetError:
    first = next(objective.path for objective in graph.objectives if objective.term.needs_labels)
    return refused("E716", f"the objective '{first}' needs labels: net.loss(images, labels)")


def _words(samples: jax.Array) -> jax.Array:
    """Return the numbers of samples as `sample_numbers` does."""
    high = samples >> 32 if samples.dtype.itemsize == 8 else jnp.zeros_like(samples)
    return jnp.stack([samples.astype(jnp.uint32), high.astype(jnp.uint32)])


def _check_pairs(graph: Graph, rows: int) -> None:
    """Raise `LnetError` where an objective compares views and images do not come in pairs of them."""
    for objective in graph.objectives:
        if objective.term.compares_views and (rows % 2 or rows < 4):
            raise refused(
                "E716",
                f"'{objective.path}' compares views: expected the two views of each image one after the other, of two "
                f"images or more, found {rows:,} image{'s' * (rows != 1)}",
                hint="run.samples(8).images has those of 8 images",
            )


def prepare(images: Images, network: Network) -> Array:
    """Return images prepared for `network`: scaled to cover its input, central window, normalised as in training.

    `images`: `[n, rows, columns, channels]`, uint8 or float in 0..1, of any size, or a list of images
    `[rows, columns, channels]`. Returns `[n, row, column, channel]`. Raises `LnetError` for anything but images.
    """
    return prepared(images, network.graph)


_NEURON = re.compile(
    r"\s*([A-Za-z0-9_.]+(?:\[\d+\][A-Za-z0-9_.]*)*)\s*\[\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*\]\s*"
)


def parse_neuron(graph: Graph, text: str) -> tuple[str, int, int, int]:
    """Return layer, row, column and map of a neuron written `V3.norm[row, column, map]`, counted from 0.

    The numbers of families before are part of the layer: `area[3].norm[0, 0, 5]`.
    """
    match = _NEURON.fullmatch(text)
    if match is None:
        raise _refused(f"expected a neuron such as 'V1.pool[4, 7, 2]', found '{text}'")
    path, *numbers = match.groups()
    if path not in graph:
        raise no_layer(graph, path)
    layer = graph.layer(path)
    if layer.op.is_target:
        raise _refused(f"'{path}' is a target: its values come with the images, so it has no neurons")
    row, column, map_ = map(int, numbers)
    sheet = layer.sheet
    if row >= sheet.height or column >= sheet.width or map_ >= sheet.maps:
        raise _refused(f"the layer '{path}' is {sheet}, so it has no neuron {text.strip()}")
    return layer.path, row, column, map_


def no_layer(graph: Graph, path: str) -> LnetError:
    """Return the error for the path of a layer that there is not."""
    known, items = [layer.path for layer in graph.visible], graph.items(path)
    if items:
        hint = f"name one of its items, '{items[0]}' ... '{items[-1]}'"
        return refused("E720", f"'{path}' is a family: name one of its layers", hint=hint)
    notes = those_there_are("layers", known)
    return refused("E720", f"there is no layer '{path}'", notes, hint=did_you_mean(path, known))


def _refused(message: str) -> LnetError:
    return refused("E720", message)
