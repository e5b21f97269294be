"""Which array of a file becomes which parameter of a network, and in which layout.

    conv.weight = conv2d/kernel as R C r c i m
    l4.weight = locally_connected2d/kernel as (R C) (r c i) m
    l4.bias = none

Arrays of the same name, but for what all names of the file begin with, belong together. Otherwise the layers of both
are gone through in their order, and a layer takes the next one of the file whose arrays fit (of a file without an
order, the first by name and number that is left). Lines of a file in this form come first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lnet.compiler.graph.graph import Graph
from lnet.dsl.diagnostics import LnetError, did_you_mean, refused, those_there_are
from lnet.runtime.data.arrays import is_real

from .foreign import LNET, UNKNOWN, Array, Foreign, ForeignArray
from .layouts import Layout, Target, layouts_of, named_layout, pattern, targets_of

_ROLES: Mapping[str, tuple[str, ...]] = {
    "weight": ("weight", "kernel"),
    "bias": ("bias",),
    "scale": ("scale", "gamma", "weight"),
    "shift": ("shift", "beta", "bias"),
    "mean": ("mean", "moving_mean", "running_mean"),
    "variance": ("variance", "moving_variance", "running_var"),
}
"""What programs call the arrays of a layer, by lnet's name; in the order in which Keras numbers them."""
_LINE = re.compile(r"(?P<name>\S+)\s*=\s*(?P<array>\S+)(?:\s+as\s+(?P<layout>.*\S))?")


@dataclass(frozen=True)
class Taken:
    """A parameter's array of the file."""

    target: Target
    array: ForeignArray
    layout: Layout

    def read(self) -> Array:
        """Return the array as lnet lays it out; raises `LnetError`."""
        found = self.array.read()
        if not is_real(found.dtype):
            raise refused("E756", f"'{self.array.name}' holds {found.dtype}", "expected real numbers")
        return self.layout.arranged(found)

    def __str__(self) -> str:
        return f"{self.target.parameter.name} = {self.array.name} as {self.layout.name}"


@dataclass(frozen=True)
class WeightMap:
    """The arrays that a network takes from a file; `missing` parameters have none, `unused` arrays are left."""

    taken: tuple[Taken, ...]
    missing: tuple[str, ...]
    unused: tuple[str, ...]


def map_weights(graph: Graph, foreign: Foreign, corrections: Path | None = None) -> WeightMap:
    """Map the arrays of a file to the parameters of a network, those of `corrections` as that file says.

    Raises `LnetError` for a correction that does not fit, and for an array that fits in several layouts.
    """
    targets = {target.parameter.name: target for target in targets_of(graph)}
    corrected = {} if corrections is None else dict(_corrected(corrections, targets, foreign))
    found = {name: taken for name, taken in corrected.items() if taken is not None}
    free = {name: target for name, target in targets.items() if name not in corrected}
    for name, target in free.items():
        array = foreign.named(name)
        layout = None if array is None else _fitting(target, array, foreign)
        if array is not None and layout is not None:
            found[name] = Taken(target, array, layout)
    if foreign.program != LNET:
        left = {name: target for name, target in free.items() if name not in found}
        used = {taken.array.name for taken in found.values()}
        found |= {taken.target.parameter.name: taken for taken in _in_order(left, foreign, used)}
    used = {taken.array.name for taken in found.values()}
    return WeightMap(
        tuple(found[name] for name in targets if name in found),
        tuple(name for name in targets if name not in found),
        tuple(name for name in foreign.arrays if name not in used),
    )


def _in_order(targets: Mapping[str, Target], foreign: Foreign, used: set[str]) -> Iterator[Taken]:
    """Yield what the layers of a network take of those of a file, one after the other."""
    layers: dict[str, list[Target]] = {}
    for target in targets.values():
        layers.setdefault(target.layer, []).append(target)
    groups = [arrays for arrays in foreign.layers.values() if not used & {array.name for array in arrays}]
    for own in layers.values():
        for number, arrays in enumerate(groups):
            taken = _together(own, arrays, foreign)
            if taken is not None:
                yield from taken
                del groups[0 if foreign.ordered else number : number + 1]
                break


