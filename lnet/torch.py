"""The untied layer alone, for PyTorch programs: convolutions whose weights differ from position to position.

layer = lnet.torch.LocallyConnected2d(3, 8, kernel_size=9, input_size=32)
h = layer(images)  # [N, 3, 32, 32] -> [N, 8, 24, 24]

One operator, `lnet::product`, has the three products of a layer. It gives tensors to JAX, which calls the kernels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple
from functools import partial
from typing import Any, NamedTuple

import jax
import torch
from torch import Tensor, nn

from lnet.compiler.core.shapes import Size, Slide, Window
from lnet.compiler.ops.filters import Layout
from lnet.dsl.diagnostics import LnetError, refused
from lnet.runtime.kernels.products import ANY_BATCH, FORWARD, WEIGHT_GRADIENT, Product

from .untied import Extent, Pad, Sliding, derivatives, product_of

__all__ = [
    "LocallyConnected1d",
    "LocallyConnected2d",
    "LocallyConnectedTranspose2d",
    "local",
    "local_transpose",
]

# --- modules ---------------------------------------------------------------------------------------------

USUAL = {"stride": 1, "padding": 0, "output_padding": 0, "dilation": 1, "groups": 1, "bias": True, "block": 1}
"""What `repr` leaves out."""


class _Untied(nn.Module):
    """A layer with its parameters, which are drawn as a convolution's: up to 1 / sqrt(weights of a filter)."""

    def __init__(
        self,
        layer: _Layer,
        weight: Sequence[int],
        bias: Sequence[int] | None,
        where: dict[str, Any],
        **named: Any,
    ) -> None:
        super().__init__()
        self._layer, self._named = layer, named | {"bias": bias is not None}
        for name, value in named.items():
            setattr(self, name, value)
        self.output_size: int | tuple[int, ...] = layer.made
        self.weight = nn.Parameter(torch.empty(weight, **where))
        self.register_parameter("bias", None if bias is None else nn.Parameter(torch.empty(bias, **where)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights and biases again."""
        axes_of_sets = self.weight.dim() // 2 - 1
        bound = 1 / math.sqrt(math.prod(self.weight.shape[axes_of_sets:-1]))
        for parameter in self.parameters(recurse=False):
            nn.init.uniform_(parameter, -bound, bound)

    def extra_repr(self) -> str:
        shown = {name: value for name, value in self._named.items() if USUAL.get(name) != value}
        return ", ".join(f"{name}={value}" for name, value in shown.items())

    def forward(self, input: Tensor) -> Tensor:
        return _applied(self._layer, input, self.weight, self.bias)


class LocallyConnected2d(_Untied):
    """`torch.nn.Conv2d` with separate weights at every position, or for every `block` of positions.

    `[N, C, row, column]` to the same, or without `N`. `input_size`: rows and columns of the input, on which the number of
    weights depends; `output_size` has the output's. `padding`: zeros on each side, "valid" or "same". `weight` is `[output
    row, output column, field row, field column, channel of a group, output channel]`, `bias` `[output row, output column,
    output channel]`, with rows and columns of blocks if there are any. Raises `DataError` for what does not fit.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Extent,
        stride: Extent = 1,
        padding: Pad = 0,
        dilation: Extent = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        input_size: Extent,
        block: Extent = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        read = (*_pair(input_size), in_channels)
        sliding = Sliding(stride, padding, dilation, groups, block)
        shape = sliding.weights(read, kernel_size, out_channels)
        layer = _layer(sliding.forward(read, shape))
        super().__init__(
            layer, shape, layer.bias if bias else None, {"device": device, "dtype": dtype},
            in_channels=in_channels, out_channels=out_channels, kernel_size=kernel_size, stride=stride,
            padding=padding, dilation=dilation, groups=groups, input_size=input_size, block=block,
        )  # fmt: skip


class LocallyConnected1d(_Untied):
    """`torch.nn.Conv1d` with separate weights at every position, or for every `block` of positions.

    `[N, C, position]` to the same, or without `N`. `weight` is `[output position, field position, channel of a group,
    output channel]`, `bias` `[output position, output channel]`. Else as `LocallyConnected2d`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int | str = 0,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        input_size: int,
        block: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        read = (input_size, 1, in_channels)
        zeros = padding if isinstance(padding, str) else (padding, 0)
        sliding = Sliding((stride, 1), zeros, (dilation, 1), groups, (block, 1))
        shape = sliding.weights(read, (kernel_size, 1), out_channels)
        layer = _layer(sliding.forward(read, shape))
        super().__init__(
            layer, (shape[0], shape[2], *shape[4:]),
            (shape[0], out_channels) if bias else None, {"device": device, "dtype": dtype},
            in_channels=in_channels, out_channels=out_channels, kernel_size=kernel_size, stride=stride,
            padding=padding, dilation=dilation, groups=groups, input_size=input_size, block=block,
        )  # fmt: skip
        self.output_size = layer.made[0]

    def forward(self, input: Tensor) -> Tensor:
        if input.dim() not in (2, 3) or tuple(input.shape[-2:]) != self._layer.read[:2]:
            raise _misread(self._layer.read[:2], input)
        weight, bias = self.weight[:, None, :, None], None if self.bias is None else self.bias[:, None]
        return _applied(self._layer, input[..., None], weight, bias)[..., 0]


class LocallyConnectedTranspose2d(_Untied):
    """`torch.nn.ConvTranspose2d` with separate weights at every position of the input, or for every `block` of them.

    `weight` is `[row, column, field row, field column, output channel of a group, channel]`, with rows and columns of the
    input; `bias` `[output row, output column, output channel]`, or `[1, 1, output channel]` with blocks. Else as
    `LocallyConnected2d`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Extent,
        stride: Extent = 1,
        padding: Pad = 0,
        output_padding: Extent = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Extent = 1,
        *,
        input_size: Extent,
        block: Extent = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        read = (*_pair(input_size), in_channels)
        sliding = Sliding(stride, padding, dilation, groups, block, output_padding)
        shape = sliding.transposed_weights(read, kernel_size, out_channels)
        layer = _layer(sliding.transpose(read, shape))
        super().__init__(
            layer, shape, layer.bias if bias else None, {"device": device, "dtype": dtype},
            in_channels=in_channels, out_channels=out_channels, kernel_size=kernel_size, stride=stride,
            padding=padding, output_padding=output_padding, dilation=dilation, groups=groups,
            input_size=input_size, block=block,
        )  # fmt: skip


def _pair(extent: Extent) -> tuple[int, int]:
    return (extent, extent) if isinstance(extent, int) else extent


# --- functions -------------------------------------------------------------------------------------------


def local(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Extent = 1,
    padding: Pad = 0,
    dilation: Extent = 1,
    groups: int = 1,
    block: Extent = 1,
) -> Tensor:
    """Return `torch.nn.functional.conv2d` with weights that differ between positions.

    Tensors are as in `LocallyConnected2d`. With fewer rows and columns of weights and biases, positions share them:
    position `i` uses row `i % rows`, or with `block` row `i // block`. Raises `DataError` for tensors that do not fit.
    """
    return _applied(
        _forward(*_shapes(input, weight), stride, padding, dilation, groups, block), input, weight, bias
    )


def local_transpose(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Extent = 1,
    padding: Pad = 0,
    output_padding: Extent = 0,
    groups: int = 1,
    dilation: Extent = 1,
    block: Extent = 1,
) -> Tensor:
    """Return the transpose of `local` with the same weights, as `conv_transpose2d` is that of `conv2d`.

    Tensors are as in `LocallyConnectedTranspose2d`. Else as `local`.
    """
    sliding = (stride, padding, dilation, groups, block, output_padding)
    return _applied(_transpose(*_shapes(input, weight), *sliding), input, weight, bias)


@torch.compiler.assume_constant_result
def _forward(read: tuple[int, ...], weight: tuple[int, ...], *sliding: Any) -> _Layer:
    return _layer(Sliding(*sliding).forward(read, weight))


@torch.compiler.assume_constant_result
def _transpose(read: tuple[int, ...], weight: tuple[int, ...], *sliding: Any) -> _Layer:
    return _layer(Sliding(*sliding).transpose(read, weight))


def _shapes(input: Tensor, weight: Tensor) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return rows, columns and channels of the input, and the shape of the weights."""
    if input.dim() not in (3, 4):
        expected = "[N, C, row, column] or [C, row, column]"
        raise refused("E716", f"expected {expected} as 'input', found {list(input.shape)}")
    return (*input.shape[-2:], input.shape[-3]), tuple(weight.shape)


# --- a layer applied -------------------------------------------------------------------------------------


class _Layer(NamedTuple):
    """What is known of a layer without its tensors: integers, which `torch.compile` can hold."""

    product: tuple[Any, ...]
    """The operator's arguments but for its operands."""
    read: tuple[int, ...]
    """Channels, rows and columns."""
    made: tuple[int, ...]
    """Rows and columns."""
    bias: tuple[int, ...]
    """The shape of its biases."""
    used: tuple[list[int], list[int]] | None
    """The row and the column of biases that each row and column of positions uses; None: one for each, or all."""


def _layer(product: Product) -> _Layer:
    window, sets, layout = product.window, product.sets, product.layout
    facts = (
        product.gives, astuple(window.rows), astuple(window.columns), astuple(sets),
        (product.maps_in, product.maps), layout.groups, astuple(layout.block),
    )  # fmt: skip
    inputs, outputs = astuple(window.inputs), astuple(window.outputs)
    if product.gives == FORWARD:
        used = None if product.untied else layout.sets_used(window.outputs, sets)
        return _Layer(facts, (product.maps_in, *inputs), outputs, (*astuple(sets), product.maps), used)
    biases = (*(inputs if product.untied else (1, 1)), product.maps_in)
    return _Layer(facts, (product.maps, *outputs), inputs, biases, None)


def _applied(layer: _Layer, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if input.dim() == len(layer.read):
        return _applied(layer, input[None], weight, bias)[0]
    if tuple(input.shape[1:]) != layer.read:
        raise _misread(layer.read, input)
    input, weight, bias = _cast(input, weight, bias)
    made = _multiplied(input, weight, *layer.product)
    if bias is None:
        return made
    if tuple(bias.shape) != layer.bias:
        raise refused("E716", f"expected 'bias' as {list(layer.bias)}, found {list(bias.shape)}")
    if layer.used is not None:
        rows, columns = layer.used
        bias = bias[rows][:, columns]
    return made + bias.permute(2, 0, 1).contiguous()


def _misread(expected: Sequence[int], input: Tensor) -> LnetError:
    axes = ", ".join(map(str, expected))
    return refused("E716", f"expected an input of [N, {axes}] or [{axes}], found {list(input.shape)}")


def _cast(input: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return tensors in the type that `torch.autocast` asks for; refuse those of different types or devices."""
    device = input.device.type
    if device != "meta" and torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        return input.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
    if input.dtype != weight.dtype or input.device != weight.device:
        found = f"{input.dtype} on {input.device}, and 'weight' is {weight.dtype} on {weight.device}"
        raise refused("E716", f"the input is {found}", hint="bring both to one type and device, with 'to'")
    return input, weight, bias


# --- the operator ----------------------------------------------------------------------------------------

ORDERS = ((0, 1, 2, 3), (0, 2, 3, 1), (2, 3, 1, 0))
"""In which the axes of `[N, C, row, column]` may lie in memory: contiguous, channels last, and batch last."""
KERNELS = ORDERS[2]


@torch.library.custom_op(
    "lnet::product",
    mutates_args=(),
    schema="(Tensor left, Tensor right, str gives, int[] rows, int[] columns, int[] sets, int[] maps, int groups, "
    "int[] block) -> Tensor",
)
def _product(left: Tensor, right: Tensor, *facts: Any) -> Tensor:
    """Return a product of two operands (runtime/kernels/products.py); values are `[N, C, row, column]`.

    Values returned lie in memory in the order of the left operand's, as PyTorch's own layers do it.
    """
    _check_device(left.device)
    product, orders = _product_of(*facts), (_order(left), _order(right))
    with jax.enable_x64(left.dtype == torch.float64):
        operands = [
            jax.dlpack.from_dlpack(tensor.detach().permute(order).contiguous())
            for tensor, order in zip((left, right), orders, strict=True)
        ]
        # JAX returns before it has read what PyTorch may overwrite.
        made = _computed(*operands, product=product, orders=orders).block_until_ready()
    tensor: Tensor = torch.from_dlpack(made)
    return tensor if product.gives == WEIGHT_GRADIENT else tensor.permute(_inverse(orders[0]))


@partial(jax.jit, static_argnames=("product", "orders"))
def _computed(left: jax.Array, right: jax.Array, *, product: Product, orders: Any) -> jax.Array:
    """Compute a product of operands in any orders, which XLA transposes up to 14 times as fast as PyTorch does."""
    operands = [
        array.transpose([order.index(axis) for axis in KERNELS]) if array.ndim == len(KERNELS) else array
        for array, order in zip((left, right), orders, strict=True)
    ]
    made = product_of(operands[0], operands[1], product)
    if product.gives == WEIGHT_GRADIENT:
        return made
    return made.transpose([KERNELS.index(axis) for axis in orders[0]])


@_product.register_fake
def _(left: Tensor, right: Tensor, *facts: Any) -> Tensor:
    product = _product_of(*facts)
    if product.gives == WEIGHT_GRADIENT:
        return left.new_empty(product.weight_shape)
    forward = product.gives == FORWARD
    size = product.window.outputs if forward else product.window.inputs
    shape = (left.shape[0], product.maps if forward else product.maps_in, size.rows, size.columns)
    order = _order(left)
    return left.new_empty([shape[axis] for axis in order]).permute(_inverse(order))


class _Differentiated(torch.autograd.Function):
    """The operator, differentiated: what differentiates a product is another (runtime/kernels/multiply.py)."""

    @staticmethod
    def forward(left: Tensor, right: Tensor, *facts: Any) -> Tensor:
        made: Tensor = _product(left, right, *facts)
        return made

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        left, right, *ctx.facts = inputs
        ctx.save_for_backward(left, right)
        ctx.save_for_forward(left, right)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        left, right = ctx.saved_tensors
        gives, *facts = ctx.facts
        products = derivatives(gives, left, right, gradient)
        of_left, of_right = (
            _multiplied(*operands, other, *facts) if needed else None
            for (other, *operands), needed in zip(products, ctx.needs_input_grad, strict=False)
        )
        return of_left, of_right, *(None for _ in ctx.facts)

    @staticmethod
    def jvp(ctx: Any, along_left: Tensor | None, along_right: Tensor | None, *_: None) -> Tensor:
        left, right = ctx.saved_tensors
        parts = []
        if along_left is not None:
            parts.append(_multiplied(along_left, right, *ctx.facts))
        if along_right is not None:
            parts.append(_multiplied(left, along_right, *ctx.facts))
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]

    @staticmethod
    def vmap(
        info: Any, axes: tuple[Any, ...], left: Tensor, right: Tensor, *facts: Any
    ) -> tuple[Tensor, int]:
        """Values are mapped over as one batch where weights are not; else, one product follows the other."""
        first, second = axes[:2]
        if second is None and facts[0] != WEIGHT_GRADIENT:
            values = left.movedim(first, 0)
            made = _multiplied(values.flatten(0, 1), right, *facts)
            return made.unflatten(0, values.shape[:2]), 0
        operands = [
            (tensor,) * info.batch_size if axis is None else tensor.unbind(axis)
            for tensor, axis in zip((left, right), (first, second), strict=True)
        ]
        return torch.stack([_multiplied(*pair, *facts) for pair in zip(*operands, strict=True)]), 0


_product.register_autograd(_Differentiated.backward, setup_context=_Differentiated.setup_context)


def _multiplied(left: Tensor, right: Tensor, *facts: Any) -> Tensor:
    """Return a product. `torch.compile` refuses functions with a `jvp`: compiled programs have the operator itself."""
    how = _product if torch.compiler.is_compiling() else _Differentiated.apply
    made: Tensor = how(left, right, *facts)
    return made


def _product_of(
    gives: str, rows: Sequence[int], columns: Sequence[int], sets: Sequence[int], maps: Sequence[int], groups: int,
    block: Sequence[int],
) -> Product:  # fmt: skip
    window = Window(Slide(*rows), Slide(*columns))
    maps_in, made = maps
    return Product(gives, window, Size(*sets), maps_in, made, ANY_BATCH, layout=Layout(groups, Size(*block)))


def _order(tensor: Tensor) -> tuple[int, ...]:
    """Return the order in which the axes of values lie in memory; a weight's is its own."""
    if tensor.dim() != len(KERNELS):
        return tuple(range(tensor.dim()))
    return next((order for order in ORDERS if tensor.permute(order).is_contiguous()), ORDERS[0])


def _inverse(order: tuple[int, ...]) -> list[int]:
    return [order.index(axis) for axis in range(len(order))]


def _check_device(device: torch.device) -> None:
    """Refuse a device that JAX does not have."""
    try:
        jax.devices(device.type)
    except RuntimeError as error:
        raise refused(
            "E716",
            f"the tensors are on '{device}', a device that JAX does not have here",
            hint=("move the layer and its input to the CPU with 'to'", "or install JAX for this device"),
        ) from error
