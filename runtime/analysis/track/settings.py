"""A run's settings as services take them: flat names, numbers as numbers, and no path of a machine."""

from __future__ import annotations

from lnet.dsl.diagnostics import refused
from lnet.runtime.store.run import Run
from lnet.runtime.store.summary import Unreadable, summary

from .names import without_paths
from .tracker import Setting

WORDS = {"true": True, "false": False}


def settings_of(run: Run) -> dict[str, Setting]:
    """Return settings by name: those of `train`, constants, frozen layers, numbers of images and parameters, versions.

    Raises `LnetError` if the run cannot be read.
    """
    try:
        found = summary(run.directory)
    except Unreadable as error:
        raise refused("E740", f"the run '{run.directory}' cannot be read", str(error)) from error
    return {
        "network": found.network,
        "parameters": sum(parameter.size for parameter in run.plan.graph.parameters),
        "images": run.info["data"]["images"],
        **{name: _value(text) for name, text in found.settings.items()},
        **{f"version.{name}": version for name, version in run.info["versions"].items()},
    }


def _value(text: str) -> Setting:
    if text in WORDS:
        return WORDS[text]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text.rstrip("/").rpartition("/")[2] if text.startswith("/") else without_paths(text)