def _together(own: list[Target], arrays: list[ForeignArray], foreign: Foreign) -> list[Taken] | None:
    """Return the arrays of one layer of a file for those of one of the network; None unless all fit."""
    numbered = all(array.role.isdigit() for array in arrays)
    if numbered:
        numbers = {role: number for number, role in enumerate(_ROLES)}
        own = sorted(own, key=lambda target: numbers.get(target.parameter.role, len(numbers)))
    found = []
    for number, target in enumerate(own):
        if numbered:
            array = arrays[number] if len(arrays) == len(own) else None
        else:
            names = _ROLES.get(target.parameter.role, (target.parameter.role,))
            array = next((array for array in arrays if array.role in names), None)
        layout = None if array is None else _fitting(target, array, foreign)
        if array is None or layout is None:
            return None
        found.append(Taken(target, array, layout))
    return found


def _fitting(target: Target, array: ForeignArray, foreign: Foreign) -> Layout | None:
    """Return the layout in which an array is a parameter; None if it has another size."""
    layouts = layouts_of(target, foreign.program)
    if array.shape == target.parameter.shape and len(array.shape) == 6:
        layouts.append(pattern(target.own, target))  # as exported networks have it
    fitting = [layout for layout in layouts if layout.fits(array.shape)]
    different = {layout.key: layout for layout in reversed(fitting)}
    if len(different) > 1:
        name = target.parameter.name
        lines = tuple(f"{Taken(target, array, layout)}" for layout in reversed(different.values()))
        raise refused(
            "E757",
            f"'{array.name}' of '{foreign.path}' is '{name}' in several layouts",
            f"its shape is {array.shape}",
            hint=("write one of these lines into a file, and name it with '--mapping'", *lines),
        )
    return fitting[0] if fitting else None


# --- corrections -----------------------------------------------------------------------------------------


def _corrected(
    path: Path, targets: Mapping[str, Target], foreign: Foreign
) -> Iterator[tuple[str, Taken | None]]:
    """Yield what a file of corrections says: a parameter's array, or None where it shall have none."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise refused("E757", f"the mapping '{path}' cannot be read", str(error)) from error
    for number, line in enumerate(lines, 1):
        said = line.partition("#")[0].strip()
        if not said:
            continue
        where = f"line {number} of '{path}'"
        match = _LINE.fullmatch(said)
        if match is None:
            raise refused("E757", f"expected 'PARAMETER = ARRAY as LAYOUT', found '{said}'", where)
        yield match["name"], _one(match, targets, foreign, where)


def _one(match: re.Match[str], targets: Mapping[str, Target], foreign: Foreign, where: str) -> Taken | None:
    name, wanted, layout = match["name"], match["array"], match["layout"]
    if name not in targets:
        notes, hint = those_there_are("parameters", targets), did_you_mean(name, targets)
        raise refused("E757", f"there is no parameter '{name}'", where, notes, hint=hint)
    if wanted == "none":
        return None
    target, array = targets[name], foreign.arrays.get(wanted)
    if array is None:
        notes, hint = those_there_are("arrays", foreign.arrays), did_you_mean(wanted, foreign.arrays)
        message = f"there is no array '{wanted}' in '{foreign.path}'"
        raise refused("E757", message, where, notes, hint=hint)
    chosen = _fitting(target, array, foreign) if layout is None else named_layout(layout, target)
    if chosen is None or not chosen.fits(array.shape):
        raise _does_not_fit(target, array, chosen, layout, where)
    return Taken(target, array, chosen)


def _does_not_fit(
    target: Target, array: ForeignArray, chosen: Layout | None, layout: str | None, where: str
) -> LnetError:
    name, known = target.parameter.name, ", ".join(f"'{each.name}'" for each in layouts_of(target, UNKNOWN))
    if chosen is not None:
        message = f"'{name}' as {chosen.name} has the shape {chosen.shape}, and '{array.name}' {array.shape}"
    elif layout is not None:
        message = f"'{name}' has no layout '{layout}'"
    else:
        message = f"'{array.name}' of shape {array.shape} is '{name}' in no known layout"
    return refused("E757", message, where, hint=f"its layouts are {known}")
