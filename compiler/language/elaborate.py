"""Module -> Graph: names resolved, stages unrolled, arguments checked, shapes inferred; all errors at once.

    stage pair(k) { a: local(k, 8); b: l2pool(3) }          image    16x16x3
    network n { image: input(16x16x3); V1: pair(5) }   ->   V1.a     12x12x8   reads image
                                                            V1.b     10x10x8   reads V1.a

Needs a module from the parser, in which what could not be read is a `Broken` node. Guarantees that every layer
follows what it reads, that all shapes fit, and that nothing is allocated per neuron or per weight.
A stage that nothing instantiates is elaborated with unknown values, so that its mistakes are found too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lnet.compiler.core.arguments import (
    FAMILY,
    REQUIRED,
    Argument,
    LayerArgument,
    Signature,
    signature,
)
from lnet.compiler.core.layer import Layer, Op, Parameter, parameters_of, tied_parameters
from lnet.compiler.core.values import UNKNOWN, Unknown, Value
from lnet.compiler.graph.graph import Graph
from lnet.compiler.objectives import OBJECTIVE_KINDS, Between, Objective
from lnet.compiler.ops import LAYER_KINDS, Input, Target
from lnet.compiler.settings import Training
from lnet.compiler.words import objective_signature
from lnet.dsl import nodes
from lnet.dsl.diagnostics import Collector, Diagnostic
from lnet.dsl.source import Span

from .declarations import (
    MOST_LAYERS,
    RESERVED_PARAMETERS,
    Declarations,
    check_item_name,
    check_layers,
    collect_declarations,
    evaluate_lets,
    order_stages,
    report_twice,
    single_network,
    single_train,
    unknown_kind,
)
from .expressions import ANY, Evaluator
from .places import line_of
from .scope import Entry, Family, Instance, Place, Scope, layer_of
from .targets import check_targets
from .two_views import check_contrasted, warn_equal_views
from .untrained import warn_untrained
from .validated import check_validated

MOST_PARAMETERS = 2**40
SINGLE = {"input": "E213", "target": "E215"}
"""Kinds that no family can be of, and the error of one that is."""


class _TooMany(Exception):
    """The network has more items than any can have."""


@dataclass(frozen=True, slots=True)
class Elaborated:
    """The graph of a module, or None after errors; `known`: as much of it as there is in spite of them.

    `known` is None without an input. `items`: where each layer, objective and stage instance stands in the file, by path.
    """

    graph: Graph | None
    known: Graph | None
    items: Mapping[str, Span]


def elaborate(module: nodes.Module, collector: Collector, freeze: Sequence[str] = ()) -> Elaborated:
    """Return what a module means; all diagnostics go to `collector`.

    `freeze`: frozen layers and stages, which get no warning that nothing trains them.
    """
    evaluator = Evaluator(collector)
    declarations = collect_declarations(module, evaluator)
    network = single_network(declarations, evaluator)
    train = single_train(declarations, evaluator)
    order, recursive = order_stages(declarations, evaluator)
    lets = evaluate_lets(declarations, evaluator)
    builder = _Builder(evaluator, declarations, lets, recursive)
    if network is not None and check_layers(network, order, declarations, evaluator):
        builder.network(network)
    builder.unused_stages()
    training = _training(train, evaluator, evaluate_lets(declarations, evaluator))  # the input is known now
    items = {path: place.span for path, place in builder.places.items()}
    known = builder.graph(network, training)
    if collector.failed or network is None or training is None or known is None:
        return Elaborated(None, known, items)
    _check(known, network, train, builder, freeze)
    return Elaborated(None if collector.failed else known, known, items)


def _check(
    graph: Graph, network: nodes.Network, train: nodes.Train | None, builder: _Builder, freeze: Sequence[str]
) -> None:
    """Report mistakes of a network as a whole, and warn."""
    evaluator, collector = builder.evaluator, builder.evaluator.collector
    _check_size(graph, network, evaluator)
    check_targets(graph, train, evaluator)
    check_contrasted(graph, builder.places, evaluator)
    check_validated(graph, train, evaluator)
    warn_equal_views(graph, train, evaluator)
    _warn_unread(graph, builder, collector)
    warn_untrained(replace(graph, frozen=tuple(freeze)), network, builder.places, collector)


@dataclass(slots=True)
class _Builder:
    """Unrolls the blocks of a file into layers and objectives."""

    evaluator: Evaluator
    declarations: Declarations
    lets: Mapping[str, Value]
    recursive: set[str]
    layers: list[Layer] = field(default_factory=list)
    objectives: list[Objective] = field(default_factory=list)
    stages: list[tuple[str, str]] = field(default_factory=list)
    places: dict[str, Place] = field(default_factory=dict)
    also_read: set[str] = field(default_factory=set)
    instantiated: set[str] = field(default_factory=set)
    checked: set[str] = field(default_factory=set)
    items: int = 0

    def graph(self, network: nodes.Network | None, training: Training | None) -> Graph | None:
        """Return the graph of what has been unrolled; None without an input."""
        if network is None or not self.layers or not isinstance(self.layers[0].op, Input):
            return None
        layers, objectives = tuple(self.layers), tuple(self.objectives)
        return Graph(network.name.text, layers, objectives, training or Training(), tuple(self.stages))

    # --- blocks ------------------------------------------------------------------------------------------

    def network(self, network: nodes.Network) -> None:
        scope = Scope(self.lets, of_network=True)
        items = [item for item in network.items if isinstance(item, nodes.Item)]
        inputs = [item for item in items if item.kind.text == "input"]
        if not inputs and len(items) == len(network.items):
            self.evaluator.report(
                "E212",
                f"the network '{network.name.text}' has no input",
                network.name.span,
                hints=("write 'image: input(64x64x3)' as its first item",),
            )
        if not inputs:
            scope.above = UNKNOWN
        elif network.items[0] is not inputs[0] and isinstance(network.items[0], nodes.Item):
            self._misplaced_input(inputs[0].kind.span, "the input must be the network's first item")
            scope.above = UNKNOWN
        for other in inputs[1:]:
            self._misplaced_input(other.kind.span, "a network has one input, and this is another")
        try:
            self.block(network.items, scope, first_input=inputs[0] if inputs else None)
        except _TooMany:
            self._report_too_many("network", network.name)

    def _report_too_many(self, what: str, name: nodes.Name) -> None:
        message = f"the {what} has more than {MOST_LAYERS:,} layers and objectives"
        self.evaluator.report("E601", message, name.span)

    def block(
        self,
        items: tuple[nodes.Item | nodes.Broken, ...],
        scope: Scope,
        first_input: nodes.Item | None = None,
    ) -> None:
        """Elaborate the items of a block, in order, into `scope`."""
        self._declare(items, scope)
        for item in items:
            name = item.name.text if isinstance(item, nodes.Item) else item.name
            pending = scope.pending.pop(name, None) if name else None
            if isinstance(item, nodes.Item) and pending is not item.name:
                if (
                    pending is not None and name
                ):  # a second item of the name: reported, elaborated for its errors
                    scope.pending[name] = pending
                self._once(item, scope, first_input)
                continue
            entry: Entry = UNKNOWN
            if isinstance(item, nodes.Item):
                entry = self._entry(item, scope, first_input)
            if name:
                scope.items[name] = entry
            self._above(entry, scope)

    def _above(self, entry: Entry, scope: Scope) -> None:
        """Let what follows read an item, if it is a layer."""
        layer = layer_of(entry)
        if layer is not None and not _is_target(layer):
            scope.above = layer

    def _entry(self, item: nodes.Item, scope: Scope, first_input: nodes.Item | None) -> Entry:
        """Elaborate an item, or all of a family."""
        if item.count is None:
            return self.item(item, item.name.text, scope, first_input)
        name = item.name.text
        count = self.evaluator.converted(FAMILY, item.count, scope, f"the number of items of '{name}'")
        if item.kind.text in SINGLE and item.kind.text not in self.declarations.stages:
            message = f"'{item.kind.text}' makes one item, and cannot make a family"
            count = self.evaluator.report(SINGLE[item.kind.text], message, item.count.span)
        if isinstance(count, Unknown):
            self._once(item, scope, first_input)
            return UNKNOWN
        family = scope.items[name] = Family(count)
        for scope.index in range(count):
            entry = self.item(item, f"{name}[{scope.index}]", scope, first_input)
            if isinstance(entry, Unknown):  # and so would the others be
                scope.index = None
                return UNKNOWN
            family.entries.append(entry)
            self._above(entry, scope)
        scope.index = None
        return family

    def _once(self, item: nodes.Item, scope: Scope, first_input: nodes.Item | None) -> None:
        """Elaborate an item for its mistakes alone."""
        scope.index = None if item.count is None else UNKNOWN
        self.item(item, item.name.text, scope, first_input)
        scope.index = None

    def _declare(self, items: tuple[nodes.Item | nodes.Broken, ...], scope: Scope) -> None:
        """Enter the items of a block as pending, and report names that cannot be."""
        for item in items:
            if not isinstance(item, nodes.Item):
                continue
            name = item.name.text
            check_item_name(item.name, self.evaluator)
            if name in scope.pending:
                report_twice(self.evaluator, item.name, scope.pending[name], "item")
            elif name in scope.values and name not in scope.items:
                self._clash(item.name, scope)
                scope.pending[name] = item.name
            else:
                scope.pending[name] = item.name

    def _clash(self, name: nodes.Name, scope: Scope) -> None:
        let = self.declarations.lets.get(name.text)
        what = "a 'let'" if let is not None else "a parameter of the stage"
        self.evaluator.report(
            "E204",
            f"'{name.text}' is already the name of {what}",
            name.span,
            related=((let.name.span, "declared here first"),) if let is not None else (),
        )

    def _misplaced_input(self, span: Span, message: str) -> None:
        self.evaluator.report("E213", message, span)

    # --- items -------------------------------------------------------------------------------------------

    def item(self, item: nodes.Item, name: str, scope: Scope, first_input: nodes.Item | None) -> Entry:
        path = scope.child_path(name)
        place = self.places[path] = scope.place(item.span, path)
        with self.evaluator.noting(place=place):
            entry = self._item(item, path, scope, first_input)
        self.items += not isinstance(entry, Instance)
        if self.items > MOST_LAYERS:
            raise _TooMany
        return entry

    def _item(self, item: nodes.Item, path: str, scope: Scope, first_input: nodes.Item | None) -> Entry:
        kind = item.kind.text
        if kind in self.declarations.stages:
            return self._instance(item, path, self.declarations.stages[kind], scope)
        if kind == "input" and item is not first_input:
            if first_input is None:
                self._misplaced_input(
                    item.kind.span, "a stage has no input of its own: it reads what its instance reads"
                )
            return UNKNOWN
        if kind == Target.kind and not scope.of_network:
            return self.evaluator.report(
                "E215",
                "a target belongs in the network's block, and this is a stage",
                item.kind.span,
                hints=("an objective in the network's block can compare the stage's value with it",),
            )
        if kind in LAYER_KINDS:
            return self._layer(item, path, scope)
        if kind in OBJECTIVE_KINDS:
            return self._objective(item, path, scope)
        return unknown_kind(item.kind, self.declarations, self.evaluator)

    def _layer(self, item: nodes.Item, path: str, scope: Scope) -> Layer | Unknown:
        function = LAYER_KINDS[item.kind.text]
        table = signature(item.kind.text, function)
        call = self._bind(table, item, scope)
        if call is None:
            return UNKNOWN
        bound, given = call
        op = self.evaluator.apply(function, bound, given, item.kind.span)
        if isinstance(op, Unknown):
            return UNKNOWN
        operands = _layers_of(bound.get("of"))
        patch = op.laid_out([layer.patch for layer in operands])
        reads = tuple(layer.path for layer in operands)
        layer = Layer(path, op, reads, _parameters(path, op, bound), item.span, patch)
        if isinstance(op, Input):
            self.evaluator.input = op.sheet
        self.also_read.update(value.path for value in bound.values() if isinstance(value, Layer))
        self.layers.append(layer)
        self.evaluator.made.add(layer)
        return layer

    def _objective(self, item: nodes.Item, path: str, scope: Scope) -> Objective | Unknown:
        function = OBJECTIVE_KINDS[item.kind.text]
        call = self._bind(objective_signature(item.kind.text), item, scope)
        if call is None:
            return UNKNOWN
        bound, given = call
        weight = bound.pop("weight", 1.0)
        weight, change = (1.0, weight) if isinstance(weight, Between) else (weight, None)
        term = self.evaluator.apply(function, bound, given, item.kind.span)
        if isinstance(term, Unknown):
            return UNKNOWN
        reads = tuple(layer.path for value in bound.values() for layer in _layers_of(value))
        objective = Objective(path, term, reads, weight, path, item.span, change)
        self.objectives.append(objective)
        return objective

    def _instance(self, item: nodes.Item, path: str, stage: nodes.Stage, scope: Scope) -> Instance | Unknown:
        self.instantiated.add(stage.name.text)
        table = stage_signature(stage)
        given = self.evaluator.match(table, item.arguments)
        bound = self.evaluator.bind(table, given, item.kind.span, scope)
        if isinstance(bound, Unknown) or stage.name.text in self.recursive:
            self._check_abstractly(stage)
            return UNKNOWN
        calls = (line_of(self.evaluator.collector.source, item.span), *scope.calls)
        inner = Scope(self._stage_values(stage, bound), path, calls)
        inner.above = inner.items["input"] = bound["of"]
        with self.evaluator.noting(place=inner.place(item.span, path)):
            return self._unroll(stage, inner)

    def _unroll(self, stage: nodes.Stage, scope: Scope) -> Instance | Unknown:
        self.block(stage.items, scope)
        del scope.items["input"]
        values = [layer for entry in scope.items.values() if (layer := layer_of(entry)) is not None]
        if not values:
            if all(isinstance(item, nodes.Item) for item in stage.items):
                self.evaluator.report(
                    "E214", f"the stage '{stage.name.text}' has no layer, so it has no value", stage.name.span
                )
            return UNKNOWN
        value = values[-1]
        if isinstance(value, Layer):
            self.stages.append((scope.path, value.path))
        return Instance(scope.items, value)

    def _bind(
        self, table: Signature, item: nodes.Item, scope: Scope
    ) -> tuple[dict[str, Any], dict[str, nodes.Argument]] | None:
        given = self.evaluator.match(table, item.arguments)
        bound = self.evaluator.bind(table, given, item.kind.span, scope)
        return None if isinstance(bound, Unknown) else (bound, given)

    # --- stages ------------------------------------------------------------------------------------------

    def _stage_values(self, stage: nodes.Stage, bound: Mapping[str, Any]) -> dict[str, Value]:
        """Return the values of names inside an instance: constants, arguments, defaults."""
        values = dict(self.lets)
        defaults = Scope(self.lets)
        for parameter in stage.parameters:
            name = parameter.name.text
            if name in bound:
                values[name] = bound[name]
            elif parameter.default is not None:
                values[name] = self.evaluator.value(parameter.default, defaults)
        return values

    def unused_stages(self) -> None:
        """Check the stages without an instance, and the parameters of all stages."""
        for stage in self.declarations.stages.values():
            self._check_parameters(stage)
            self.items = 0
            try:
                if stage.name.text not in self.instantiated:
                    self._check_abstractly(stage)
            except _TooMany:
                self._report_too_many("stage", stage.name)

    def _check_parameters(self, stage: nodes.Stage) -> None:
        seen: dict[str, nodes.Name] = {}
        for parameter in stage.parameters:
            name = parameter.name
            if name.text in RESERVED_PARAMETERS:
                self.evaluator.report("E208", f"no parameter can be named '{name.text}'", name.span)
            elif name.text in seen:
                report_twice(self.evaluator, name, seen[name.text], "parameter")
            elif name.text in self.declarations.lets:
                report_twice(self.evaluator, name, self.declarations.lets[name.text].name, "")
            seen.setdefault(name.text, name)

    def _check_abstractly(self, stage: nodes.Stage) -> None:
        """Report the mistakes of a stage that do not depend on its arguments."""
        if stage.name.text in self.checked:
            return
        self.checked.add(stage.name.text)
        values = {**self.lets, **{p.name.text: UNKNOWN for p in stage.parameters}}
        for parameter in stage.parameters:
            if parameter.default is not None:
                self.evaluator.value(parameter.default, Scope(self.lets))
        scope = Scope(values, stage.name.text)
        scope.above = scope.items["input"] = UNKNOWN
        self.instantiated.add(stage.name.text)
        if stage.name.text in self.recursive:
            scope.items.update({i.name.text: UNKNOWN for i in stage.items if isinstance(i, nodes.Item)})
        self._unroll(stage, scope)


def _is_target(entry: Layer | Unknown) -> bool:
    return isinstance(entry, Layer) and entry.op.is_target


def _layers_of(value: Any) -> Sequence[Layer]:
    """Return the layers that an argument names."""
    if isinstance(value, Layer):
        return (value,)
    return value if isinstance(value, list) else ()


def _parameters(path: str, op: Op, bound: Mapping[str, Any]) -> tuple[Parameter, ...]:
    """Return a layer's parameters; one that is tied has those of the layer that it names."""
    for named in bound.values():
        if isinstance(named, Layer) and named.path == op.tied_to:
            return tied_parameters(op, named)
    return parameters_of(path, op)


