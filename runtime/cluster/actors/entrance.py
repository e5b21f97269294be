"""A worker's entrance to a run: imports what the run needs there and sets it up, and reports it if either fails.

Dask has a worker unpickle its plugins before any of them can act: a process that cannot import the numerics would end
without a word, and its successors likewise. So the plugin that travels imports none of them.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any

from distributed import Worker, WorkerPlugin

from lnet.runtime.cluster.names import ENDED, plugin_name
from lnet.runtime.cluster.protocol.deaths import Cause
from lnet.runtime.cluster.protocol.messages import ProcessExited
from lnet.runtime.cluster.protocol.wire import pack

if TYPE_CHECKING:
    from lnet.runtime.cluster.config import RunConfig


class Entrance(WorkerPlugin):
    """Replaces itself with a `RolesPlugin`, if that can be imported and set up."""

    def __init__(self, config: RunConfig) -> None:
        self.run, self.name = config.run, plugin_name(config.run)
        self.config = config.packed

    async def setup(self, worker: Worker) -> None:
        try:
            from lnet.runtime.cluster.config import unpacked

            from .roles_plugin import RolesPlugin

            host = worker.plugins[self.name] = RolesPlugin(unpacked(self.config))
            await host.setup(worker)
        except Exception as error:
            worker.plugins[self.name] = self  # what is half set up cannot be torn down
            line = traceback.format_exception_only(error)[-1].strip()
            await self._tell(
                worker, Cause("import" if isinstance(error, ImportError) else "error", line=line)
            )
            raise  # into the worker's own log

    async def _tell(self, worker: Worker, cause: Cause) -> None:
        ended = ProcessExited(self.run, worker.address, str(worker.name), cause)
        call: Any = getattr(worker.scheduler, ENDED)
        await call(run=self.run, ended=pack(ended)[0])
