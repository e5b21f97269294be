"""The memory check of a run in one process, before it begins."""

from __future__ import annotations

from dataclasses import dataclass

import jax

from lnet.compiler.cut.cost import Totals, totals
from lnet.compiler.graph.graph import Graph
from lnet.compiler.plan.explain import size_text
from lnet.compiler.plan.plan import Plan
from lnet.dsl.diagnostics import LnetError, refused
from lnet.runtime.process import cgroups


@dataclass(frozen=True)
class Memory:
    """Bytes still available where a device computes, whether that memory is its own, and a sentence about the total."""

    free: int
    own: bool
    about: str


def memory_left(plan: Plan, force: bool, resumed: bool, devices: int = 1) -> int:
    """Return the bytes that a run leaves free; raises `LnetError` if it needs more than are available, unless forced.

    Available is what the system would give this process now: other processes hold some, and a cgroup may set a limit.
    """
    there = _there()
    needed = _needed(plan, devices, there)
    if needed > there.free and not force:
        raise _too_much(plan, there, resumed)
    return max(0, there.free - needed)


def memory_text(plan: Plan, devices: int = 1) -> str:
    """Return a sentence on the memory that a run in one process takes, and on what is free."""
    there = _there()
    return f"{size_text(_needed(plan, devices, there))} of memory, {size_text(there.free)} are free"


def _needed(plan: Plan, devices: int, there: Memory) -> int:
    """Return the bytes that a run needs in a memory: one device's share in its own, or those of all that share one."""
    sums = totals(plan.graph, plan.partition)
    lasting = sums.training_bytes - sums.batch_bytes
    if there.own:
        return lasting + sums.batch_bytes // devices
    return devices * lasting + sums.batch_bytes


def _there() -> Memory:
    """Return the available memory of the device that computes: an accelerator's own, or this machine's."""
    device = jax.local_devices()[0]
    own = device.memory_stats() or {}
    if "bytes_limit" in own:
        about = f"jax may use {size_text(own['bytes_limit'])} of {device.device_kind}; the rest is in use"
        return Memory(own["bytes_limit"] - own.get("bytes_in_use", 0), True, about)
    machine, limit = cgroups.memory(), cgroups.limit()
    about = f"this machine has {size_text(machine)}"
    if limit is not None and limit < machine:
        about = f"this process's cgroup is allowed {size_text(limit)} of the machine's {size_text(machine)}"
    return Memory(cgroups.free(), False, f"{about}; the rest is in use")


def _too_much(plan: Plan, there: Memory, resumed: bool) -> LnetError:
    sums, batch = totals(plan.graph, plan.partition), plan.graph.training.batch_text
    hints = [] if resumed else [_smaller(plan.graph, sums, there.free)]
    return refused(
        "E753",
        f"to train '{plan.graph.name}' in one process takes {size_text(sums.training_bytes)} of memory, "
        f"and {size_text(there.free)} are free",
        f"{size_text(sums.parameter_bytes)} of parameters and as much of gradients, {size_text(sums.state_bytes)} of "
        f"optimiser state, {size_text(sums.batch_bytes)} of activations and images at a batch of {batch}",
        there.about,
        hint=(
            *hints,
            "several machines hold a part of it each: lnetc run --cluster ADDRESS ('lnetc explain --workers N': how much)",
            "to begin anyway, '--force' (Python: force=True)",
        ),
    )


def _smaller(graph: Graph, sums: Totals, free: int) -> str:
    """Return a hint on the batch size."""
    batch, lasting = graph.training.batch, sums.training_bytes - sums.batch_bytes
    fits = (free - lasting) * batch // sums.batch_bytes
    if fits >= 1:
        return f"a batch of {fits:,} would fit: --set train.batch={fits}"
    if lasting >= free:
        return f"no batch is small enough: without any images it takes {size_text(lasting)}"
    return f"not even one image fits: it takes {size_text(sums.batch_bytes // batch)}"
