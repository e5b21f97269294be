"""Commands that messages on a sweep name: one trains its best point for longer."""

from __future__ import annotations

import shlex

from lnet.compiler.plugins.identity import announced
from lnet.runtime.store.summary import summary

from .trials import Sweep

LONGER = 10
"""How many times as many steps the command takes."""
DURATION = ("train.steps", "train.epochs")


def longer(sweep: Sweep) -> str | None:
    """Return the command that trains the best point for ten times as many steps, None before a trial is done."""
    best = sweep.best
    if best is None:
        return None
    spec = sweep.spec
    settings = {name: text for name, text in sweep.settings(best).items() if name not in DURATION}
    words = ["run", spec.file]
    for name, text in settings.items():
        words += ["--set", f"{name}={text}"]
    for option, path in (("--data", spec.data), ("--validation", spec.validation), ("--from", spec.start)):
        words += [] if path is None else [option, path]
    words += [word for path in spec.freeze for word in ("--freeze", path)]
    steps = summary(sweep.directory / best.name / f"seed-{spec.seed}").steps
    return lnetc(*words, "--seed", str(spec.seed), "--steps", str(LONGER * steps))


def lnetc(*words: str) -> str:
    """Return a command with the plug-ins of this process."""
    loaded = (word for name in announced() for word in ("--plugin", name))
    return shlex.join(["lnetc", *loaded, *words])
