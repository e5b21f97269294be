"""The cause of a loss that is not finite: layer, parameter, and line of the file."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lnet.compiler.plan.plan import Plan
from lnet.dsl.diagnostics import Diagnostic, LnetError, error_of
from lnet.dsl.source import Span
from lnet.runtime.data import Batch
from lnet.runtime.engine.evaluate import Targets, as_targets, batch_last, layer_values, total_loss

Params = Mapping[str, jax.Array]
_Origin = tuple[str, Span | None, str]
_NOWHERE: _Origin = "the sum of all gradients is not finite", None, "each gradient alone is finite"


def explain_failure(
    plan: Plan,
    params: Params,
    batches: Iterable[tuple[Batch, jax.Array]],
    step: int,
    terms: Mapping[str, float],
) -> LnetError:
    """Return the error for a step whose loss or gradient is not finite, located at the first such value of its batches.

    `batches` with the numbers of their samples; `terms`: of the loss, means over the batches.
    """
    bad = [f"'{path}' is {value}" for path, value in terms.items() if not np.isfinite(value)]
    found: _Origin | None = None
    for batch, samples in batches:
        images = batch_last(jnp.asarray(batch.images))
        labels = None if batch.labels is None else jnp.asarray(batch.labels)
        found = _origin(plan, dict(params), images, labels, as_targets(batch.targets), samples, step - 1)
        if found is not None:
            break
    what, span, note = found or _NOWHERE
    kept = "the parameters before this step are kept as a checkpoint"
    return _error(plan, f"step {step:,}: {what}", span, note, *bad, kept)


def explain_divergence(
    plan: Plan, where: str, objectives: Collection[str], gradients: Collection[str]
) -> LnetError:
    """Return the error for a step, `where`, in which these objectives and gradients, by their paths, were not finite."""
    found = [
        (f"the objective '{o.part_of}' is not finite", o.span)
        for o in plan.graph.objectives
        if o.path in objectives
    ]
    for layer in plan.graph.layers:
        for parameter in layer.parameters:
            if parameter.name in gradients:
                found.append((f"the gradient of '{parameter.name}' is not finite", layer.span))
    what, span = found[0] if found else ("the sum of all gradients is not finite", None)
    also = tuple(text for text, _ in found[1:])
    kept = "the newest checkpoint is from before this step"
    return _error(plan, f"{where}: {what}", span, *also, kept)


def _error(plan: Plan, message: str, span: Span | None, *notes: str) -> LnetError:
    hint = "a lower 'rate' in 'train.update', or a larger 'floor' of 'lcn', often helps"
    return error_of([Diagnostic("E730", message, span, notes=notes, hints=(hint,))], plan.source)


def _origin(
    plan: Plan,
    params: dict[str, Any],
    images: jax.Array,
    labels: Any,
    targets: Targets,
    samples: jax.Array,
    done: int,
) -> _Origin | None:
    """Return where the first value of a batch that is not finite comes from, None if all are."""
    graph = plan.graph
    values = layer_values(graph, params, images, samples=samples)
    for layer in graph.visible:
        if not jnp.isfinite(values[layer.path]).all():
            return (
                f"the layer '{layer.path}' is not finite",
                layer.span,
                "it is the first one in the network's order",
            )
    _, terms = total_loss(graph, params, images, labels, targets, samples, done)
    for objective in graph.objectives:
        if not jnp.isfinite(terms[objective.path]):
            note = "all layers are finite"
            return f"the objective '{objective.part_of}' is not finite", objective.span, note
    gradients = jax.grad(lambda p: total_loss(graph, p, images, labels, targets, samples, done)[0])(params)
    for layer in graph.layers:
        for parameter in layer.parameters:
            if not jnp.isfinite(gradients[parameter.name]).all():
                note = "all layers and objectives are finite"
                return f"the gradient of '{parameter.name}' is not finite", layer.span, note
    return None
