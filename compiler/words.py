"""The words of the language: whatever the types of its arguments accept, those of plug-ins too."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from .core.arguments import Argument, ArgumentType, Signature, signature, stands_bare
from .objectives import OBJECTIVE_KINDS
from .objectives.weighing import WEIGHING
from .ops import LAYER_KINDS
from .settings import Training

CONSTANTS = ("true", "false", "none")
TRAIN = signature("train", Training)
_WEIGHT = Argument("weight", WEIGHING, 1.0, keyword_only=True)


def objective_signature(kind: str) -> Signature:
    """Return the argument table of an objective: that of its function, and `weight`."""
    return _weighed(kind, OBJECTIVE_KINDS[kind])


@cache
def _weighed(kind: str, function: Callable[..., Any]) -> Signature:
    table = signature(kind, function)
    return Signature(table.name, (*table.arguments, _WEIGHT))


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What has a meaning in values: bare words, and functions that make values."""

    words: frozenset[str]
    calls: Mapping[str, Callable[..., Any]]

    def takes_bare(self, name: str) -> bool:
        """Whether a name is that of a function which may stand without parentheses."""
        return name in self.calls and stands_bare(name, self.calls[name])


def vocabulary() -> Vocabulary:
    """Return the words and functions that any argument accepts, those of plug-ins too."""
    words: set[str] = set()
    calls: dict[str, Callable[..., Any]] = {}
    tables = [signature(kind, function) for kind, function in LAYER_KINDS.items()]
    tables += [*map(objective_signature, OBJECTIVE_KINDS), TRAIN]
    for table in tables:  # which grows by those of the functions found
        for accepted in _types(table):
            words.update(accepted.words)
            found = {name: function for name, function in accepted.calls.items() if name not in calls}
            calls |= found
            tables += [signature(name, function) for name, function in found.items()]
    return Vocabulary(frozenset(words) - set(CONSTANTS), calls)


def _types(table: Signature) -> Iterator[ArgumentType]:
    for argument in table.given:
        accepted = argument.type if isinstance(argument.type, ArgumentType) else None
        while accepted is not None:
            yield accepted
            accepted = accepted.items
