"""Whether this machine has the memory that a run in one process takes, before it begins."""

from __future__ import annotations

from lnet.compiler.cost import Totals, totals
from lnet.compiler.explain import size_text
from lnet.compiler.graph import Graph
from lnet.compiler.plan import Plan
from lnet.dsl.diagnostics import LnetError, refused

from . import cgroups


def memory_left(plan: Plan, force: bool, resumed: bool) -> int:
    """Return the bytes that a run leaves free; raises `LnetError` if it takes more than there are, unless forced.

    What counts is what the system would give this process now: others hold some, and a cgroup may allow less than all.
    """
    left = cgroups.free() - totals(plan.graph, plan.partition).training_bytes
    if left < 0 and not force:
        raise _too_much(plan, cgroups.free(), resumed)
    return max(0, left)


def _too_much(plan: Plan, free: int, resumed: bool) -> LnetError:
    sums, batch = totals(plan.graph, plan.partition), plan.graph.training.batch
    hints = [] if resumed else [_smaller(plan.graph, sums, free)]
    return refused(
        "E753",
        f"to train '{plan.graph.name}' in one process takes {size_text(sums.training_bytes)} of memory, "
        f"and {size_text(free)} are free",
        f"{size_text(sums.parameter_bytes)} of parameters and as much of gradients, {size_text(sums.state_bytes)} of "
        f"optimiser state, {size_text(sums.batch_bytes)} of activations and images at a batch of {batch:,}",
        _there(free),
        hint=(
            *hints,
            "several machines hold a part of it each: lnetc run --cluster ADDRESS ('lnetc explain --workers N': how much)",
            "to begin all the same, '--force' (Python: force=True)",
        ),
    )


def _smaller(graph: Graph, sums: Totals, free: int) -> str:
    """Return what to do about the batch."""
    batch, lasting = graph.training.batch, sums.training_bytes - sums.batch_bytes
    fits = (free - lasting) * batch // sums.batch_bytes
    if fits >= 1:
        return f"a batch of {fits:,} would fit: --set train.batch={fits}"
    if lasting >= free:
        return f"no batch is small enough: without any images it takes {size_text(lasting)}"
    return f"not even one image fits: it takes {size_text(sums.batch_bytes // batch)}"


def _there(free: int) -> str:
    """Return what there is, and what takes the rest of it."""
    machine, limit = cgroups.memory(), cgroups.limit()
    if limit is None or limit >= machine:
        return f"this machine has {size_text(machine)}; the rest is in use"
    return f"this process's cgroup is allowed {size_text(limit)} of the machine's {size_text(machine)}; the rest is in use"
