"""Labels: the number of each class.

Integers keep their value, as in Keras and PyTorch: unit k of the vector that learns them is label k. All others are
numbered in the order of the text. A run keeps its order: one that lnet 0.1 began has integers in the order of the text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lnet.compiler.graph.graph import Graph
from lnet.dsl.diagnostics import LnetError, refused

UNKNOWN = -1
"""The number of a label outside of the classes."""
_INTEGER = re.compile(r"(-?[0-9]+)(\.0+)?")
"""An integer, also as tables write one in a column of real numbers: `3.0`."""


@dataclass(frozen=True)
class Readout:
    """An objective that reads labels, and the vector that learns them: its number of units, and its layer."""

    objective: str
    units: int
    layer: str


def readouts(graph: Graph) -> list[Readout]:
    """Return the objectives of a network that read labels."""
    read = [(o.path, graph.layer(o.reads[0])) for o in graph.objectives if o.term.needs_labels]
    return [Readout(path, layer.sheet.maps, layer.path) for path, layer in read]


def _integer(label: str) -> int | None:
    found = _INTEGER.fullmatch(label)
    return None if found is None else int(found[1])


def _integers(labels: Iterable[str]) -> dict[str, int] | None:
    """Return the integers that labels are; None if some are none."""
    found = {label: _integer(label) for label in labels}
    integers = {label: value for label, value in found.items() if value is not None}
    return integers if len(integers) == len(found) else None


def order_classes(
    labels: Sequence[str],
    names: Sequence[str],
    readouts: Sequence[Readout] = (),
    known: tuple[str, ...] = (),
    listed: tuple[str, ...] = (),
) -> tuple[str, ...]:
    """Return the classes of labels in the order of their numbers; raises `LnetError` if `readouts` cannot learn them.

    `names` are those of the images. If classes are `listed`, no others are allowed; `known` classes keep their order
    if the labels include no others.
    """
    if listed:
        return _as_many(listed, readouts)
    found = set(labels)
    if known and found <= set(known) and all(len(known) == readout.units for readout in readouts):
        return known
    integers = _integers(found)
    if integers is None:
        return _as_many(tuple(sorted(found)), readouts)
    spelled = {integers[label]: label for label in sorted(found, reverse=True)}
    if not readouts:
        return tuple(spelled[value] for value in sorted(spelled))
    fewest = min(readouts, key=lambda readout: readout.units)
    for name, label in zip(names, labels, strict=True):
        if not 0 <= integers[label] < fewest.units:
            raise _no_unit(fewest, integers[label], max(spelled), name)
    most = max(readout.units for readout in readouts)
    return tuple(spelled.get(value, str(value)) for value in range(most))


def unit_count(classes: Sequence[str]) -> int:
    """Return how many units learn classes: integers are the indices of theirs, even if some are absent."""
    integers = _integers(classes)
    return len(classes) if not integers or min(integers.values()) < 0 else max(integers.values()) + 1


def _as_many(classes: tuple[str, ...], readouts: Sequence[Readout]) -> tuple[str, ...]:
    """Return as many classes as there are units."""
    for readout in readouts:
        if readout.units != len(classes):
            raise _other_number(readout, classes)
    return classes


def number_labels(labels: Sequence[str], classes: Sequence[str]) -> NDArray[np.int32]:
    """Return the class number of each label, `UNKNOWN` for other labels.

    Integers are one label however they are spelled: `7`, `007` and `7.0`. Where no class is named by an integer, integers
    are the numbers of the classes.
    """
    texts = set(labels)
    numbers, integers = {name: number for number, name in enumerate(classes)}, _integers(classes)
    numbered: dict[int | None, int] = {}
    if integers is not None:
        numbered = {integers[name]: number for name, number in numbers.items()}
    elif _integers(texts) is not None and not any(_INTEGER.fullmatch(name) for name in classes):
        numbered = {number: number for number in numbers.values()}
    of = {label: numbers.get(label, numbered.get(_integer(label), UNKNOWN)) for label in texts}
    return np.array([of[label] for label in labels], np.int32)


def read_classes(path: Path) -> tuple[str, ...]:
    """Return the classes that a text file lists, one a line, in the order of their numbers; raises `LnetError`."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise refused("E713", f"the list of classes, '{path}', cannot be read", str(error)) from error
    classes = tuple(line.strip() for line in lines if line.strip())
    twice = [name for name, count in Counter(classes).items() if count > 1]
    if twice or not classes:
        found = f"'{twice[0]}' is there twice" if twice else "it is empty"
        raise refused("E713", f"'{path}' is not a list of classes", found, hint="write a class a line")
    return classes


def unknown_class(name: str, label: str, classes: Sequence[str]) -> LnetError:
    """Return the error for an image with an unknown label."""
    more = ", ..." if len(classes) > 20 else ""
    return refused(
        "E710",
        f"'{name}' has the label '{label}', which is not one of the {len(classes)} classes",
        f"the classes are {', '.join(classes[:20])}{more}",
        hint="leave such images out with 'exclude', or train on a list of classes that includes their labels",
    )


def _other_number(readout: Readout, classes: tuple[str, ...]) -> LnetError:
    more = ", ..." if len(classes) > 20 else ""
    return refused(
        "E710",
        f"the objective '{readout.objective}' reads {readout.units} values, "
        f"but the images have {len(classes)} classes",
        f"the classes are {', '.join(classes[:20])}{more}",
        hint=(f"'dense({len(classes)})' has a unit for each", *_fewer(readout, classes)),
    )


def _fewer(readout: Readout, classes: tuple[str, ...]) -> tuple[str, ...]:
    if len(classes) > readout.units:
        return ()
    return (
        f"to learn some of {readout.units} classes, list all of them in a file, one a line: "
        'frames(..., classes = "classes.txt")',
    )


def _no_unit(readout: Readout, label: int, largest: int, name: str) -> LnetError:
    if label < 0:
        way = "leave out images without a label, with 'exclude', or number their class from 0"
    else:
        way = f"'dense({largest + 1})' has a unit for each label from 0 to {largest}"
    listed = "or list the labels in a file, in the order of their units, one a line: "
    return refused(
        "E710",
        f"'{name}' has the label {label}, and the {readout.units} values that the objective "
        f"'{readout.objective}' reads are for the labels 0 to {readout.units - 1}",
        "labels that are integers are the numbers of their units",
        hint=(way, f'{listed}frames(..., classes = "classes.txt")'),
    )
