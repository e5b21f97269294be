"""The reference of the language, from signatures and docstrings: `lnetc kinds` prints it, docs/tables.py writes it.

signature, docstring of `local` --> Entry: what it is, its value, arguments with defaults and types, an example
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, replace
from typing import Any

from .augmentations import AUGMENTATIONS
from .core.arguments import (
    REQUIRED,
    Argument,
    ArgumentType,
    LayerArgument,
    Nearest,
    Padding,
    Sharing,
    signature,
)
from .core.learned import Init
from .core.shapes import Size
from .objectives import OBJECTIVE_KINDS
from .ops import LAYER_KINDS
from .rules import RULES
from .settings import DATA_WORDS, TRAINING_DATA, Training
from .words import TRAIN, objective_signature
from .written import written

KINDS: Mapping[str, Mapping[str, Callable[..., Any]]] = {
    "layer": LAYER_KINDS,
    "objective": OBJECTIVE_KINDS,
    "update rule": RULES,
    "data": DATA_WORDS,
    "augmentation": AUGMENTATIONS,
}
"""What the language calls, by what it is."""
SETTING = "setting"
SETTINGS: Mapping[str, str] = {
    "data": "What the network is trained on: `frames(...)`, or `arrays(...)` for data other than images",
    "validation": "What the network is not trained on, and is tested on: `frames(...)` or `arrays(...)`",
    "validate_every": "Steps between validations; unless given, those of a pass over the training images. The last step is "
    "always validated",
    "keep_best": "`loss` or `accuracy`: keeps the parameters of the best validation",
    "batch": "Images in a batch of one replica",
    "accumulate": "Consecutive batches whose gradients and losses are averaged into one update: a step",
    "steps": "Updates of one replica",
    "epochs": "In place of `steps` (both are an error): `steps = ceil(epochs * images / (batch * accumulate * replicas))`, "
    "of all images found, corrupt ones included. Fixed when the run begins; `run.json` keeps both",
    "update": "An update rule",
    "clip": "A number: the greatest norm of the gradients of all parameters together; `each(x)`: of each parameter array "
    "alone (Keras's `clipnorm`). Larger ones are scaled down to it",
    "gradients": "`joint`: an objective trains all layers that it depends on; `stage`: those of its stage instance",
    "precision": "`float64`: everything in double precision; `tf32`, `bfloat16` and, on GPUs, `float16` round only the "
    "operands of products",
    "replicas": "Copies of the model. One process runs one, and says so",
    "fetch": "Steps of a replica between pulls of the parameters",
    "push": "Steps of a replica between pushes of gradients",
    "staleness": "Maximum age of a gradient in steps; 0 is synchronous. At least `fetch - 1 + push - gcd(fetch, push)`: a "
    "smaller value would deadlock the replicas",
    "warmup": "Steps of one replica before the others start",
    "checkpoint": "Steps between checkpoints",
    "keep": "Checkpoints kept",
    "seed": "Random seed",
}
"""What each setting of `train` is."""


@dataclass(frozen=True, slots=True)
class Taken:
    """An argument: its default as written, None if it must be given, and what it takes."""

    name: str
    default: str | None
    expected: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A kind, objective, update rule, word for data, augmentation or setting; `example`: None for a setting."""

    name: str
    what: str
    value: str
    arguments: tuple[Taken, ...]
    example: str | None = None


def entries() -> Iterator[Entry]:
    """Yield the whole reference, what plug-ins define included."""
    for what, kinds in KINDS.items():
        for name, function in kinds.items():
            table = objective_signature(name) if what == "objective" else signature(name, function)
            arguments = tuple(map(taken, table.given))
            if what == "data":
                arguments = tuple(_as_trained_on(name, row) for row in arguments)
            yield Entry(name, what, value_of(function), arguments, example_of(function))
    for row in TRAIN.given:
        yield Entry(row.name, SETTING, SETTINGS[row.name], (replace(taken(row), default=usual(row.name)),))


def usual(setting: str) -> str:
    """Return a setting of a file that does not say it."""
    return written(getattr(Training(), setting))


def _as_trained_on(kind: str, row: Taken) -> Taken:
    """Return an argument with its default in `data`; in `validation`, what is left out is as in `data`."""
    made: Any = TRAINING_DATA[kind]
    defaults = {field.name: field.default for field in fields(made) if field.default is not MISSING}
    return replace(row, default=written(defaults[row.name])) if row.name in defaults else row


def value_of(function: Callable[..., Any]) -> str:
    """Return what a docstring says that a kind computes."""
    return " ".join((inspect.getdoc(function) or "").partition("\n\n")[0].split())


def example_of(function: Callable[..., Any]) -> str | None:
    """Return the example in a docstring."""
    found = re.search(r"^Example: (.+)$", inspect.getdoc(function) or "", re.MULTILINE)
    return None if found is None else found[1]


def taken(row: Argument) -> Taken:
    """Return an argument as the reference tells of it."""
    if isinstance(row.type, LayerArgument):
        match row.type.default:
            case "above":
                default: str | None = "the layer above"
            case Nearest(expected=expected):
                default = f"the nearest: {expected}"
            case named:
                default = named
        return Taken(row.name, default, row.type.expected)
    assert isinstance(row.type, ArgumentType)
    return Taken(row.name, None if row.default is REQUIRED else default_of(row), row.type.expected)


def default_of(row: Argument) -> str:
    """Return an argument's default as the language writes it."""
    match row.default:
        case Size(rows, columns) if rows == columns:
            return str(rows)
        case Padding(word):
            return word
        case Sharing(None):
            return "none"
        case Init() as init:
            return str(init)
    return written(row.default)
