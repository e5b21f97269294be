"""A run's settings, as written in the language, and its origin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from inspect import signature
from typing import Any

from lnet.compiler.augmentations import Augmentation
from lnet.compiler.core.arguments import File, OptionalFile, OptionalText, Text
from lnet.compiler.rules import Update
from lnet.compiler.settings import ArrayName, DatasetFigures, TrainingData, Validation
from lnet.compiler.words import vocabulary
from lnet.runtime.store.info import origin_of
from lnet.runtime.store.run import Run

SHOWN = 8
"""Maps whose mean and deviation are shown."""
TEXTS = (Text, OptionalText, File, OptionalFile, ArrayName)


def settings(run: Run) -> list[tuple[str, str]]:
    """Return every setting of `train` as written, and the command's additions."""
    training, info = run.plan.graph.training, run.info
    rows = [(field.name, written(getattr(training, field.name))) for field in fields(training)]
    rows += [(f"--set {name}", value) for name, value in run.plan.overrides]
    rows.append(("images", f"{info['data']['images']:,}"))
    how = run.plan.graph.data.normalize
    if isinstance(how, DatasetFigures):
        rows += [("mean of each map", _numbers(how.mean)), ("deviation of each map", _numbers(how.deviation))]
    if start := info.get("start"):
        step = f"step {start['step']:,} of " if "step" in start else ""
        rows.append(("begins with", f"{step}{origin_of(start)}"))
    if run.plan.graph.frozen:
        rows.append(("frozen", ", ".join(run.plan.graph.frozen)))
    return rows


def _numbers(numbers: Sequence[float]) -> str:
    rest = ["..."] if len(numbers) > SHOWN else []
    return ", ".join([*(f"{number:.4g}" for number in numbers[:SHOWN]), *rest])


def origin(run: Run) -> list[tuple[str, str]]:
    """Return the run's command, versions, machine and plan."""
    info, machine = run.info, run.info["machine"]
    rows = [("command", info["command"])] if "command" in info else []
    rows += [(f"version of {name}", version) for name, version in info["versions"].items()]
    rows.append(
        ("machine", f"{machine['system']}, {machine['cores']} cores, {machine['memory'] / 2**30:,.0f} GiB")
    )
    return [*rows, ("plan", run.plan.digest)]


def written(value: object) -> str:
    """Return a value as written in the language: `none`, `true`, `64x64`, `adam(rate = 0.002, schedule = cosine)`."""
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
