"""The material of the page: a run, its log and its network."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lnet.compiler.files import Unreadable
from lnet.dsl.diagnostics import LnetError
from lnet.runtime.analysis.history import History, history_of
from lnet.runtime.engine.network import Network
from lnet.runtime.process.given_back import give_back
from lnet.runtime.store.run import Run

from .filters import first_filters
from .reconstructions import Data, reconstructed


@dataclass(frozen=True)
class Material:
    """A run, and images in place of its own; each part is read on first use."""

    run: Run
    data: Data

    def compute(self) -> None:
        """Compute what takes most memory, and give it back, before anything else is loaded; raises `LnetError`."""
        _ = self.reconstructed, self.filters
        give_back()

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

    @cached_property
    def filters(self) -> dict[str, Any]:
        """The content of the section on filters; raises `LnetError`."""
        network, missing = self.network
        shown = None if network is None else first_filters(self.run.plan.graph, network.params)
        return {"no_network": missing, "filters": shown}

    @cached_property
    def reconstructed(self) -> dict[str, Any]:
        """The content of the section on reconstructions; raises `LnetError`."""
        return reconstructed(self.run, lambda: self.network[0], self.data)
