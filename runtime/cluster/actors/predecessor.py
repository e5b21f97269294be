"""The coordinator that an earlier command of a run left on the scheduler: the next command lets it save first."""

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

COMMAND_TIMEOUT = 45.0
"""Seconds in which its command must be gone: a machine that ends without a word is noticed after 30."""
SAVE_TIMEOUT = 600.0
"""Seconds that it has for its last checkpoint from then on."""
POLL_INTERVAL = 0.5
"""Seconds between two questions."""

Standing = Literal["gone", "leaving", "followed"]
"""Of a coordinator: it is gone, its command is gone, or its command follows it."""


_SAID = {
    "followed": "the run is on this cluster already: waiting for the end of its command",
    "leaving": "the run is on this cluster still, without its command: waiting for its last checkpoint",
}


def await_predecessor(
    client: Client, run: Run, said: Callable[[str], None], stopped: Callable[[], bool]
) -> None:
    """Return once the scheduler has no coordinator of the run, or when this command is to stop.

    Raises `LnetError` if another command follows it.

    A coordinator whose command is gone saves a last checkpoint, which taking the run over earlier would lose.
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
        if found == "followed" and waited > COMMAND_TIMEOUT:
            raise refused("E745", f"another command is training '{run.directory}' on this cluster")
        if waited > SAVE_TIMEOUT:
            return  # it will find that it is not the owner any more
        time.sleep(POLL_INTERVAL)


def standing(token: str, dask_scheduler: Scheduler) -> Standing:
    """Return the state of a coordinator, in the scheduler's process."""
    coordinator = dask_scheduler.plugins.get(plugin_name(token))
    if not isinstance(coordinator, CoordinatorPlugin) or coordinator.done:
        return "gone"
    return "leaving" if coordinator.orphaned else "followed"
