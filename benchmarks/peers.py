"""What the untied local layer is measured against (local.py): recipes of other libraries, each in the layout that suits it.

    lax.conv_general_dilated_local      JAX's own layer
    JAX slices + einsum                 patches by slices, one contraction
    PyTorch unfold + bmm                the usual recipe, batch first
    PyTorch batch-last                  views of windows, one product for each position: the fastest recipe found
    torch conv2d                        where all positions share their weights
    tf-keras, implementation 1          LocallyConnected2D, a product for each position
    tf-keras, implementation 3          the same, a product with a sparse matrix

PyTorch and tf-keras are measured where they are installed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from timing import Call, jitted

os.environ.setdefault(
    "OMP_WAIT_POLICY", "passive"
)  # or threads of one peer, waiting busily, slow the next one down
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
try:
    import torch
except ImportError:
    torch = None  # type: ignore[assignment,unused-ignore]
try:
    import tensorflow
    import tf_keras
except ImportError:
    tensorflow = tf_keras = None

if TYPE_CHECKING:
    from local import Arrays, Case

Peer = Callable[["Case", "Arrays", int], Call]
"""Makes the call of a peer's forward pass, or of all three passes."""


def peers(case: Case, arrays: Arrays, passes: int) -> dict[str, Call]:
    """Return a call of each peer that has such a layer."""
    plain = case.groups == case.block == 1 and not case.transposed
    found: dict[str, Peer] = {"JAX slices + einsum": jax_slices}
    if plain:
        found["lax.conv_general_dilated_local"] = lax_local
    if torch is not None:
        found["PyTorch batch-last"] = torch_fold if case.transposed else torch_batch_last
        if plain:
            found["PyTorch unfold + bmm"] = torch_unfold
        if case.shared:
            found["torch conv2d"] = torch_conv2d
    if tf_keras is not None and plain and case.dilation == 1:
        found["tf-keras, implementation 1"] = lambda *of: keras(*of, implementation=1)
        found["tf-keras, implementation 3"] = lambda *of: keras(*of, implementation=3)
    return {name: peer(case, arrays, passes) for name, peer in found.items()}


def passes_of(layer: Callable[..., Any], passes: int, x: Any, w: Any, dh: Any) -> Call:
    """Return a JAX layer's forward pass, or that and both gradients."""

    def all_passes(x: jax.Array, w: jax.Array, dh: jax.Array) -> Any:
        h, back = jax.vjp(layer, x, w)
        return h, back(dh)

    x, w, dh = map(jnp.asarray, (x, w, dh))
    return jitted(layer, x, w) if passes == 1 else jitted(all_passes, x, w, dh)


def lax_local(case: Case, arrays: Arrays, passes: int) -> Call:
    """The layout that the function asks for: images NHWC, weights `[rows, columns, K, maps]`, `K` with maps in first."""
    images, weights, gradients = arrays
    positions, field = weights.shape[0], (case.field, case.field)
    kernel = np.moveaxis(weights, 4, 2).reshape(positions, positions, -1, case.maps)

    def layer(x: jax.Array, w: jax.Array) -> jax.Array:
        strides, dilation = (case.stride, case.stride), (case.dilation, case.dilation)
        layout = ("NHWC", "HWIO", "NHWC")
        h: jax.Array = lax.conv_general_dilated_local(
            x, w, strides, "VALID", field, rhs_dilation=dilation, dimension_numbers=layout
        )
        return h

    return passes_of(layer, passes, np.moveaxis(images, -1, 0), kernel, np.moveaxis(gradients, -1, 0))


