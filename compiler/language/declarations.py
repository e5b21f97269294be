"""The declarations of a file: unique names, no recursive stages, no circular constants."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from lnet.compiler.core.arguments import version_of
from lnet.compiler.core.values import UNKNOWN, Unknown, Value
from lnet.compiler.objectives import OBJECTIVE_KINDS
from lnet.compiler.ops import LAYER_KINDS
from lnet.dsl import nodes
from lnet.dsl.diagnostics import Diagnostic
from lnet.dsl.source import Span

from .expressions import Evaluator
from .hints import kind_hints
from .scope import Scope

RESERVED_ITEMS = ("height", "width", "maps", "input")
DEEPEST = 64
MOST_LAYERS = 100_000
RESERVED_PARAMETERS = ("of", "input")


@dataclass(frozen=True)
class Declarations:
    """The declarations of a module by name; broken ones are known by name only."""

    lets: dict[str, nodes.Let] = field(default_factory=dict)
    stages: dict[str, nodes.Stage] = field(default_factory=dict)
    networks: list[nodes.Network] = field(default_factory=list)
    trains: list[nodes.Train] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    some_broken: bool = False

    @property
    def kinds(self) -> tuple[tuple[str, list[str]], ...]:
        """Every kind that an item can have, with its category."""
        return (
            ("layer kinds", list(LAYER_KINDS)),
            ("objectives", list(OBJECTIVE_KINDS)),
            ("stages of this file", list(self.stages)),
        )


def collect_declarations(module: nodes.Module, evaluator: Evaluator) -> Declarations:
    """Sort a module's declarations by kind and report names given twice."""
    lets: dict[str, nodes.Let] = {}
    stages: dict[str, nodes.Stage] = {}
    networks: list[nodes.Network] = []
    trains: list[nodes.Train] = []
    broken: set[str] = set()
    some_broken = False
    for declaration in module.declarations:
        match declaration:
            case nodes.Let():
                _enter(lets, declaration, "'let'", evaluator)
            case nodes.Stage():
                _enter_stage(stages, declaration, evaluator)
            case nodes.Network():
                networks.append(declaration)
            case nodes.Train():
                trains.append(declaration)
            case nodes.Broken(name=name):
                some_broken = True
                broken.update({name} if name else ())
    return Declarations(lets, stages, networks, trains, broken, some_broken)


Declared = TypeVar("Declared", nodes.Let, nodes.Stage)


def _enter(table: dict[str, Declared], node: Declared, what: str, evaluator: Evaluator) -> None:
    name = node.name.text
    if name in table:
        report_twice(evaluator, node.name, table[name].name, what)
    else:
        table[name] = node


def _enter_stage(stages: dict[str, nodes.Stage], stage: nodes.Stage, evaluator: Evaluator) -> None:
    name = stage.name.text
    kind = LAYER_KINDS.get(name) or OBJECTIVE_KINDS.get(name)
    if kind is not None and (came := version_of(kind)) > 1:  # it may be of a file that is older than the kind
        evaluator.report(
            "W609",
            f"the stage '{name}' hides the kind of this name, which came with version {came} of the language",
            stage.name.span,
            hints=("give the stage another name to use the kind",),
        )
    elif kind is not None:
        evaluator.report(
            "E204",
            f"'{name}' is a kind of the language, so no stage can have this name",
            stage.name.span,
            hints=("choose another name",),
        )
        return
    _enter(stages, stage, "stage", evaluator)


def report_twice(evaluator: Evaluator, name: nodes.Name, first: nodes.Name, what: str) -> None:
    evaluator.report(
        "E204",
        f"the {what} '{name.text}' is declared twice" if what else f"'{name.text}' is declared twice",
        name.span,
        related=((first.span, "declared here first"),),
    )


# --- constants -------------------------------------------------------------------------------------------


def evaluate_lets(declarations: Declarations, evaluator: Evaluator) -> dict[str, Value]:
    """Return the values of all constants; they may stand in any order."""
    values: dict[str, Value] = dict.fromkeys(declarations.broken, UNKNOWN)
    lets = declarations.lets
    order, circles = _in_order(lets, lambda name: [w for w in _names_in(lets[name].value) if w in lets])
    for circle in circles:
        _report_circle(circle, lets, evaluator)
        values.update(dict.fromkeys(circle, UNKNOWN))
    for name in order:
        if name not in values:
            values[name] = evaluator.value(lets[name].value, Scope(values))
    return values


def _report_circle(circle: list[str], lets: Mapping[str, nodes.Let], evaluator: Evaluator) -> None:
    first, *others = circle
    needs = " needs ".join(f"'{name}'" for name in [first, *others, first])
    evaluator.report(
        "E206",
        f"the constant '{first}' depends on itself: {needs}",
        lets[first].name.span,
        related=tuple((lets[name].name.span, "") for name in others),
    )


def _names_in(expr: nodes.Expr) -> Iterable[str]:
    """Yield the bare names of an expression."""
    match expr:
        case nodes.Path(bare=str(name)):
            yield name
        case nodes.Path(parts=parts):
            for part in parts:
                yield from _names_in(part.index) if part.index is not None else ()
        case nodes.Negative(operand=inner) | nodes.Group(inner=inner):
            yield from _names_in(inner)
        case nodes.Chain(first=first, rest=rest):
            for operand in (first, *(operand for _, operand in rest)):
                yield from _names_in(operand)
        case nodes.List(items=items):
            for item in items:
                yield from _names_in(item)
        case nodes.Call(arguments=arguments):
            for argument in arguments:
                yield from _names_in(argument.value)


