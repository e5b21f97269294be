"""What each name in a file means, from its syntax tree alone: a file with mistakes has meanings, too.

stage sense(field) { filter: local(field, 8) }       the stage, its parameter, its item, the kind, the parameter
network n { V1: sense(5) }                           the network, its item, the stage
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lnet.compiler.core.arguments import (
    FAMILY,
    Argument,
    ArgumentType,
    Context,
    LayerArgument,
    Signature,
    signature,
)
from lnet.compiler.language.elaborate import stage_signature
from lnet.compiler.language.expressions import ANY, ATTRIBUTES
from lnet.compiler.language.matching import match
from lnet.compiler.objectives import OBJECTIVE_KINDS
from lnet.compiler.ops import LAYER_KINDS
from lnet.compiler.words import TRAIN, Vocabulary, objective_signature, vocabulary
from lnet.dsl import nodes
from lnet.dsl.source import Span


@dataclass(frozen=True, slots=True)
class Symbol:
    """A name that the file declares: a `let`, stage, network, parameter or item.

    `block`: the stage whose parameter or item it is; empty for the items of the network.
    """

    what: str
    name: str
    block: str = ""


@dataclass(frozen=True, slots=True)
class Called:
    """The name of a kind, or of a function in a value."""

    name: str
    function: Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Given:
    """The name of an argument of a kind or a function, or of a setting of `train`."""

    owner: str
    argument: Argument


@dataclass(frozen=True, slots=True)
class Chosen:
    """A word of the language as the value of an argument."""

    word: str
    owner: str
    argument: Argument


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """A name that the language has everywhere: `input`, `index`, `height`, or a word handed to a stage."""

    name: str


Named = Symbol | Called | Given | Chosen | BuiltIn


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a name at one place means; `declares`: it is declared there."""

    span: Span
    of: Named
    declares: bool = False


Wanted = ArgumentType | LayerArgument | Context


def table_of(kind: str, stages: Mapping[str, nodes.Stage]) -> Signature | None:
    """Return the arguments of a kind or a stage; None if there is none of this name."""
    if kind in stages:
        return stage_signature(stages[kind])
    if kind in LAYER_KINDS:
        return signature(kind, LAYER_KINDS[kind])
    return objective_signature(kind) if kind in OBJECTIVE_KINDS else None


def meanings(module: nodes.Module, at: int | None = None) -> tuple[Meaning, ...]:
    """Return the meaning of every name that has one, in the order of the syntax tree.

    `at`: of those in the declaration at a position alone.
    """
    walk = _Walk(module)
    for each in module.declarations:
        if at is None or each.span.start <= at <= each.span.end:
            walk.declaration(each)
    return tuple(walk.found)


def stages_of(module: nodes.Module) -> dict[str, nodes.Stage]:
    """Return the stages of a module by name."""
    return {each.name.text: each for each in module.declarations if isinstance(each, nodes.Stage)}


def items_of(block: nodes.Stage | nodes.Network) -> Iterator[nodes.Item]:
    """Yield the items of a block that could be read."""
    return (item for item in block.items if isinstance(item, nodes.Item))


