"""Where a program has the layers of a network: attributes of modules, as their paths are.

V1.filter           self.V1.filter         "V1.filter" in state_dict()
area[3].norm        self.area[3].norm      "area.3.norm"
in                  self.in_               "in_"
"""

from __future__ import annotations

import keyword
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from lnet.compiler.core.layer import Layer

from .call import Call

Tree = dict[str, Any]
"""Layers, and trees of those in stages and families, by name or number."""

TAKEN = frozenset(
    """
    T_destination add_module apply bfloat16 buffers call_super_init children compile cpu cuda double dump_patches eval
    extra_repr float forward get_buffer get_extra_state get_parameter get_submodule half ipu load_state_dict modules mtia
    named_buffers named_children named_modules named_parameters parameters register_backward_hook register_buffer
    register_forward_hook register_forward_pre_hook register_full_backward_hook register_full_backward_pre_hook
    register_load_state_dict_post_hook register_load_state_dict_pre_hook register_module register_parameter
    register_state_dict_post_hook register_state_dict_pre_hook requires_grad_ set_extra_state set_submodule share_memory
    state_dict to to_empty train training type xpu zero_grad
    """.split()  # noqa: SIM905 (sixty lines)
)
"""What `torch.nn.Module` has already."""


class Names:
    """The names of layers, of which the first is given to the others and is no module."""

    def __init__(self, layers: Iterable[Layer]) -> None:
        self.tree: Tree = {}
        for layer in layers:
            *blocks, last = _parts(layer.path)
            inside = self.tree
            for block in blocks:
                inside = inside.setdefault(block, {})
            inside[last] = layer

    def of_state(self, path: str) -> str:
        """Return the name of a layer in `state_dict()`."""
        return ".".join(self._attributes(path))

    def of_module(self, path: str) -> str:
        """Return the expression for a layer's module."""
        return "self" + "".join(f"[{n}]" if n.isdecimal() else f".{n}" for n in self._attributes(path))

    def _attributes(self, path: str) -> Iterator[str]:
        inside = self.tree
        for name in _parts(path):
            yield attribute(name, inside)
            inside = inside[name]


def _parts(path: str) -> list[str]:
    return path.replace("[", ".").replace("]", "").split(".")


def attribute(name: str, beside: Mapping[str, Any]) -> str:
    """Return a name, or one like it that no module and none beside it has."""
    if not (name.startswith("_") or keyword.iskeyword(name) or name in TAKEN):
        return name
    name = f"layer{name}" if name.startswith("_") else f"{name}_"
    while name in beside:
        name += "_"
    return name


def modules(tree: Tree, made: Mapping[str, Call]) -> dict[str, Call]:
    """Return the calls that make what a tree has, by attribute; `made`: those of layers by path."""
    return {attribute(name, tree): _module(below, made) for name, below in tree.items()}


def _module(below: Tree | Layer, made: Mapping[str, Call]) -> Call:
    if isinstance(below, Layer):
        return made[below.path]
    inside = modules(below, made)
    if all(name.isdecimal() for name in inside):
        return Call("Family", tuple(inside.values()), open=True)
    return Call("Stage", (), inside, open=True)