def jax_slices(case: Case, arrays: Arrays, passes: int) -> Call:
    images, weights, gradients = arrays
    sets, block, groups, positions = weights.shape[0], case.block, case.groups, gradients.shape[0]
    last = case.stride * (positions - 1) + 1

    def layer(x: jax.Array, w: jax.Array) -> jax.Array:
        starts = [case.dilation * k for k in range(case.field)]
        s = case.stride
        patches = jnp.stack([x[u : u + last : s, v : v + last : s] for u in starts for v in starts])
        shape = (sets, block, sets, block, groups, case.maps_in // groups, case.batch)
        of_sets = w.reshape(sets, sets, case.field**2, case.maps_in // groups, groups, -1)
        h = jnp.einsum("kixjygcb,ijkcgm->ixjygmb", patches.reshape(-1, *shape), of_sets)
        return h.reshape(positions, positions, case.maps, case.batch)

    if not case.transposed:
        return passes_of(layer, passes, images, weights, gradients)
    empty = jnp.zeros(images.shape)

    def transposed(h: jax.Array, w: jax.Array) -> jax.Array:
        (x,) = jax.linear_transpose(lambda x: layer(x, w), empty)(h)
        return x

    return passes_of(transposed, passes, gradients, weights, images)


def torch_call(layer: Callable[..., Any], passes: int, *arrays: np.ndarray[Any, Any]) -> Call:
    """Return a PyTorch layer's forward pass, or that and both gradients by autograd."""
    x, w, dh = (torch.from_numpy(np.ascontiguousarray(array)) for array in arrays)
    for operand in (x, w):
        operand.requires_grad_(passes > 1)

    def call() -> Any:
        h = layer(x, w)
        if passes == 1:
            return h.numpy()
        x.grad = w.grad = None
        h.backward(dh)
        return None

    return call


def torch_unfold(case: Case, arrays: Arrays, passes: int) -> Call:
    images, weights, gradients = arrays
    positions = weights.shape[0] ** 2
    kernel = weights.transpose(0, 1, 4, 2, 3, 5).reshape(positions, -1, case.maps)

    def layer(x: Any, w: Any) -> Any:
        patches = torch.nn.functional.unfold(x, case.field, case.dilation, stride=case.stride)
        return torch.bmm(patches.permute(2, 0, 1), w)

    rows = gradients.reshape(positions, case.maps, case.batch).transpose(0, 2, 1)
    return torch_call(layer, passes, images.transpose(3, 2, 0, 1), kernel, rows)


def torch_batch_last(case: Case, arrays: Arrays, passes: int) -> Call:
    """Images `[rows, columns, maps, batch]`, as lnet has them; positions that share a set of weights are a wider batch."""
    images, weights, gradients = arrays
    sets, block, groups, positions = weights.shape[0], case.block, case.groups, gradients.shape[0]
    span = case.dilation * (case.field - 1) + 1

    def layer(x: Any, w: Any) -> Any:
        windows = x.unfold(0, span, case.stride).unfold(1, span, case.stride)
        windows = windows[..., :: case.dilation, :: case.dilation]
        split = windows.reshape(sets, block, sets, block, groups, -1, case.batch, case.field, case.field)
        patches = split.permute(0, 2, 4, 7, 8, 5, 1, 3, 6).reshape(
            sets * sets * groups, -1, block**2 * case.batch
        )
        kernel = w.view(sets, sets, -1, groups, case.maps // groups).permute(0, 1, 3, 4, 2)
        h = torch.bmm(kernel.reshape(sets * sets * groups, case.maps // groups, -1), patches)
        whole = h.view(sets, sets, case.maps, block, block, case.batch).permute(0, 3, 1, 4, 2, 5)
        return whole.reshape(positions, positions, case.maps, case.batch)

    return torch_call(layer, passes, images, weights, gradients)


def torch_fold(case: Case, arrays: Arrays, passes: int) -> Call:
    """The transposed layer: a product for each position, and the sums of what overlaps."""
    images, weights, gradients = arrays
    positions = weights.shape[0] ** 2
    kernel = weights.transpose(0, 1, 4, 2, 3, 5).reshape(positions, -1, case.maps)

    def layer(h: Any, w: Any) -> Any:
        patches = torch.bmm(w, h).permute(2, 1, 0)
        return torch.nn.functional.fold(patches, (case.extent, case.extent), case.field, stride=case.stride)

    values = gradients.reshape(positions, case.maps, case.batch)
    return torch_call(layer, passes, values, kernel, images.transpose(3, 2, 0, 1))


def torch_conv2d(case: Case, arrays: Arrays, passes: int) -> Call:
    images, weights, gradients = arrays

    def layer(x: Any, w: Any) -> Any:
        return torch.nn.functional.conv2d(
            x, w, stride=case.stride, dilation=case.dilation, groups=case.groups
        )

    kernel = weights[0, 0].transpose(3, 2, 0, 1)
    return torch_call(layer, passes, images.transpose(3, 2, 0, 1), kernel, gradients.transpose(3, 2, 0, 1))


def keras(case: Case, arrays: Arrays, passes: int, implementation: int) -> Call:
    """Compiled by `tf.function`; the layer's own weights, of whatever layout."""
    images, _, gradients = arrays
    layer = tf_keras.layers.LocallyConnected2D(
        case.maps, case.field, case.stride, use_bias=False, implementation=implementation
    )
    x, dh = (tensorflow.constant(np.moveaxis(array, -1, 0)) for array in (images, gradients))
    layer(x)

    @tensorflow.function
    def call() -> Any:
        with tensorflow.GradientTape() as tape:
            tape.watch(x)
            h = layer(x)
        return h if passes == 1 else tape.gradient(h, [x, *layer.trainable_weights], dh)

    def result() -> Any:
        found = call()
        return None if passes > 1 else found.numpy()

    return result
