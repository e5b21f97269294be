"""The coordinator that had a run before, on the same scheduler: whoever begins next lets it save what it has."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

from distributed import Client, Scheduler

from lnet.dsl.diagnostics import refused
from lnet.runtime.cluster.names import plugin_name
from lnet.runtime.store.owner import owner_of
from lnet.runtime.store.run import Run

from .coordinator_plugin import CoordinatorPlugin

PATIENCE = 45.0
"""Seconds in which its command must be gone: a machine that ends without a word is noticed after 30."""
SAVING = 600.0
"""Seconds that it has for its last checkpoint from then on."""
ASKED = 0.5
"""Seconds between two questions."""

Standing = Literal["gone", "leaving", "followed"]
"""Of a coordinator: not there any more, without a command that would follow it, or with one."""


_SAID = {
    "followed": "the run is on this cluster already: waiting for the end of its command",
    "leaving": "the run is on this cluster still, without its command: waiting for its last checkpoint",
}


def await_predecessor(
    client: Client, run: Run, said: Callable[[str], None], stopped: Callable[[], bool]
) -> None:
    """Return once the scheduler has no coordinator of the run any more, or when this command is to stop.

    Raises `LnetError` if another command follows it.

    A coordinator whose command is gone saves a last checkpoint, which would be lost if the run were taken from it before.
    """
    owner = owner_of(run.directory)
    if owner is None:
        return
    before, since = "gone", time.monotonic()
    while not stopped() and (found := client.run_on_scheduler(standing, token=owner.token)) != "gone":
        if found != before:
            said(_SAID[found])
            before, since = found, time.monotonic()
        waited = time.monotonic() - since
        if found == "followed" and waited > PATIENCE:
            raise refused("E745", f"another command is training '{run.directory}' on this cluster")
        if waited > SAVING:
            return  # it will find that it is not the owner any more
        time.sleep(ASKED)


def standing(token: str, dask_scheduler: Scheduler) -> Standing:
    """Return the state of a coordinator, in the scheduler's process."""
    coordinator = dask_scheduler.plugins.get(plugin_name(token))
    if not isinstance(coordinator, CoordinatorPlugin) or coordinator.done:
        return "gone"
    return "leaving" if coordinator.orphaned else "followed"
