"""A run that is sent while it goes on, in a process of its own: it may begin later, and after another process has sent it.

That is the case when a killed run is resumed at once: what sent it beside the killed process has not ended yet.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from lnet.runtime.store.run import is_run

from .position import Busy
from .track import Sending, Tracking, tracking
from .tracker import Service


class Following:
    """A run in a directory, on its way to a service once it is there."""

    def __init__(self, path: Path, service: Service, how: Sending) -> None:
        self.path, self.service = path, service
        self._how, self._stack = how, ExitStack()
        self._tracked: Tracking | None = None
        self._busy: Busy | None = None

    @property
    def place(self) -> str:
        """Where a person finds it, "" before anything was sent."""
        return "" if self._tracked is None else self._tracked.place

    @property
    def waits(self) -> bool:
        """Whether another process sends it still."""
        return self._busy is not None

    @property
    def is_over(self) -> bool:
        """Whether no process trains the run any more."""
        return self._tracked is not None and self._tracked.is_over

    def look(self) -> None:
        """Send what is new; raises `LnetError`."""
        if self._tracked is None and is_run(self.path):
            try:
                self._tracked = self._stack.enter_context(tracking(self.path, self.service, self._how))
                self._busy = None
            except Busy as error:
                self._busy = error
        if self._tracked is not None:
            self._tracked.send()

    def end(self) -> None:
        """End the run in the service; raises `LnetError`, `Busy` if another process sends it still."""
        if self._busy is not None:
            raise self._busy
        if self._tracked is not None:
            self._tracked.close()

    def release(self) -> None:
        """Let other processes send the run."""
        self._stack.close()