_OF = Argument("of", LayerArgument("above"), None, keyword_only=True)


def stage_signature(stage: nodes.Stage) -> Signature:
    """Return the argument table of a stage."""
    rows = tuple(
        Argument(p.name.text, ANY, REQUIRED if p.default is None else None, keyword_only=False)
        for p in stage.parameters
    )
    return Signature(stage.name.text, (*rows, _OF))


# --- train and limits ------------------------------------------------------------------------------------


def _training(train: nodes.Train | None, evaluator: Evaluator, lets: Mapping[str, Value]) -> Training | None:
    if train is None:
        return Training()
    settings = [s for s in train.settings if isinstance(s, nodes.Setting)]
    arguments = tuple(nodes.Argument(s.span, s.name, s.value) for s in settings)
    training = evaluator.invoke(Training, signature("train", Training), arguments, train.span, Scope(lets))
    return None if isinstance(training, Unknown) else training


def _check_size(graph: Graph, network: nodes.Network, evaluator: Evaluator) -> None:
    total = sum(parameter.size for parameter in graph.parameters)
    if total <= MOST_PARAMETERS:
        return
    largest = max(graph.parameters, key=lambda parameter: parameter.size)
    evaluator.report(
        "E602",
        f"the network has {total:,} parameters, more than {MOST_PARAMETERS:,}",
        network.name.span,
        notes=(f"the largest is '{largest.name}' with {largest.size:,}",),
    )


def _warn_unread(graph: Graph, builder: _Builder, collector: Collector) -> None:
    """Warn of layers that neither a layer, nor an objective, nor the output reads."""
    read = {path for layer in graph.layers for path in layer.reads} | builder.also_read | {graph.output.path}
    read.update(path for o in graph.objectives if not o.term.shrinks for path in o.reads)
    for layer in graph.layers:
        if layer.path not in read:
            place = builder.places[layer.path]
            message = f"nothing reads the layer '{layer.path}'"
            notes = (place.note,) if place.note else ()
            collector.add(Diagnostic("W201", message, layer.span, notes=notes, item=layer.path))
