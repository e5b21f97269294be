"""The nodes of an ONNX graph as they are put together, before the package `onnx` is needed.

Values are `[batch, map, row, column]`, float32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]
Name = str
"""Of a value in the graph."""
Pair = tuple[int, int]


class Named(NamedTuple):
    """A parameter and its name."""

    name: Name
    array: Array


Parameters = Mapping[str, Named]
"""The parameters of a layer by role."""


class Node(NamedTuple):
    """An operation, the names of what it reads, and of what it makes."""

    kind: str
    reads: tuple[Name, ...]
    makes: Name
    attributes: Mapping[str, Any]


@dataclass
class Nodes:
    """Nodes in their order, and constants by name; names begin with `layer`, the path of the layer that is written."""

    layer: str = ""
    nodes: list[Node] = field(default_factory=list)
    constants: dict[Name, Array] = field(default_factory=dict)

    def begin(self, layer: str) -> None:
        """Begin a layer, by its path."""
        self.layer = layer

    def end(self, value: Name) -> None:
        """Give a value the path of the layer as its name."""
        if not (self.nodes and self.nodes[-1].makes == value and value.startswith(f"{self.layer}/")):
            self.add("Identity", value)
        self.nodes[-1] = self.nodes[-1]._replace(makes=self.layer)

    def add(self, kind: str, *reads: Name | ArrayLike, **attributes: Any) -> Name:
        """Add a node and return the name of its value; arrays that it reads become constants."""
        names = tuple(each if isinstance(each, str) else self.constant(each) for each in reads)
        made = f"{self.layer}/{len(self.nodes)}"
        self.nodes.append(Node(kind, names, made, attributes))
        return made

    def constant(self, value: ArrayLike) -> Name:
        """Enter an array; numbers that are not whole are float32."""
        array = np.asarray(value)
        name = f"{self.layer}/constant {len(self.constants)}"
        self.constants[name] = array.astype(np.int64 if array.dtype.kind == "i" else np.float32)
        return name

    def parameter(self, of: Named, arranged: Callable[[Array], Array] = lambda array: array) -> Name:
        """Enter a parameter; one that several layers have, arranged alike, is there once."""
        array = np.ascontiguousarray(arranged(of.array), np.float32)
        name = of.name
        while name in self.constants and self.constants[name].shape != array.shape:
            name += "'"
        self.constants.setdefault(name, array)
        return name

    # --- what several ops are written with ---

    def reshaped(self, x: Name, *shape: int) -> Name:
        """Return a value in another shape: -1 is the batch, 0 an axis as it was."""
        return self.add("Reshape", x, np.array(shape))

    def transposed(self, x: Name, *order: int) -> Name:
        """Return a value with its axes in another order."""
        return self.add("Transpose", x, perm=order)

    def padded(self, x: Name, rows: Pair, columns: Pair, value: float = 0.0) -> Name:
        """Return a value with rows and columns before and after; below zero these are cut off."""
        around = [0, 0, rows[0], columns[0], 0, 0, rows[1], columns[1]]
        return self.add("Pad", x, np.array(around), value) if any(around) else x

    def cut(self, x: Name, axes: Sequence[int], start: Sequence[int], stop: Sequence[int]) -> Name:
        """Return some positions along some axes."""
        return self.add("Slice", x, np.array(start), np.array(stop), np.array(axes))

    def mean(self, x: Name, *axes: int) -> Name:
        """Return the mean over axes, which stay as ones of extent 1."""
        return self.add("ReduceMean", x, np.array(axes), keepdims=1)

    def squared(self, x: Name) -> Name:
        """Return the squares of values."""
        return self.add("Mul", x, x)
