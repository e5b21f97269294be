"""How other programs lay out the weights of a layer.

A layout is written with a letter for each axis; axes that are merged stand in parentheses, and an axis of extent 1 may
be missing:

    lnet                               R C r c i m      position, place in the field, input map, map
    Keras LocallyConnected2D           (R C) (r c i) m
    PyTorch Conv2d                     m i r c          where R and C are 1

A weight of a dense layer has the axes `(h w k) u`, rows, columns and maps of what it reads; PyTorch puts maps first. The
implementations 2 and 3 of Keras's LocallyConnected2D are no such layouts, and have functions of their own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np

from lnet.compiler.core.layer import Parameter
from lnet.compiler.core.shapes import Slide, Window
from lnet.compiler.graph.graph import Graph
from lnet.compiler.ops.filters import Filters

from .foreign import KERAS, LNET, TORCH, UNKNOWN, Array

LETTERS = {
    "row": "R",
    "column": "C",
    "field row": "r",
    "field column": "c",
    "input map": "i",
    "map": "m",
    "input": "(h w k)",
    "unit": "u",
}
"""The letter of each axis of lnet's."""
_FILTERS = "R C r c i m"
_OWN = _FILTERS.replace(" ", "")
_PATTERNS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    _FILTERS: {
        KERAS: ("R C r c i m", "(R C) (r c i) m"),
        TORCH: ("R C m i r c", "m i R C (r c)", "(R C) m (i r c)", "(R C) (i r c) m"),
    },
    "R C m": {KERAS: ("R C m", "(R C) m"), TORCH: ("m R C", "R C m", "(R C) m")},
    "R C r c m i": {KERAS: ("R C r c m i",), TORCH: ("R C i m r c",)},  # of transposed layers
    "(h w k) u": {KERAS: ("(h w k) u",), TORCH: ("u (k h w)",)},
}
"""Layouts of other programs, by lnet's; the most usual first."""


@dataclass(frozen=True)
class Target:
    """A parameter of a network, the layout that it has in lnet, and the extents of that layout's axes.

    `window`: how the filters of a local layer slide, if every position has its own.
    """

    parameter: Parameter
    layer: str
    own: str
    extents: Mapping[str, int]
    window: Window | None


@dataclass(frozen=True)
class Layout:
    """A layout by the name that a mapping says; `arranged` returns an array of it as lnet lays it out."""

    name: str
    shape: tuple[int, ...]
    arranged: Callable[[Array], Array]
    key: tuple[str, ...]  # equal for layouts that do the same

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether an array has the layout's shape, but for axes of extent 1."""
        return _longer(shape) == _longer(self.shape)


def targets_of(graph: Graph) -> list[Target]:
    """Return the parameters of a network in the order of its layers, each once."""
    found: dict[str, Target] = {}
    for layer in graph.layers:
        for parameter in layer.parameters:
            own = " ".join(LETTERS.get(axis, f"<{axis}>") for axis in layer.op.weights()[parameter.role].axes)
            shape: tuple[int, ...] = parameter.shape
            if "(h w k)" in own:
                sheet = graph.layer(layer.reads[0]).sheet
                shape = (sheet.height, sheet.width, sheet.maps, *shape[1:])
            extents = dict(zip(_flat(own), shape, strict=True))
            filters = layer.op if isinstance(layer.op, Filters) and layer.op.position_weights else None
            window = None if filters is None or own != _FILTERS else filters.window
            found.setdefault(parameter.name, Target(parameter, layer.path, own, extents, window))
    return list(found.values())


def layouts_of(target: Target, program: str) -> list[Layout]:
    """Return the layouts in which a program's file may have a parameter; of an unknown program, all."""
    known = _PATTERNS.get(target.own, {})
    programs = (program,) if program in (LNET, KERAS, TORCH) else (LNET, KERAS, TORCH)
    names = [name for each in programs for name in known.get(each, (target.own,))]
    found = [pattern(name, target) for name in dict.fromkeys(names)]
    if KERAS in programs and target.window is not None:
        found += [masked(target.extents, target.window), sparse(target.extents, target.window)]
    return found


def named_layout(name: str, target: Target) -> Layout | None:
    """Return the layout that a mapping names; None if there is none of that name for a parameter."""
    for layout in layouts_of(target, UNKNOWN):
        if layout.name == name:
            return layout
    letters = _flat(name)
    return pattern(name, target) if sorted(letters) == sorted(target.extents) else None


def pattern(name: str, target: Target) -> Layout:
    """Return the layout that a pattern of letters describes."""
    letters, extents, own = _flat(name), target.extents, _flat(target.own)
    groups = [re.findall(r"\w", group) for group in re.findall(r"\([^)]*\)|\w", name)]

    def arranged(array: Array) -> Array:
        axes = array.reshape([extents[letter] for letter in letters])
        return axes.transpose([letters.index(letter) for letter in own]).reshape(target.parameter.shape)

    shape = tuple(prod(extents[letter] for letter in group) for group in groups)
    return Layout(name, shape, arranged, tuple(letter for letter in letters if extents[letter] > 1))


def masked(extents: Mapping[str, int], window: Window) -> Layout:
    """Return the layout of implementation 2: a weight for every pair of an input and an output, most of them unused."""
    rows, columns = _read_by(window.rows, extents["r"]), _read_by(window.columns, extents["c"])

    def arranged(array: Array) -> Array:
        full = array.reshape(shape)
        found = np.zeros([extents[letter] for letter in _OWN], full.dtype)
        for i, j in np.ndindex(extents["R"], extents["C"]):
            for u, v in np.ndindex(extents["r"], extents["c"]):
                if rows[i, u] >= 0 and columns[j, v] >= 0:
                    found[i, j, u, v] = full[rows[i, u], columns[j, v], :, i, j, :]
        return found

    shape = (window.rows.extent, window.columns.extent, *(extents[letter] for letter in "iRCm"))
    return Layout("implementation 2", shape, arranged, ("implementation 2",))


def sparse(extents: Mapping[str, int], window: Window, order: str = "RCmrci") -> Layout:
    """Return the layout of implementation 3: the used weights of implementation 2, by output and then by input."""
    rows, columns = _read_by(window.rows, extents["r"]) >= 0, _read_by(window.columns, extents["c"]) >= 0
    inside = rows[:, None, :, None] & columns[None, :, None, :]  # R C r c
    used = np.broadcast_to(inside[..., None, None], [extents[letter] for letter in _OWN])
    used = used.transpose([_OWN.index(letter) for letter in order])

    def arranged(array: Array) -> Array:
        found = np.zeros(used.shape, array.dtype)
        found[used] = array.reshape(-1)
        return found.transpose([order.index(letter) for letter in _OWN])

    return Layout("implementation 3", (int(used.sum()),), arranged, ("implementation 3",))


def _read_by(slide: Slide, field: int) -> Array:
    """Return which input each place of the field reads at each position along an axis; -1 for padding."""
    reads = np.arange(slide.outputs)[:, None] * slide.stride - slide.before + np.arange(field)
    return np.where((reads >= 0) & (reads < slide.extent), reads, -1)


def _flat(name: str) -> list[str]:
    return re.findall(r"<[^>]*>|\w", name)


def _longer(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(extent for extent in shape if extent != 1)
