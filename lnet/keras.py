"""The untied layers of Keras 2 for Keras 3, with their arguments and weights, on its backends JAX, PyTorch and TensorFlow.

model = keras.Sequential([keras.Input((32, 32, 3)), lnet.keras.LocallyConnected2D(8, 9, activation="relu")])
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, ClassVar, TypeVar

import keras
import numpy as np
from keras import activations, constraints, initializers, ops, regularizers
from numpy.typing import NDArray

from lnet.dsl.diagnostics import refused
from lnet.runtime.weights.layouts import masked, sparse

from .untied import Sliding

__all__ = ["LocallyConnected1D", "LocallyConnected2D"]

Array = NDArray[Any]
Choice = TypeVar("Choice", int, str)

# --- layers ----------------------------------------------------------------------------------------------


class _LocallyConnected(keras.layers.Layer):
    """What both layers are: a line is computed as a sheet of one column."""

    rank: ClassVar[int]

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: str = "valid",
        data_format: str | None = None,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        implementation: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=regularizers.get(activity_regularizer), **kwargs)
        self.filters, self.use_bias = filters, use_bias
        self.kernel_size = _extents("kernel_size", kernel_size, self.rank)
        self.strides = _extents("strides", strides, self.rank)
        self.padding = _one_of("padding", padding.lower(), "valid", "same")
        data_format = data_format or keras.config.image_data_format()
        self.data_format = _one_of("data_format", data_format, "channels_last", "channels_first")
        self.implementation = _one_of("implementation", implementation, 1, 2, 3)
        self.activation = activations.get(activation)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)

    def build(self, input_shape: Sequence[int | None]) -> None:
        read = self._read(input_shape)
        shape = self._sliding.weights(read, _sheet(self.kernel_size), self.filters)
        self._weight_shape, self._window = shape, self._sliding.forward(read, shape).window
        rows, columns, *field, maps, _ = shape
        self.kernel = self.add_weight(
            name="kernel",
            shape=(rows * columns, field[0] * field[1] * maps, self.filters),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(*(rows, columns)[: self.rank], self.filters),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )

    def call(self, inputs: Any) -> Any:
        x = ops.moveaxis(inputs, 1, -1) if self._channels_first else inputs
        if self.rank == 1:
            x = ops.expand_dims(x, 2)
        h = _local(x, self._weight(), self._sliding)
        if self.rank == 1:
            h = ops.squeeze(h, 2)
        if self._channels_first:
            h = ops.moveaxis(h, -1, 1)
        if self.bias is not None:  # with channels first, Keras 2 does not transpose it either
            h = h + ops.reshape(self.bias, h.shape[1:])
        return self.activation(h)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        read = self._read(input_shape)
        rows, columns, *_ = self._sliding.weights(read, _sheet(self.kernel_size), self.filters)
        extents, maps = (rows, columns)[: self.rank], self.filters
        return (input_shape[0], maps, *extents) if self._channels_first else (input_shape[0], *extents, maps)

    def set_weights(self, weights: Sequence[Array]) -> None:
        """Set kernel and bias; the kernel may be one that Keras 2 made with any `implementation`."""
        super().set_weights(
            [self._kernel_of(np.asarray(weights[0])), *weights[1:]] if self.built else weights
        )

    def get_config(self) -> dict[str, Any]:
        config: dict[str, Any] = super().get_config()
        plain = ("filters", "kernel_size", "strides", "padding", "data_format", "use_bias", "implementation")
        config |= {name: getattr(self, name) for name in plain}
        config["activation"] = activations.serialize(self.activation)
        for name in ("kernel", "bias"):
            config[f"{name}_initializer"] = initializers.serialize(getattr(self, f"{name}_initializer"))
            config[f"{name}_constraint"] = constraints.serialize(getattr(self, f"{name}_constraint"))
        for name in ("kernel", "bias", "activity"):
            config[f"{name}_regularizer"] = regularizers.serialize(getattr(self, f"{name}_regularizer"))
        return config

    @property
    def _channels_first(self) -> bool:
        return bool(self.data_format == "channels_first")

    @property
    def _sliding(self) -> Sliding:
        return Sliding(_sheet(self.strides), self.padding)

    def _read(self, input_shape: Sequence[int | None]) -> tuple[int, ...]:
        """Return rows, columns and channels of the input."""
        extents = [extent for extent in input_shape[1:] if extent is not None]
        if not len(extents) == len(input_shape) - 1 == self.rank + 1:
            expected = f"an input of {self.rank + 2} axes, with known extents but for the first"
            raise refused("E716", f"expected {expected}, found {list(input_shape)}")
        channels = extents.pop(0 if self._channels_first else -1)
        return (*_sheet(extents), channels)

    def _weight(self) -> Any:
        """Return the kernel as `[output row, output column, field row, field column, channel, filter]`."""
        rows, columns, *field, maps, filters = self._weight_shape
        if not self._channels_first:
            return ops.reshape(self.kernel, self._weight_shape)
        return ops.moveaxis(ops.reshape(self.kernel, (rows, columns, maps, *field, filters)), 2, 4)

    def _kernel_of(self, array: Array) -> Array:
        """Return the kernel that means the same as one of Keras 2's implementation 2 or 3; others as they are."""
        if array.shape == self.kernel.shape:
            return array
        first, extents = self._channels_first, dict(zip("RCrcim", self._weight_shape, strict=True))
        order = "mRCirc" if first else "RCmrci"
        layouts = (masked(extents, self._window), sparse(extents, self._window, order))
        last = array
        if first and array.ndim == 2 * (
            self.rank + 1
        ):  # of implementation 2: channels to the end of inputs and of outputs
            last = np.moveaxis(array, (0, self.rank + 1), (self.rank, -1))
        for layout in layouts:
            if layout.fits(last.shape):
                weight = layout.arranged(last)
                return (np.moveaxis(weight, 4, 2) if first else weight).reshape(self.kernel.shape)
        return array


