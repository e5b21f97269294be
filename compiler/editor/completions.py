"""What can stand at a position: kinds, arguments, words, functions, settings, constants, layers and keywords."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from lnet.compiler.core.arguments import ArgumentType, LayerArgument, Signature, signature
from lnet.compiler.language.expressions import ANY, ATTRIBUTES
from lnet.compiler.objectives import OBJECTIVE_KINDS
from lnet.compiler.ops import LAYER_KINDS
from lnet.compiler.words import CONSTANTS, TRAIN, vocabulary
from lnet.dsl import nodes

from .context import Context, Open, context_at
from .hovers import BUILT_IN, about, argument, setting
from .meanings import Wanted, items_of, stages_of, table_of
from .workspace import Analysis

DECLARATIONS = ("let", "stage", "network", "train", "include")
_BEFORE_VALUES = ("LPAR", "LSQB", "COMMA", "EQUAL", "PLUS", "MINUS", "STAR", "SLASH", "DOUBLE_SLASH")


@dataclass(frozen=True, slots=True)
class Completion:
    """A name that can stand there, what it is, and its reference in Markdown; `text`: what is inserted."""

    name: str
    what: str
    text: str
    reference: str = ""


def completions(analysis: Analysis, text: str, offset: int) -> list[Completion]:
    """Return what can stand at a position of a text, whose analysis may be of a text that was there before."""
    at = context_at(text, offset)
    if at is None:
        return []
    found: dict[str, Completion] = {}
    for each in _completions(_Names(analysis, at), at):
        found.setdefault(each.name, each)
    return list(found.values())


def _completions(names: _Names, at: Context) -> Iterator[Completion]:
    if at.path:
        yield from names.behind_dot(at.path)
    elif at.open:
        yield from _in_call(names, at)
    elif at.block == "train":
        yield from _setting(names, at)
    elif at.block and at.behind == "COLON":
        yield from names.kinds()
    elif not at.block and not at.line:
        yield from (Completion(each, "keyword", each) for each in DECLARATIONS)
    elif not at.block and at.behind in _BEFORE_VALUES:
        yield from names.values(ANY)


def _setting(names: _Names, at: Context) -> Iterator[Completion]:
    if not at.line:
        yield from (Completion(r.name, "setting", f"{r.name} = ", setting(r)) for r in TRAIN.given)
    elif at.behind in _BEFORE_VALUES:
        yield from names.values(_row(TRAIN, str(at.line[0])))


def _in_call(names: _Names, at: Context) -> Iterator[Completion]:
    """Yield arguments that are not given yet, and values of the one that the position is in."""
    inner = at.open[-1]
    declares = at.line[0].type == "STAGE" and not inner.name  # a parameter of the stage
    if declares or at.behind not in _BEFORE_VALUES:
        return
    table, wanted = _innermost(names, at)
    if table is not None and not inner.name:
        for row in table.given:
            if row.name not in inner.given and row not in table.positional[: inner.positional]:
                yield Completion(row.name, "argument", f"{row.name} = ", argument(row))
    if inner.name or not inner.given:  # no value without a name follows one with a name
        yield from names.values(wanted)


def _innermost(names: _Names, at: Context) -> tuple[Signature | None, Wanted | None]:
    """Return the arguments of the innermost call, and the type of the value that the position is in, if it has one."""
    wanted: Wanted | None = _row(TRAIN, str(at.line[0])) if at.block == "train" else ANY
    table: Signature | None = None
    for number, inside in enumerate(at.open):
        if not inside.call:
            table = None
            wanted = (wanted.items or ANY) if isinstance(wanted, ArgumentType) else wanted
            continue
        table = names.table(inside.call, item=number == 0 and bool(at.kind))
        wanted = ANY if table is None else _argument(table, inside)
    return table, wanted


def _argument(table: Signature, inside: Open) -> Wanted | None:
    if inside.name:
        return _row(table, inside.name)
    return table.positional[inside.positional].type if inside.positional < len(table.positional) else None


def _row(table: Signature, name: str) -> Wanted | None:
    return next((row.type for row in table.given if row.name == name), None)


class _Names:
    """The names that are visible at a position."""

    def __init__(self, analysis: Analysis, at: Context) -> None:
        self.at = at
        self.module = analysis.module
        self.stages = stages_of(analysis.module)
        networks = (each for each in self.module.declarations if isinstance(each, nodes.Network))
        self.block = self.stages.get(at.stage) if at.block == "stage" else next(networks, None)
        self.known = vocabulary()

    def table(self, call: str, item: bool) -> Signature | None:
        """Return the arguments of a kind, or of a function in a value."""
        if item:
            return table_of(call, self.stages)
        return signature(call, self.known.calls[call]) if call in self.known.calls else None

    def kinds(self) -> Iterator[Completion]:
        for what, kinds in (("kind", LAYER_KINDS), ("objective", OBJECTIVE_KINDS)):
            yield from (Completion(name, what, name, about(name, made)) for name, made in kinds.items())
        yield from (Completion(name, "stage", name) for name in self.stages)

    def values(self, wanted: Wanted | None) -> Iterator[Completion]:
        """Yield values of a type: layers, or words, functions, parameters and constants."""
        if isinstance(wanted, LayerArgument):
            yield from self.layers()
            return
        if not isinstance(wanted, ArgumentType):
            return
        calls = self.known.calls if wanted is ANY else wanted.calls
        words = sorted(self.known.words) if wanted is ANY else wanted.words
        yield from (Completion(word, "word", word) for word in words)
        yield from (Completion(name, "function", name, about(name, made)) for name, made in calls.items())
        constants = (each for each in CONSTANTS if wanted is ANY or f"'{each}'" in wanted.expected)
        yield from (Completion(each, "word", each) for each in constants)
        if isinstance(self.block, nodes.Stage) and self.at.block == "stage":
            yield from (Completion(p.name.text, "parameter", p.name.text) for p in self.block.parameters)
        for each in self.module.declarations:
            if isinstance(each, nodes.Let):
                yield Completion(each.name.text, "let", each.name.text)

    def layers(self) -> Iterator[Completion]:
        """Yield the items of the block above the position."""
        if self.at.block == "stage":
            yield Completion("input", "layer", "input", BUILT_IN["input"])
        for item in self._items():
            if item.name.span.start < self.at.start and item.kind.text not in OBJECTIVE_KINDS:
                yield Completion(item.name.text, "layer", item.name.text, f"`{item.kind.text}`")

    def behind_dot(self, path: Iterable[str]) -> Iterator[Completion]:
        """Yield the items of the stage that a path names an instance of, and the extents of its value."""
        kinds: Mapping[str, str] = {item.name.text: item.kind.text for item in self._items()}
        for name in path:
            if name not in kinds and name != "input":
                return
            stage = self.stages.get(kinds.get(name, ""))
            kinds = {} if stage is None else {item.name.text: item.kind.text for item in items_of(stage)}
        for name, kind in kinds.items():
            if kind not in OBJECTIVE_KINDS:
                yield Completion(name, "layer", name, f"`{kind}`")
        yield from (Completion(name, "extent", name, BUILT_IN[name]) for name in ATTRIBUTES)

    def _items(self) -> Iterator[nodes.Item]:
        return iter(()) if self.block is None else items_of(self.block)
