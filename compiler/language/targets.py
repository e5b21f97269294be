"""The targets of a network, and the arrays that hold their values."""

from __future__ import annotations

from collections.abc import Sequence

from lnet.compiler.core.arguments import listed
from lnet.compiler.graph.graph import Graph
from lnet.compiler.settings import ArraySet, TrainingData
from lnet.dsl import nodes

from .expressions import Evaluator


def check_targets(graph: Graph, train: nodes.Train | None, evaluator: Evaluator) -> None:
    """Report targets without an array, and arrays without a target, in `data` and in `validation`."""
    if train is not None and graph.training.data is not None:
        _check(graph, "data", graph.training.data, train, evaluator)
    if train is not None and graph.validated is not None:
        _check(graph, "validation", graph.validated.data, train, evaluator)


def _check(graph: Graph, key: str, data: TrainingData, train: nodes.Train, evaluator: Evaluator) -> None:
    paths = [layer.path for layer in graph.targets]
    named = (
        "nothing"
        if not isinstance(data, ArraySet) or not data.targets
        else listed(_quoted(data.targets), "and")
    )
    if isinstance(data, ArraySet):
        fits = len(data.targets) == 1 if len(paths) == 1 else sorted(data.targets) == sorted(paths)
    else:
        fits = not paths
    if fits:
        return
    settings = [s for s in train.settings if isinstance(s, nodes.Setting) and s.name.text == key]
    several = len(paths) > 1
    names = f"[{', '.join(map(_text, paths))}]" if several else _text(paths[0]) if paths else "none"
    has = f"the target{'s' * several} {listed(_quoted(paths), 'and')}" if paths else "no target"
    hint = f"write 'targets = {names}'"
    if not isinstance(data, ArraySet):
        hint = f'arrays have some: {key} = arrays("FILE.npz", values = "x", targets = {names})'
    what = f"'targets' names {named}" if isinstance(data, ArraySet) else "images come without targets"
    evaluator.report(
        "E517",
        f"the network has {has}, and {what}",
        settings[0].value.span if settings else train.span,
        notes=("with several targets the arrays have the names of the items",) if several else (),
        hints=(hint,) if paths else ("leave 'targets' out, or add 'NAME: target(SIZE)' to the network",),
    )


def _quoted(names: Sequence[str]) -> list[str]:
    return [f"'{name}'" for name in names]


def _text(name: str) -> str:
    return f'"{name}"'