@keras.saving.register_keras_serializable("lnet")
class LocallyConnected2D(_LocallyConnected):
    """Keras 2's `LocallyConnected2D`: a `Conv2D` with separate weights at every position.

    `[batch, row, column, channel]`, or with "channels_first" `[batch, channel, row, column]`, to the same. Kernels are
    `[output row * output column, field row * field column * channel, filter]`, as with Keras 2's `implementation = 1`,
    whichever is given; `set_weights` also takes kernels of the other two. Biases are `[output row, output column, filter]`.
    """

    rank = 2


@keras.saving.register_keras_serializable("lnet")
class LocallyConnected1D(_LocallyConnected):
    """Keras 2's `LocallyConnected1D`: a `Conv1D` with separate weights at every position.

    `[batch, position, channel]`, or with "channels_first" `[batch, channel, position]`, to the same. Kernels are `[output
    position, field position * channel, filter]`, biases `[output position, filter]`. Else as `LocallyConnected2D`.
    """

    rank = 1


def _extents(name: str, value: int | Sequence[int], rank: int) -> tuple[int, ...]:
    extents = (value,) * rank if isinstance(value, int) else tuple(value)
    if len(extents) != rank:
        raise refused("E716", f"expected an integer or {rank} of them as '{name}', found {value}")
    return extents


def _sheet(extents: Sequence[int]) -> tuple[int, int]:
    """Return rows and columns; a line is one column."""
    rows, columns = (*extents, 1)[:2]
    return rows, columns


def _one_of(name: str, value: Choice, *choices: Choice) -> Choice:
    if value not in choices:
        expected = ", ".join(map(repr, choices[:-1]))
        raise refused("E716", f"expected {expected} or {choices[-1]!r} as '{name}', found {value!r}")
    return value


# --- backends --------------------------------------------------------------------------------------------


def _local(x: Any, weight: Any, sliding: Sliding) -> Any:
    """Return what `[batch, row, column, channel]` and weights make, by the function for the backend's tensors."""
    backend = keras.config.backend()
    if backend not in ("jax", "torch", "tensorflow"):
        raise refused("E716", f"expected jax, torch or tensorflow as Keras's backend, found {backend}")
    local = import_module(f"lnet.{backend}").local
    if backend == "torch":
        return local(x.movedim(-1, 1), weight, stride=sliding.stride, padding=sliding.pad).movedim(1, -1)
    return local(x, weight, stride=sliding.stride, pad=sliding.pad)
