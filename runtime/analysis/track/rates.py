"""The learning rate in each step of a run, whose settings may have changed under it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnet.compiler.settings import Training
from lnet.runtime.engine.updates import learning_rate
from lnet.runtime.store.run import Run

BLOCK = 1024
"""Steps whose rates are computed together."""


def rates_of(run: Run) -> Callable[[int], float]:
    """Return a function of a step, from 1 on, to the rate that each replica took it with."""
    parts = _parts(run)
    blocks: dict[tuple[int, int], NDArray[Any]] = {}

    def rate(step: int) -> float:
        part = max(index for index, (first, _) in enumerate(parts) if first < max(step, 1))
        key = part, (step - 1) // BLOCK
        if key not in blocks:
            blocks.clear()
            blocks[key] = _block(parts[part][1], key[1] * BLOCK)
        return float(blocks[key][(step - 1) % BLOCK])

    return rate


def _parts(run: Run) -> list[tuple[int, Training]]:
    """Return the settings of `train` with the step after which they count, the first ones first."""
    training, parts = run.plan.graph.training, []
    for change in reversed(run.info.get("changes", ())):
        parts.append((change["step"], training))
        training = _before(run, training, {name: was for name, (was, _) in change["settings"].items()})
    return [(0, training), *reversed(parts)]


def _before(run: Run, training: Training, was: dict[str, str]) -> Training:
    """Return settings as they were before a change, those of them that the rate depends on."""
    if "update" in was:
        from lnet.compiler.reconfigure import reconfigured  # the parser, which a run does without

        given, _ = reconfigured(run.plan, {"train.update": was["update"]})
        training = replace(training, update=given["update"])
    return replace(training, steps=int(was["steps"])) if "steps" in was else training


def _block(training: Training, first: int) -> NDArray[Any]:
    """Return the rates of some steps, of which `first` are done before."""
    rate: Any = learning_rate(training.update, training.steps, training.steps)
    return np.broadcast_to(rate(np.arange(first, first + BLOCK)) if callable(rate) else rate, BLOCK)
