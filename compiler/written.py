"""Values as the language writes them: `none`, `true`, `64x64`, `adam(rate = 0.002, schedule = cosine)`."""

from __future__ import annotations

from inspect import signature
from typing import Any

from .augmentations import Augmentation
from .core.arguments import File, OptionalFile, OptionalText, Text
from .rules import Update
from .settings import ArrayName, TrainingData, Validation
from .words import vocabulary

TEXTS = (Text, OptionalText, File, OptionalFile, ArrayName)


def written(value: object) -> str:
    """Return the expression of a value of `train`."""
    match value:
        case None | ():
            return "none"
        case bool():
            return "true" if value else "false"
        case TrainingData() | Validation():
            return _called(value.kind, value)
        case tuple() if isinstance(value[0], Augmentation):
            return f"[{', '.join(map(written, value))}]"
        case tuple():
            return f"[{', '.join(map(_text, value))}]" if len(value) != 1 else _text(value[0])
        case Update() | Augmentation():
            return _called(value.kind, value)
        case _:
            return str(value)


def _text(value: object) -> str:
    return f'"{value}"'


def _called(name: str, value: Any) -> str:
    """Return the call that makes a value, with its fields as arguments."""
    arguments = []
    for parameter in signature(vocabulary().calls[name], eval_str=True).parameters.values():
        if hasattr(value, parameter.name):
            argument, found = parameter.name.removesuffix("_"), getattr(value, parameter.name)
            is_text = parameter.annotation in TEXTS and found is not None
            arguments.append(f'{argument} = "{found}"' if is_text else f"{argument} = {written(found)}")
    return f"{name}({', '.join(arguments)})"
