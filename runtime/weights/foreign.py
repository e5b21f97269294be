"""Arrays of a file of weights, and which of them belong to one layer there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np

from lnet.compiler.settings import DatasetFigures
from lnet.dsl.diagnostics import LnetError, refused

Array = np.ndarray[Any, Any]
LNET, KERAS, TORCH, UNKNOWN = "lnet", "Keras", "PyTorch", "another program"
"""Whose layouts the arrays of a file have."""


@dataclass(frozen=True)
class ForeignArray:
    """An array of a file: its name there, its shape, and how to read it."""

    name: str
    shape: tuple[int, ...]
    read: Callable[[], Array]

    @property
    def layer(self) -> str:
        return _split(self.name)[0]

    @property
    def role(self) -> str:
        """The last part of the name, which says what the array is for."""
        return _split(self.name)[1]


@dataclass(frozen=True)
class Foreign:
    """The arrays of a file by name; `ordered`: in the order of the layers, otherwise sorted by name and number.

    `figures`: those of the data set by which images are normalised, in an export of a network that has them.
    """

    path: Path
    program: str
    arrays: Mapping[str, ForeignArray]
    ordered: bool = True
    figures: DatasetFigures | None = None

    def named(self, name: str) -> ForeignArray | None:
        """Return the array of a name, or of that after what all names begin with, as in `module.first.weight`.

        An item of a family, `area[3].weight`, may be written `area.3.weight`, as PyTorch does.
        """
        names = (name, name.replace("[", ".").replace("]", ""))
        found = (self.arrays.get(start + each) for each in names for start in ("", self._prefix))
        return next((array for array in found if array is not None), None)

    @cached_property
    def _prefix(self) -> str:
        ends = zip(min(self.arrays), max(self.arrays), strict=False)
        common = "".join(one for one, _ in takewhile(lambda pair: pair[0] == pair[1], ends))
        return common[: max(common.rfind("/"), common.rfind(".")) + 1]

    @cached_property
    def layers(self) -> dict[str, list[ForeignArray]]:
        """The arrays of each layer, by its name."""
        found: dict[str, list[ForeignArray]] = {}
        for array in self.arrays.values():
            found.setdefault(array.layer, []).append(array)
        return found


def foreign(path: Path, program: str, arrays: Sequence[ForeignArray], ordered: bool = True) -> Foreign:
    """Return the arrays of a file; raises `LnetError` if there are none."""
    if not arrays:
        raise unreadable(path, "there is no array in it")
    return Foreign(path, program, {array.name: array for array in arrays}, ordered)


def unreadable(path: Path, why: str, *hints: str) -> LnetError:
    """Return the error for a file whose weights cannot be read."""
    return refused("E756", f"'{path}' cannot be read as weights", why, hint=hints)


def _split(name: str) -> tuple[str, str]:
    """Return a name without its last part, and that part: Keras writes slashes, other programs dots, some both."""
    return name.rpartition("/" if name.rfind("/") > name.rfind(".") else ".")[::2]
