"""A network as a graph of ONNX, with its weights in it.

Graphs are put together of records (`nodes.py`); the package `onnx` turns them into a file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from lnet.compiler.core.layer import Layer
from lnet.compiler.files import write_aside, written_aside
from lnet.compiler.settings import DatasetFigures
from lnet.dsl.diagnostics import refused
from lnet.runtime.engine.network import Network
from lnet.runtime.store.safetensors import data_of

from .nodes import Array, Named, Nodes
from .ops import NODES
from .refuse import check_known, check_suffix

OPSET, FORMAT = 18, 8
"""The versions of ONNX's operators and of its files: of 2022, which most programs read."""
MOST = 2**31 - 2**20
"""A file of ONNX has less than 2 GiB; the arrays of a larger graph stand in a file beside it, """
ALIGNED = 4096
"""each from a multiple of so many bytes on."""
FLOAT = 1
TYPES = {"float32": FLOAT, "int64": 7}
"""The numbers of types in ONNX."""


def export_onnx(network: Network, path: str | os.PathLike[str], batch: int | None = None) -> None:
    """Write the network as a graph of ONNX, `NAME.onnx`, in float32, with its weights.

    Its input is prepared images `[batch, channel, row, column]`; its outputs are the values of all further layers, as
    `network(images)` returns them, but `[batch, map, row, column]`. Both have the names of the layers. `batch`: the number
    of images, if it is fixed. Parameters of 2 GB or more stand beside it in `NAME.onnx.data`. Raises `LnetError` for
    another suffix, for layers of plug-ins, without the package `onnx`, and for files that cannot be written.
    """
    target = Path(path)
    check_suffix(target, ".onnx")
    if batch is not None and batch < 1:
        raise refused("E716", f"expected a batch of 1 image or more, found {batch}")
    check_known(network.graph, NODES, "ONNX")
    onnx, graph = _package(), nodes_of(network)
    weights = target.with_name(f"{target.name}.data")
    apart = sum(array.nbytes for array in graph.constants.values()) > MOST
    places = dict(_places(graph.constants)) if apart else {}
    model = _model(onnx, network, graph, batch, weights.name, places)
    try:
        if apart:
            with written_aside(weights) as file:
                for name, place in places.items():
                    file.seek(place)
                    file.write(data_of(graph.constants[name]))
        write_aside(target, model.SerializeToString())
    except OSError as error:
        raise refused("E608", f"'{target}' cannot be written", str(error)) from error


def _package() -> Any:
    try:
        import_module("onnx.helper")
        return import_module("onnx")
    except ImportError as error:
        hint = "install it with: pip install 'lnetc[onnx]'"
        raise refused("E787", "writing ONNX needs 'onnx'", str(error), hint=hint) from error


def nodes_of(network: Network) -> Nodes:
    """Return the nodes of all layers; the value of each has the layer's path as its name."""
    graph, nodes = network.graph, Nodes()
    for layer in graph.visible[1:]:
        nodes.begin(layer.path)
        params = {p.role: Named(p.name, network.params[p.name]) for p in layer.parameters}
        operands = [graph.layer(path).path for path in layer.reads]
        nodes.end(NODES[layer.op.kind](layer.op, nodes, operands, params))
    return nodes


def _places(constants: Mapping[str, Array]) -> Iterator[tuple[str, int]]:
    """Yield where each parameter begins in a file; shapes and indices stay in the graph."""
    offset = 0
    parameters = ((name, array) for name, array in constants.items() if array.dtype == np.float32)
    for name, array in parameters:
        yield name, offset
        offset += -(-array.nbytes // ALIGNED) * ALIGNED


def _model(
    onnx: Any, network: Network, nodes: Nodes, batch: int | None, beside: str, places: Mapping[str, int]
) -> Any:
    """Return the graph as the package has it; arrays with a place stand in the file `beside` it."""
    helper, (image, *layers) = onnx.helper, network.graph.visible
    graph = helper.make_graph(
        [helper.make_node(node.kind, node.reads, [node.makes], **node.attributes) for node in nodes.nodes],
        network.graph.name,
        [_value(helper, image, batch)],
        [_value(helper, layer, batch) for layer in layers],
        [_tensor(onnx, name, array, beside, places.get(name)) for name, array in nodes.constants.items()],
    )
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, ir_version=FORMAT, opset_imports=opsets, producer_name="lnet")
    how = network.graph.data.normalize
    facts = {"normalize": str(how)}
    if isinstance(how, DatasetFigures):
        facts |= {"normalize/mean": json.dumps(how.mean), "normalize/deviation": json.dumps(how.deviation)}
    helper.set_model_props(model, facts)
    return model


def _value(helper: Any, layer: Layer, batch: int | None) -> Any:
    """Return the type of a layer's value."""
    sheet = layer.sheet
    return helper.make_tensor_value_info(
        layer.path, FLOAT, [batch or "batch", sheet.maps, sheet.height, sheet.width]
    )


def _tensor(onnx: Any, name: str, array: Array, beside: str, place: int | None) -> Any:
    """Return an array, or where it stands in a file."""
    tensor = onnx.TensorProto(name=name, dims=array.shape, data_type=TYPES[array.dtype.name])
    if place is None:
        tensor.raw_data = array.tobytes()
    else:
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", beside), ("offset", place), ("length", array.nbytes)):
            tensor.external_data.add(key=key, value=str(value))
    return tensor
