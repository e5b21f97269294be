"""Kinds made of classes: their fields are the arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

from .arguments import Reads, since, version_of
from .layer import Layer

FILLED_IN = ("reads_sheet", "within")
"""Fields of an op that no file gives: the compiler does."""


def kind_of(made: Any, of_first: bool = False) -> Callable[..., Any]:
    """Return the function that the language calls for a class: its arguments are the fields, and the layer that it reads.

    The class has a method `over(sheet, **arguments)`, and its docstring is the kind's.
    """

    def call(*, of: Layer, **arguments: Any) -> Any:
        return made.over(of.sheet, **arguments)

    hints = get_type_hints(made, include_extras=True)
    own = [row for row in inspect.signature(made).parameters.values() if row.name not in FILLED_IN]
    if of_first:
        rows = [inspect.Parameter("of", inspect.Parameter.POSITIONAL_OR_KEYWORD), *own]
    else:
        rows = [*own, inspect.Parameter("of", inspect.Parameter.KEYWORD_ONLY)]
    call.__signature__ = inspect.Signature(rows)  # type: ignore[attr-defined]
    call.__annotations__ = {**{row.name: hints[row.name] for row in own}, "of": Reads}
    call.__name__, call.__doc__ = made.kind, made.__doc__
    return since(version_of(made))(call)