@dataclass
class _Walk:
    """Walks through a module; `block` is the stage that it is in, None outside of blocks, empty in the network."""

    tree: nodes.Module
    found: list[Meaning] = field(default_factory=list)
    block: str | None = None
    known: Vocabulary = field(default_factory=vocabulary)

    def __post_init__(self) -> None:
        self.stages = stages_of(self.tree)
        self.lets = {each.name.text for each in self.tree.declarations if isinstance(each, nodes.Let)}
        self.kinds = {
            name: {i.name.text: i.kind.text for i in items_of(s)} for name, s in self.stages.items()
        }
        self.kinds[""] = {
            item.name.text: item.kind.text
            for each in self.tree.declarations
            if isinstance(each, nodes.Network)
            for item in items_of(each)
        }

    def add(self, span: Span, of: Named, declares: bool = False) -> None:
        self.found.append(Meaning(span, of, declares))

    def declaration(self, each: nodes.Declaration) -> None:
        self.block = None
        match each:
            case nodes.Let():
                self.add(each.name.span, Symbol("let", each.name.text), True)
                self.value(each.value, ANY)
            case nodes.Stage():
                self.stage(each)
            case nodes.Network():
                self.add(each.name.span, Symbol("network", each.name.text), True)
                self.items("", each)
            case nodes.Train():
                settings = [s for s in each.settings if isinstance(s, nodes.Setting)]
                self.arguments(TRAIN, [nodes.Argument(s.span, s.name, s.value) for s in settings])

    def stage(self, stage: nodes.Stage) -> None:
        name = stage.name.text
        self.add(stage.name.span, Symbol("stage", name), True)
        for parameter in stage.parameters:
            self.add(parameter.name.span, Symbol("parameter", parameter.name.text, name), True)
            if parameter.default is not None:
                self.value(parameter.default, ANY)
        self.items(name, stage)

    def items(self, block: str, of: nodes.Stage | nodes.Network) -> None:
        self.block = block
        for item in items_of(of):
            self.add(item.name.span, Symbol("item", item.name.text, block), True)
            if item.count is not None:
                self.value(item.count, FAMILY)
            kind = item.kind.text
            if kind in self.stages:
                self.add(item.kind.span, Symbol("stage", kind))
            elif function := LAYER_KINDS.get(kind) or OBJECTIVE_KINDS.get(kind):
                self.add(item.kind.span, Called(kind, function))
            table = table_of(kind, self.stages)
            if table is not None:
                self.arguments(table, item.arguments)

    # --- arguments and values ----------------------------------------------------------------------------

    def arguments(self, table: Signature, arguments: Sequence[nodes.Argument]) -> None:
        rows = {row.name: row for row in table.given}
        for name, argument in match(table, arguments, _ignore).items():
            row = rows[name]
            if argument.name is not None:
                of_stage = table.name in self.stages and row.type is ANY
                parameter = Symbol("parameter", name, table.name)
                self.add(argument.name.span, parameter if of_stage else Given(table.name, row))
            self.value(argument.value, row.type, (table.name, row))

    def value(self, expr: nodes.Expr, wanted: Wanted, given: tuple[str, Argument] | None = None) -> None:
        match expr:
            case nodes.Path() if isinstance(wanted, LayerArgument) or expr.bare is None:
                self.layer(expr)
            case nodes.Path():
                self.name(expr, wanted, given)
            case nodes.Negative(operand=inner) | nodes.Group(inner=inner):
                self.value(inner, wanted if isinstance(expr, nodes.Group) else ANY, given)
            case nodes.Chain(first=first, rest=rest):
                for operand in (first, *(operand for _, operand in rest)):
                    self.value(operand, ANY)
            case nodes.List(items=items):
                inside = (wanted.items or ANY) if isinstance(wanted, ArgumentType) else wanted
                for item in items:
                    self.value(item, inside, given)
            case nodes.Call():
                self.call(expr, wanted)

    def call(self, call: nodes.Call, wanted: Wanted) -> None:
        name = call.name.text
        function = _calls(wanted).get(name) or self.known.calls.get(name)
        if function is not None:
            self.add(call.name.span, Called(name, function))
            self.arguments(signature(name, function), call.arguments)

    def name(self, path: nodes.Path, wanted: Wanted, given: tuple[str, Argument] | None) -> None:
        """Add what a bare name in a value means, in the order in which the compiler asks."""
        name = path.parts[0].name
        parameters = self.stages[self.block].parameters if self.block else ()
        if isinstance(wanted, ArgumentType) and name in wanted.words and given is not None:
            self.add(path.span, Chosen(name, *given))
        elif (function := _calls(wanted).get(name)) is not None:
            self.add(path.span, Called(name, function))
        elif any(parameter.name.text == name for parameter in parameters):
            self.add(path.span, Symbol("parameter", name, self.block or ""))
        elif name in self.lets:
            self.add(path.span, Symbol("let", name))
        elif self.known.takes_bare(name):
            self.add(path.span, Called(name, self.known.calls[name]))
        elif name in self.known.words or name == "index":
            self.add(path.span, BuiltIn(name))

    def layer(self, path: nodes.Path) -> None:
        """Add the items that the parts of a path name, each of the block that the part before it stands for."""
        for part in path.parts:
            if part.index is not None:
                self.value(part.index, ANY)
        block = self.block
        for number, part in enumerate(path.parts):
            span = Span(part.span.start, part.span.start + len(part.name))
            if block is not None and part.name in self.kinds[block]:
                self.add(span, Symbol("item", part.name, block))
                kind = self.kinds[block][part.name]
                block = kind if kind in self.stages else None
            elif part.name in ATTRIBUTES if number else part.name == "input":
                self.add(span, BuiltIn(part.name))
                block = None
            else:
                return


def _calls(wanted: Wanted) -> Mapping[str, Callable[..., Any]]:
    return wanted.calls if isinstance(wanted, ArgumentType) else {}


def _ignore(*mistake: Any, **more: Any) -> None:
    """Take no notice of a mistake: the compiler reports it."""
