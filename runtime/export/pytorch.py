"""A network as a program for PyTorch that needs no lnet: source text, and weights beside it.

face.py             the classes of its layers, `Network`, `load`, `save`; where preparation is known, `prepare`, `transform`
face.safetensors    parameters by their names in `Network().state_dict()`
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from lnet.compiler.core.layer import Layer
from lnet.compiler.files import write_aside, written_aside
from lnet.compiler.graph.graph import Graph
from lnet.compiler.settings import DatasetFigures, Frames
from lnet.dsl.diagnostics import refused
from lnet.runtime.engine.network import Network
from lnet.runtime.store.safetensors import write_arrays

from .call import Call, Text, statement, unless, written
from .names import Names, modules
from .ops import MODULES
from .refuse import check_known, check_suffix
from .source import program


def export_torch(network: Network, path: str | os.PathLike[str]) -> None:
    """Write the network as a program for PyTorch, `NAME.py`, and its weights beside it, `NAME.safetensors`.

    The program needs torch and safetensors alone. Its `load()` returns a `torch.nn.Module` of prepared images
    `[batch, channel, row, column]`; its values are those of `network(images)`, but `[batch, map, row, column]`. Raises
    `LnetError` for another suffix, for layers of plug-ins, and for files that cannot be written.
    """
    target = Path(path)
    check_suffix(target, ".py")
    check_known(network.graph, MODULES, "PyTorch")
    weights, names = target.with_suffix(".safetensors"), Names(network.graph.visible[1:])
    text = program_of(network.graph, names, weights.name)
    arrays, axes = {}, {}
    for layer in network.graph.visible:
        for parameter in layer.parameters:
            if _owner(parameter.name) == layer.path:
                name = f"{names.of_state(layer.path)}.{parameter.role}"
                arrays[name] = network.params[parameter.name]
                axes[f"{name}.axes"] = json.dumps(layer.op.weights()[parameter.role].axes)
    try:
        with written_aside(weights) as file:
            write_arrays(file, arrays, axes)
        write_aside(target, text)
    except OSError as error:
        raise refused("E608", f"'{target}' cannot be written", str(error)) from error


def _owner(parameter: str) -> str:
    """Return the path of the layer that a parameter belongs to."""
    return parameter.rpartition(".")[0]


# --- the program ------------------------------------------------------------------------------------------


def program_of(graph: Graph, names: Names, weights: str) -> str:
    """Return the program of a network; `weights`: the file beside it."""
    made = {layer.path: MODULES[layer.op.kind](layer.op) for layer in graph.visible[1:]}
    parts = [
        _network(graph, names, modules(names.tree, made)),
        LOAD.format(weights=written(weights)),
        *_prepare(graph),
    ]
    return TITLE.format(name=graph.name) + program("\n\n\n".join(parts))


TITLE = '"""The network \'{name}\' in PyTorch, written by lnet."""\n\n'

NETWORK = '''\
class Network(nn.Module):
    """Prepared images [batch, {maps}, {height}, {width}] to the values of all layers by name, [batch, map, row, column]."""

    def __init__(self) -> None:
        super().__init__()
{layers}

    def forward(self, images: Tensor) -> dict[str, Tensor]:
{values}
        return values'''

LOAD = '''\
WEIGHTS = Path(__file__).with_name({weights})


def load(weights: str | Path = WEIGHTS) -> Network:
    """Return the network with its weights, in evaluation mode."""
    network = Network()
    network.load_state_dict(load_file(weights), assign=True)
    return network.eval()


def save(network: Network, weights: str | Path) -> None:
    """Write the network's weights into a file that `load` reads, and 'lnetc import'."""
    with safe_open(WEIGHTS, "pt") as own:
        save_file(network.state_dict(), weights, own.metadata())'''

TRANSFORM = '''\
def transform(image: Any) -> Tensor:
    """Return an image of Pillow as the network reads it, [channel, row, column]: scaled, cut and prepared."""
{prepared}'''

PREPARE = '''\
def prepare(images: Tensor) -> Tensor:
    """Return {images} prepared as in training."""
{prepared}'''


def _network(graph: Graph, names: Names, layers: dict[str, Call]) -> str:
    sheet = graph.input.sheet
    return NETWORK.format(
        maps=sheet.maps,
        height=sheet.height,
        width=sheet.width,
        layers="\n".join(statement(f"self.{attribute} = ", call, 8) for attribute, call in layers.items()),
        values="\n".join(_values(graph, names)),
    )


def _values(graph: Graph, names: Names) -> Iterator[str]:
    """Yield a line for each layer, with its extents behind it."""
    image, *layers = graph.visible
    yield f"        values = {{{written(image.path)}: images}}  # {image.sheet}"
    for layer in layers:
        operands = tuple(Text(_value(graph.layer(path).path)) for path in layer.reads)
        call = Call(names.of_module(layer.path), operands, _shared(layer, names))
        yield statement(f"{_value(layer.path)} = ", call, 8, f"  # {layer.sheet}")


def _value(path: str) -> str:
    return f"values[{written(path)}]"


def _shared(layer: Layer, names: Names) -> dict[str, Text]:
    """Return the parameters of other layers that a module is given."""
    owners = {parameter.role: _owner(parameter.name) for parameter in layer.parameters}
    return {
        role: Text(f"{names.of_module(owner)}.{role}")
        for role, owner in owners.items()
        if owner != layer.path
    }


def _prepare(graph: Graph) -> Iterator[str]:
    """Yield the functions that prepare images; none where figures of a data set are not known."""
    data, sheet = graph.data, graph.input.sheet
    given, what = Text("images"), "arrays"
    if isinstance(data, Frames):
        given, what = Text("unit_range(images)"), "images of the network's size, in bytes or 0..1,"
    prepared: Call | Text = given
    match data.normalize:
        case "dataset":
            return
        case "image":
            prepared = Call("by_image", (given,))
        case "symmetric":
            prepared = Call("symmetric", (given,))
        case DatasetFigures(mean, deviation):
            prepared = Call("by_figures", (given, [*mean], [*deviation]))
    yield PREPARE.format(images=what, prepared=statement("return ", prepared, 4))
    if isinstance(data, Frames) and sheet.maps in (1, 3):
        size = (data.size.rows, data.size.columns)
        call = Call(
            "covering", (Text("image"), size, sheet.maps), unless(False, scaled=data.crop == "resize")
        )
        yield TRANSFORM.format(prepared=statement("return ", Text(f"prepare({written(call)}[None])[0]"), 4))
