"""Export of a network: its arrays with named axes, and its computation as StableHLO.

    weights.npz             V1.filter.weight          the array
                            V1.filter.weight.axes     "row", "column", "field row", ...
                            activations/V1.filter     responses to a set of images
                            activations/names         names of the images
                            inputs/mean               of the prepared training images, if known
                            inputs/deviation
                            normalize/mean            of each map of the data set, with `normalize = dataset`
                            normalize/deviation
    weights.safetensors     the same arrays; axes, names and numbers are JSON in the file's metadata

Activations of many images may exceed the memory: they are spooled to files, which are then copied into the output.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

import jax
import numpy as np
from jax import export as jax_export
from numpy.typing import ArrayLike, NDArray

from lnet.compiler.files import write_aside, written_aside
from lnet.compiler.settings import DatasetFigures
from lnet.dsl.diagnostics import refused
from lnet.runtime.data import Batch
from lnet.runtime.engine.evaluate import batch_first, batch_last, layer_values
from lnet.runtime.engine.network import Network
from lnet.runtime.kernels.choose import portable
from lnet.runtime.store.safetensors import write_arrays

from .neurons import find_layers

Array = NDArray[Any]
VALUE = ("image", "row", "column", "map")
BATCH = 50
PLATFORMS = ("cpu", "cuda")


@dataclass(frozen=True)
class Named:
    """An array and the names of its axes."""

    array: Array
    axes: tuple[str, ...]


def export(
    network: Network,
    path: str | os.PathLike[str],
    images: Iterable[Batch] | ArrayLike | None = None,
    layers: Sequence[str] = (),
) -> None:
    """Write the parameters, and responses to `images` if given, into a `.npz` or `.safetensors` file with named axes.

    `images` are batches, or an array as `network` takes it. Responses are those of `layers` (default: all),
    `[image, row, column, map]`. Nothing is pickled. Raises `LnetError` for another suffix, an unknown layer, layers
    without images, images of another shape, or a file that cannot be written.
    """
    target = Path(path)
    if target.suffix not in WRITERS:
        known = " or ".join(f"'{suffix}'" for suffix in WRITERS)
        raise refused("E782", f"expected a file that ends in {known}, found '{target.name}'")
    paths = find_layers(network.graph, layers)
    if layers and images is None:
        raise refused(
            "E516",
            "layers choose the responses to write, and there are no images",
            hint="give images",
        )
    try:
        with TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as spool:
            arrays, facts = dict(parameters(network)), _facts(network)
            if images is not None:
                found, facts["activations/names"] = _spooled(network, _batches(images), paths, Path(spool))
                arrays |= found
            with written_aside(target) as file:
                WRITERS[target.suffix](file, arrays, facts)
    except OSError as error:
        raise refused("E608", f"'{target}' cannot be written", str(error)) from error


def _facts(network: Network) -> dict[str, Any]:
    """Return the metadata of a network."""
    facts: dict[str, Any] = {}
    if network.inputs is not None:
        facts |= {"inputs/mean": network.inputs.mean, "inputs/deviation": network.inputs.deviation}
    how = network.graph.data.normalize
    if isinstance(how, DatasetFigures):
        facts |= {"normalize/mean": how.mean, "normalize/deviation": how.deviation}
    return facts


def parameters(network: Network) -> dict[str, Named]:
    """Return every parameter by name."""
    named = {}
    for layer in network.graph.layers:
        for parameter in layer.parameters:
            axes = layer.op.weights()[parameter.role].axes
            named[parameter.name] = Named(network.params[parameter.name], axes)
    return named


# --- activations -----------------------------------------------------------------------------------------


def _batches(images: Any) -> Iterator[Batch]:
    """Yield images in batches; raises `LnetError` for what is neither batches nor an array."""
    if hasattr(images, "__array__"):
        array = np.atleast_1d(images)
        for first in range(0, max(len(array), 1), BATCH):
            part = array[first : first + BATCH]
            yield Batch(part, None, tuple(f"[{first + number}]" for number in range(len(part))))
        return
    for batch in images:
        if not isinstance(batch, Batch):
            raise refused("E716", f"expected batches or an array of images, found {type(batch).__name__}")
        yield batch


def _spooled(
    network: Network, images: Iterable[Batch], paths: Sequence[str], folder: Path
) -> tuple[dict[str, Named], tuple[str, ...]]:
    """Return responses to images as memory-mapped arrays in `folder`, and the images' names."""
    chosen = [layer for layer in network.graph.visible if not paths or layer.path in paths]
    names: list[str] = []
    dtype = np.dtype(network.graph.training.dtype)
    for batch in images:
        values = network(batch.images)
        for layer in chosen:
            with open(folder / layer.path, "ab") as file:
                file.write(np.ascontiguousarray(values[layer.path]).data)
        names += batch.names
    arrays = {}
    for layer in chosen:
        sheet = layer.sheet
        shape = (len(names), sheet.height, sheet.width, sheet.maps)
        array = np.memmap(folder / layer.path, dtype, "r", shape=shape)
        arrays[f"activations/{layer.path}"] = Named(array, VALUE)
    return arrays, tuple(names)


# --- files -----------------------------------------------------------------------------------------------


def _write_npz(file: BinaryIO, arrays: Mapping[str, Named], facts: Mapping[str, Any]) -> None:
    members: dict[str, Array] = {}
    for name, named in arrays.items():
        members |= {name: named.array, f"{name}.axes": np.array(named.axes)}
    members |= {name: np.array(value) for name, value in facts.items()}
    np.savez(file, allow_pickle=False, **members)


def _write_safetensors(file: BinaryIO, arrays: Mapping[str, Named], facts: Mapping[str, Any]) -> None:
    metadata = {f"{name}.axes": json.dumps(named.axes) for name, named in arrays.items()}
    metadata |= {name: json.dumps(value) for name, value in facts.items()}
    write_arrays(file, {name: named.array for name, named in arrays.items()}, metadata)


WRITERS = {".npz": _write_npz, ".safetensors": _write_safetensors}


# --- the program -----------------------------------------------------------------------------------------


def export_program(network: Network, path: str | os.PathLike[str]) -> None:
    """Write the network's computation as StableHLO, in the format of `jax.export`, for batches of any size on CPU and CUDA.

    `jax.export.deserialize(file.read()).call(weights, images)` needs no lnet: `weights` are all parameters by name, as
    `export` writes them; `images` are `[batch, row, column, channel]`; both have the network's type. It returns what
    `network(images)` does. A program in float64 is called within `jax.enable_x64(True)`. Raises `LnetError` if the file
    cannot be written.
    """

    def values(weights: Mapping[str, jax.Array], images: jax.Array) -> dict[str, jax.Array]:
        found = layer_values(network.graph, weights, batch_last(images))
        return {path: batch_first(value) for path, value in found.items()}

    (batch,) = jax_export.symbolic_shape("batch")
    sheet = network.graph.input.sheet
    with portable(), network.computing():
        weights = {p.name: _array(p.shape) for p in network.graph.parameters}
        images = _array((batch, sheet.height, sheet.width, sheet.maps))
        program = jax_export.export(jax.jit(values), platforms=PLATFORMS)(weights, images)
    try:
        write_aside(Path(path), bytes(program.serialize()))
    except OSError as error:
        raise refused("E608", f"'{path}' cannot be written", str(error)) from error


def _array(shape: Sequence[Any]) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(tuple(shape), float)  # type: ignore[no-untyped-call]
