"""A mistake in a plug-in's code is an error with the plug-in's file and line, not a traceback through lnet."""

from __future__ import annotations

import functools
import inspect
import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

from lnet.compiler.core.arguments import Refused
from lnet.dsl.diagnostics import LnetError, refused

LNET = str(Path(__file__).parents[2])
"""The folder of the package lnet."""
STDLIB = str(Path(os.__file__).parent)
CALLED = ("jax", "jaxlib", "numpy", "optax")
"""Packages that a plug-in calls: an error in them is shown where it called them."""
P = ParamSpec("P")
R = TypeVar("R")


def guarded(function: Callable[P, R], name: str) -> Callable[P, R]:
    """Return a function of a plug-in that raises `LnetError` for whatever goes wrong in it, but for what it refuses."""

    @functools.wraps(function)
    def call(*arguments: P.args, **named: P.kwargs) -> R:
        try:
            return function(*arguments, **named)
        except (LnetError, Refused):
            raise
        except Exception as error:
            raise refused("E610", f"{name} failed", where_raised(error)) from error

    return call


def guard(made: type, base: type) -> None:
    """Guard all methods and properties that a class has not from `base`."""
    own = made.__mro__[: made.__mro__.index(base)]
    for name, member in [(name, member) for owner in reversed(own) for name, member in vars(owner).items()]:
        called = f"'{name}' of the plug-in's class '{made.__qualname__}'"
        if isinstance(member, property) and member.fget is not None:
            setattr(made, name, property(guarded(member.fget, called), doc=member.__doc__))
        elif inspect.isfunction(member) and not name.startswith("__"):
            setattr(made, name, guarded(member, called))


def where_raised(error: Exception) -> str:
    """Return the file and line of a plug-in at which an error was raised, if there are, and what it says."""
    said = "".join(traceback.format_exception_only(error)).strip()
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_own(frame.filename)]
    return f"{frames[-1].filename}, line {frames[-1].lineno}: {said}" if frames else said


def _is_own(filename: str) -> bool:
    below = any(f"/site-packages/{package}/" in filename for package in CALLED)
    library = filename.startswith(STDLIB) and "/site-packages/" not in filename
    return not (below or library or filename.startswith(("<frozen ", LNET)))