# --- circles ---------------------------------------------------------------------------------------------


def order_stages(declarations: Declarations, evaluator: Evaluator) -> tuple[list[str], set[str]]:
    """Return the stages, each after those it instantiates, and the ones that cannot be unrolled (reported)."""
    stages = declarations.stages

    def parts(name: str) -> list[str]:
        return [item.kind.text for item in _items(stages[name]) if item.kind.text in stages]

    order, circles = _in_order(stages, parts)
    for circle in circles:
        _report_recursion(circle, stages, evaluator)
    return order, {name for circle in circles for name in circle}


def check_layers(
    network: nodes.Network, order: list[str], declarations: Declarations, evaluator: Evaluator
) -> bool:
    """Whether the network can be unrolled, as far as is known before any stage is; reports it if not.

    The items of a family count here if their number is written as one; all are counted as they are made.
    """
    layers: dict[str, int] = {}
    depth: dict[str, int] = {}
    for name in [*order, ""]:
        entries = declarations.stages[name].items if name else network.items
        items = [item for item in entries if isinstance(item, nodes.Item)]
        kinds = [item.kind.text for item in items]
        layers[name] = sum(layers.get(item.kind.text, 1) * _least(item) for item in items)
        depth[name] = 1 + max((depth.get(kind, 0) for kind in kinds), default=0)
    if layers[""] > MOST_LAYERS:
        message = f"the network has more than {MOST_LAYERS:,} layers and objectives"
    elif depth[""] <= DEEPEST:
        return True
    else:
        message = f"the network has stages inside stages, {depth['']:,} deep, more than {DEEPEST}"
    evaluator.report("E601", message, network.name.span)
    return False


def _least(item: nodes.Item) -> int:
    """Return how many items are made of one, at least."""
    return int(item.count.value) if isinstance(item.count, nodes.Number) else 1


def _report_recursion(circle: list[str], stages: Mapping[str, nodes.Stage], evaluator: Evaluator) -> None:
    following = dict(zip(circle, [*circle[1:], circle[0]], strict=True))
    sites = [
        next(item.kind.span for item in _items(stages[name]) if item.kind.text == following[name])
        for name in circle
    ]
    through = "".join(f", through '{name}'" for name in circle[1:])
    evaluator.report(
        "E207",
        f"the stage '{circle[0]}' instantiates itself{through}",
        sites[0],
        related=tuple((site, "") for site in sites[1:]),
    )


def _items(stage: nodes.Stage) -> list[nodes.Item]:
    return [item for item in stage.items if isinstance(item, nodes.Item)]


def _in_order(names: Iterable[str], needs: Callable[[str], list[str]]) -> tuple[list[str], list[list[str]]]:
    """Return names in dependency order, and the cycles found; iterative, so that depth does not matter."""
    order: list[str] = []
    circles: list[list[str]] = []
    done: set[str] = set()
    for root in names:
        path: dict[str, list[str]] = {}
        if root not in done:
            path[root] = needs(root)
        while path:
            name, open_needs = next(reversed(path.items()))
            if not open_needs:
                del path[name]
                done.add(name)
                order.append(name)
                continue
            needed = open_needs.pop(0)
            if needed in path:
                walked = list(path)
                circles.append(walked[walked.index(needed) :])
            elif needed not in done:
                path[needed] = needs(needed)
    return order, circles


# --- numbers of declarations -----------------------------------------------------------------------------


def single_network(declarations: Declarations, evaluator: Evaluator) -> nodes.Network | None:
    """Return the one network of a file, or report that there is none or more than one."""
    networks = declarations.networks
    if not networks:
        if not declarations.some_broken and not evaluator.collector.failed:
            evaluator.collector.add(
                Diagnostic(
                    "E209",
                    "expected one 'network' declaration, found none",
                    Span(0, 0),
                    hints=("write 'network NAME { image: input(64x64x3) ... }'",),
                )
            )
        return None
    for other in networks[1:]:
        evaluator.report(
            "E210",
            f"a file has one network, and '{other.name.text}' is another",
            other.name.span,
            related=((networks[0].name.span, "the first one"),),
        )
    return networks[0]


def single_train(declarations: Declarations, evaluator: Evaluator) -> nodes.Train | None:
    """Return the train block, if there is one, or report a second one."""
    for other in declarations.trains[1:]:
        evaluator.report(
            "E211",
            "a file has at most one 'train' block, and this is another",
            other.span,
            related=((declarations.trains[0].span, "the first one"),),
        )
    return declarations.trains[0] if declarations.trains else None


def check_item_name(name: nodes.Name, evaluator: Evaluator) -> bool:
    """Whether an item may have this name; reports it if not."""
    if name.text not in RESERVED_ITEMS:
        return True
    evaluator.report(
        "E208",
        f"no item can be named '{name.text}'",
        name.span,
        notes=(f"{', '.join(RESERVED_ITEMS)} are reserved",),
    )
    return False


def unknown_kind(name: nodes.Name, declarations: Declarations, evaluator: Evaluator) -> Unknown:
    """Report a kind that is no layer, objective or stage; silent if its declaration is broken."""
    if name.text in declarations.broken:
        return UNKNOWN
    return evaluator.report(
        "E202",
        f"there is no layer kind, objective or stage named '{name.text}'",
        name.span,
        notes=tuple(_listed(what, names) for what, names in declarations.kinds if names),
        hints=kind_hints(name.text, [name for _, names in declarations.kinds for name in names]),
    )


def _listed(what: str, names: Iterable[str]) -> str:
    return f"the {what} are {', '.join(names)}"
