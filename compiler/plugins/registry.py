"""What plug-ins have brought, entered in the tables of the language beside what is built in."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from lnet.compiler.core.arguments import ArgumentType, listed, version_of
from lnet.compiler.core.kinds import FILLED_IN, kind_of
from lnet.compiler.graph.graph import Graph
from lnet.compiler.objectives import OBJECTIVE_KINDS, TERMS, PerValue
from lnet.compiler.ops import LAYER_KINDS, OPS
from lnet.compiler.ops.custom import PerPosition, ProjectiveField, ReceptiveField
from lnet.compiler.ops.position import enter_act
from lnet.compiler.rules import RULES, Update
from lnet.compiler.words import vocabulary
from lnet.dsl.diagnostics import LnetError, refused
from lnet.dsl.nodes import KEYWORDS

from .guard import guard
from .identity import Loaded, Plugin, announce, owner_of

LAYER, OBJECTIVE, RULE, SOURCE, SECTION = "layer", "objective", "update rule", "data source", "report section"


@dataclass(frozen=True, slots=True)
class Brought:
    """A kind that a plug-in has brought: what it is, and the example in its docstring."""

    what: str
    kind: str
    plugin: str
    example: str


_loaded: dict[str, Loaded] = {}
_brought: dict[tuple[str, str], Brought] = {}

Entry = TypeVar("Entry")
Part = TypeVar("Part")


# --- what can be registered ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sort:
    """Subclasses of `base` with methods and fields of their own; `enter` puts one into the tables of the language."""

    base: type
    what: str
    methods: tuple[str, ...]
    enter: Callable[[Any], None]
    fields: tuple[str, ...] = ()


def _layer(made: Any) -> None:
    OPS[made.kind], LAYER_KINDS[made.kind] = made, kind_of(made)
    if issubclass(made, PerPosition):
        enter_act(made)


def _objective(made: Any) -> None:
    TERMS[made.kind], OBJECTIVE_KINDS[made.kind] = made, kind_of(made, of_first=True)


def _rule(made: Any) -> None:
    RULES[made.kind] = made


SORTS = (
    Sort(PerPosition, LAYER, ("value",), _layer),
    Sort(ReceptiveField, LAYER, ("value",), _layer, ("field",)),
    Sort(ProjectiveField, LAYER, ("value",), _layer, ("field",)),
    Sort(PerValue, OBJECTIVE, ("value",), _objective),
    Sort(Update, RULE, ("slots", "transformation"), _rule, ("rate", "schedule", "stale")),
)


def register(part: Part) -> Part:
    """Enter a class that derives from the base of one of `SORTS` under its `kind`.

    A decorator; a class that is no dataclass yet becomes a frozen one, whose fields are the arguments of the kind. Raises
    `LnetError` for a class that lacks a part, and for a kind that there is already.
    """
    sort = next((s for s in SORTS if inspect.isclass(part) and issubclass(part, s.base)), None)
    if sort is None:
        bases = listed([s.base.__name__ for s in SORTS], "or")
        note = f"expected a class that derives from {bases}, a Source or a Section"
        raise refused("E610", f"'{_named(part)}' cannot be registered", note)
    made: Any = part
    if "__dataclass_fields__" not in vars(made):
        made = dataclass(frozen=True)(made)
    _check(made, sort)
    guard(made, sort.base)
    _claim(made, sort.what)
    sort.enter(made)
    return made  # type: ignore[no-any-return]


# --- checks ----------------------------------------------------------------------------------------------


def _check(made: Any, sort: Sort) -> None:
    """Raise `LnetError` for a class that lacks something."""
    kind = getattr(made, "kind", None)
    if not (isinstance(kind, str) and kind.isidentifier() and kind == kind.lower() and kind not in KEYWORDS):
        raise _lacks(made, "kind", "expected a name of small letters, such as 'kind = \"gelu\"'")
    for method in sort.methods:
        if getattr(made, method) is getattr(sort.base, method):
            raise _lacks(made, method, f"expected what 'plugin.{sort.base.__name__}.{method}' describes")
    if "Example: " not in (vars(made).get("__doc__") or ""):
        raise _lacks(made, "example", f"expected a docstring that ends with a line 'Example: {kind}(...)'")
    for name in (n for n in sort.fields if n not in made.__dataclass_fields__ and not hasattr(made, n)):
        raise _lacks(
            made,
            f"field '{name}'",
            f"every subclass of {sort.base.__name__} has {listed(sort.fields, 'and')}",
        )
    hints = get_type_hints(made, include_extras=True)
    for row in fields(made):
        types = getattr(hints[row.name], "__metadata__", ())
        if row.name not in FILLED_IN and not any(isinstance(extra, ArgumentType) for extra in types):
            raise _lacks(
                made, f"type of the language for '{row.name}'", "such as 'plugin.Positive' or 'plugin.Count'"
            )


def _lacks(made: Any, what: str, note: str) -> LnetError:
    return refused("E610", f"the plug-in's class '{_named(made)}' has no {what}", note)


def _named(part: object) -> str:
    return str(getattr(part, "__qualname__", part))


def _claim(made: Any, what: str) -> None:
    """Note that a plug-in brings a kind; raises `LnetError` if the name is taken, which those of version 2 are not."""
    tables = (LAYER_KINDS, OBJECTIVE_KINDS, vocabulary().calls)
    taken = any(version_of(table[made.kind]) == 1 for table in tables if made.kind in table)
    _own(made, what, made.kind, made.__doc__.rpartition("Example: ")[2].strip(), taken)


def enter(
    what: str, table: list[Entry], entry: Entry, name: str, names: Sequence[str], function: Any
) -> None:
    """Enter a `SOURCE` or a `SECTION` in its table, whose entries have `names`.

    `function` is the plug-in's own. Raises `LnetError` if the name is taken.
    """
    _own(function, what, name, "", name in names)
    if name in names:
        table[names.index(name)] = entry
    else:
        table.append(entry)


def _own(made: Any, what: str, name: str, example: str, taken: bool) -> None:
    """Note what a plug-in brings; raises `LnetError` if the name is taken, unless by the plug-in itself."""
    owner, before = owner_of(made), _brought.get((what, name))
    if taken and (before is None or before.plugin != owner.plugin.name):
        whose = next((f"the plug-in '{b.plugin}'" for b in brought() if b.kind == name), "lnet")
        raise refused("E610", f"there is a {what} '{name}' already, of {whose}", hint="choose another name")
    _loaded[owner.plugin.name] = owner
    _brought[what, name] = Brought(what, name, owner.plugin.name, example)
    if owner.file is not None:
        announce(str(owner.file))


# --- what there is, and what is needed -------------------------------------------------------------------


def brought() -> Iterator[Brought]:
    """Yield everything that plug-ins have brought, in the order in which it was registered."""
    yield from _brought.values()


def is_loaded(file: Path) -> bool:
    """Whether a file has brought something, under whatever name its module was imported."""
    return any(loaded.file == file for loaded in _loaded.values())


def plugins_of(graph: Graph) -> tuple[Plugin, ...]:
    """Return the plug-ins that a graph is made with, by name."""
    used = {(LAYER, op.kind) for layer in graph.layers for op in (layer.op, *layer.op.applies)}
    used |= {(OBJECTIVE, objective.term.kind) for objective in graph.objectives}
    used.add((RULE, graph.training.update.kind))
    return _bringing(used)


def readers(sources: Iterable[str]) -> tuple[Plugin, ...]:
    """Return the plug-ins that brought data sources, given by name."""
    return _bringing((SOURCE, name) for name in sources)


def _bringing(used: Iterable[tuple[str, str]]) -> tuple[Plugin, ...]:
    names = {_brought[part].plugin for part in used if part in _brought}
    return tuple(_loaded[name].plugin for name in sorted(names))


def lacking(needed: Iterable[Plugin]) -> Iterator[str]:
    """Yield a sentence for each plug-in that this process does not have as it is needed."""
    for plugin in needed:
        here = _loaded.get(plugin.name)
        if here is None:
            yield f"the plug-in {plugin} is not loaded"
        elif here.plugin.digest != plugin.digest:
            yield f"expected the plug-in {plugin}, found {here.plugin}: its source is another"


def sources_of(needed: Iterable[Plugin]) -> dict[str, bytes]:
    """Return the source of each plug-in that is a single file, by its name."""
    found = ((plugin.name, _loaded[plugin.name].source) for plugin in needed)
    return {name: source for name, source in found if source}
