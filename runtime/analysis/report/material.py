"""The material of the page: a run, its log and its network."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property

from lnet.compiler.files import Unreadable
from lnet.dsl.diagnostics import LnetError
from lnet.runtime.engine.network import Network
from lnet.runtime.store.run import Run

from .history import History, history_of

Data = str | os.PathLike[str] | None


@dataclass(frozen=True)
class Material:
    """A run, and images in place of its own; each part is read on first use."""

    run: Run
    data: Data

    @cached_property
    def history(self) -> History:
        return history_of(self.run.stream_events())

    @cached_property
    def network(self) -> tuple[Network | None, str]:
        """The trained network, or why there is none; raises `LnetError` for one that cannot be read."""
        try:
            return self.run.network(), ""
        except Unreadable:
            raise
        except LnetError as error:
            (diagnostic,) = error.diagnostics
            return None, "; ".join((diagnostic.message, *diagnostic.notes))
