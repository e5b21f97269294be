"""Replace every `rica` by the layers and terms that it stands for.

    learn: rica(encode, pool)     ->    learn.decode          decode of encode, with weights of its own or tied
                                        learn.reconstruction  squared_error(learn.decode, what encode reads)
                                        learn.sparsity        sparsity * total(pool)

Needs a typed graph. Guarantees that no `Rica` is left, that every decoder is an ordinary `decode` layer (so that
partition, kernels and costs know nothing of `rica`), and that the sum of the terms is the objective.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from lnet.compiler.core.layer import Layer, parameter, tied_parameters
from lnet.compiler.core.learned import Learned
from lnet.compiler.graph.graph import Graph
from lnet.compiler.objectives import Objective, Rica, SquaredError, Total
from lnet.compiler.ops import decoder_of


def expand_rica(graph: Graph) -> Graph:
    """Return the graph with every `rica` spelled out."""
    decoders: list[Layer] = []
    objectives: list[Objective] = []
    for objective in graph.objectives:
        if isinstance(objective.term, Rica):
            decoders.append(_decoder(objective, objective.term, graph))
            objectives.extend(_terms(objective, objective.term, graph))
        else:
            objectives.append(objective)
    return replace(
        graph,
        layers=(*graph.layers, *decoders),
        objectives=tuple(objectives),
        derived=graph.derived | {decoder.path for decoder in decoders},
    )


def rica_left(graph: Graph) -> Iterator[str]:
    """Yield the objectives that were not expanded."""
    yield from (f"{o.path} was not expanded" for o in graph.objectives if isinstance(o.term, Rica))


def _decoder(objective: Objective, rica: Rica, graph: Graph) -> Layer:
    encode = graph.layer(objective.reads[0])
    path = f"{objective.path}.decode"
    op = decoder_of(encode, rica.tied, Learned(rica.init, rica.speed))
    if rica.tied:
        parameters = tied_parameters(op, encode)
    else:
        parameters = (parameter("weight", path, op.weights()["weight"]),)
    return Layer(path, op, (encode.path,), parameters, objective.span, op.laid_out([encode.patch]))


def _terms(objective: Objective, rica: Rica, graph: Graph) -> tuple[Objective, Objective]:
    encode, pool = objective.reads
    decoder = f"{objective.path}.decode"
    (read,) = graph.layer(encode).reads
    reconstruction = replace(
        objective, path=f"{objective.path}.reconstruction", term=SquaredError(), reads=(decoder, read)
    )
    sparsity = replace(
        objective,
        path=f"{objective.path}.sparsity",
        term=Total(),
        reads=(pool,),
        weight=objective.weight * rica.sparsity,
    )
    return reconstruction, sparsity
