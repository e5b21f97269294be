"""What a service must be able to take: `Tracker`, which a file of `services` implements for each."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lnet.dsl.diagnostics import LnetError, refused
from lnet.runtime.store.run import is_sweep

from .names import without_password

Setting = str | int | float | bool
State = dict[str, Any]
"""What a tracker keeps of its own between two processes, as JSON data."""


class Gone(Exception):
    """The service does not have the run that it was told of before."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a run goes: the `project`, the `directory` of services that write files, the `name` that the run has there.

    None: what the service takes itself, and `name_of` the run.
    """

    project: str | None = None
    directory: Path | None = None
    name: str | None = None

    def project_of(self, network: str, variable: str) -> str:
        """Return the project of a run: the one named, or else the service's own by a variable, or the network's name."""
        return self.project or os.environ.get(variable, network)

    def named(self, run: Path) -> str:
        """Return the name of a run in a directory."""
        return self.name or name_of(run)


def name_of(run: Path) -> str:
    """Return the name of a run's directory, in a sweep `SWEEP/trial-0011/seed-0`: all its trials have the same seeds."""
    path = run.resolve()
    return "/".join(path.parts[-3:]) if is_sweep(path.parent.parent) else path.name


@dataclass(frozen=True)
class Subject:
    """A run in a `directory`, of a `network`, as a service is told of it.

    `id` is drawn once for a run and a place in a service; `began` in seconds since 1970; `step`: the last one that the
    service has, -1 for none; `state`: what the tracker kept when it was last flushed, None for a run that the service does
    not have yet.
    """

    directory: Path
    network: str
    name: str
    id: str
    target: Target
    began: float
    step: int
    state: State | None


class Tracker(Protocol):
    """A run in a service. Steps are those of each replica; `time` in seconds since 1970 is that of the event.

    Any method may raise anything: whoever calls it makes an `LnetError` of that.
    """

    place: str
    """Where a person finds it: a folder or an address."""
    state: State

    def settings(self, values: Mapping[str, Setting]) -> None:
        """Take the settings by name: first of all, and whenever some have changed."""

    def scalars(self, step: int, time: float, values: Mapping[str, float]) -> None:
        """Take figures by name, `train/loss`; each name comes at ascending steps, but after `turn_back`."""

    def message(self, step: int, time: float, kind: str, text: str) -> None:
        """Take what a person is told."""

    def picture(self, step: int, time: float, name: str, pixels: NDArray[np.uint8]) -> None:
        """Take a picture `[rows, columns, 3]`."""

    def histogram(self, step: int, time: float, name: str, values: NDArray[Any]) -> None:
        """Take the distribution of finite values `[n]`."""

    def turn_back(self, step: int) -> None:
        """The run goes on from a step again: what was sent of later steps is void."""

    def flush(self) -> bool:
        """Pass on what was sent; return whether the service has all of it for certain."""

    def close(self, state: str) -> None:
        """Return when the service has all, of a run that is done, stopped or failed, or is still `running`."""


@dataclass(frozen=True)
class Service:
    """A service by `name`, and its `title`; `package` is what `begin` imports, and `lnetc[name]` installs.

    `place` returns where a run with a network's name goes, without anybody's password: it is written into the run. `begin`
    raises `Gone` for a subject with a state whose run is no longer there.
    """

    name: str
    title: str
    package: str
    place: Callable[[Path, str, Target], str]
    begin: Callable[[Subject], Tracker]

    def check(self) -> None:
        """Raise `LnetError` if its package is not installed."""
        if find_spec(self.package) is None:
            hint = f"install it with: pip install 'lnetc[{self.name}]'"
            raise refused("E787", f"sending runs to {self.title} needs '{self.package}'", hint=hint)

    def failed(self, run: Path) -> Callable[[Exception], LnetError]:
        """Return the function that makes an `LnetError` of whatever went wrong with a run."""

        def error_of(error: Exception) -> LnetError:
            said = without_password(str(error).strip()) or type(error).__name__
            hint = "once it takes runs again, the same command sends the rest"
            return refused("E794", f"{self.title} did not take '{run}'", said, hint=hint)

        return error_of
