"""What a sweep trains: program, space, seeds, data and measure. `sweep.json` keeps it, and all processes agree on it.

sweeps/first/sweep.json     what is tried
sweeps/first/study.log      the trials: optuna's journal (study.py)
sweeps/first/trial-0007/    the runs of a trial, seed-0, seed-1, ...; whoever trains them holds its .lock
sweeps/first/plugins/       files of the plug-ins that it needs, as they were when it began
sweeps/first/sweep.html     the page
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from lnet.compiler.core.codec import Codec, Malformed
from lnet.compiler.files import unreadable, write_aside
from lnet.compiler.plugins.identity import Plugin
from lnet.compiler.plugins.load import require
from lnet.compiler.plugins.registry import sources_of
from lnet.compiler.space import Space, read_space
from lnet.dsl.diagnostics import refused
from lnet.dsl.source import Source
from lnet.runtime.store.run import SWEEP as FILE

from .measure import Measure

PLUGINS = "plugins"
LOCK = ".lock"
FORMAT = 1
CODEC = Codec({})
FOLLOWING = ("validated", "notes", "plugins")
"""What follows from the rest."""


@dataclass(frozen=True)
class SweepSpec:
    """`file` is that of the program, whose text is here, with those that it includes, as pairs of name and text.

    `settings`: as given, with their ranges and alternatives. `objective`: the name of its measure, which is that of the last
    validation if it is `validated`. `data` and `validation`: paths in place of the file's. `start`:
    the run or file of weights that runs begin with; `freeze`: what they do not train. `notes`: what to know of its values.
    `plugins`: those that its programs and its data need.
    """

    file: str
    text: str
    included: tuple[tuple[str, str], ...]
    settings: Mapping[str, str]
    seed: int
    seeds: int
    objective: str
    validated: bool
    prune: bool
    data: str | None
    validation: str | None
    start: str | None = None
    freeze: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    plugins: tuple[Plugin, ...] = ()

    @property
    def measure(self) -> Measure:
        """What it goes by."""
        return Measure(self.objective, self.validated)

    @property
    def source(self) -> Source:
        """The program."""
        return Source(self.text, self.file, tuple(Source(text, name) for name, text in self.included))

    @property
    def space(self) -> Space:
        """The space of its settings; raises `LnetError`."""
        return read_space(self.settings)

    def unlike(self, other: SweepSpec) -> Iterator[str]:
        """Yield a sentence on each difference between this sweep, which is there, and another one."""
        for name in dict.fromkeys([*self.settings, *other.settings]):
            before, now = self.settings.get(name), other.settings.get(name)
            if before != now:
                yield f"--set {name} = {before or 'nothing'} there, {now or 'nothing'} here"
        for field in fields(self):
            before, now = getattr(self, field.name), getattr(other, field.name)
            if field.name in ("settings", *FOLLOWING) or before == now:
                continue
            if field.name in ("text", "included"):
                yield f"the text of '{other.file}' has changed"
            else:
                yield f"{field.name}: {before} there, {now} here"


def write_spec(folder: Path, spec: SweepSpec) -> None:
    """Keep what a sweep trains in its folder, which is made; raises `LnetError`."""
    kept = _renamed(spec, lambda file: os.path.relpath(file, folder))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, source in sources_of(spec.plugins).items():
            (folder / PLUGINS).mkdir(exist_ok=True)
            write_aside(folder / PLUGINS / f"{name}.py", source)
        write_aside(folder / FILE, json.dumps({"lnet sweep": FORMAT, **CODEC.encode(kept)}, indent=2))
    except OSError as error:
        raise refused("E744", f"'{folder}' cannot be written", str(error)) from error


def read_spec(folder: Path) -> SweepSpec:
    """Return what the sweep in a folder trains; raises `LnetError`, for plug-ins that are missing or were changed, too."""
    try:
        data: Any = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except OSError as error:
        raise unreadable(folder / FILE, error) from error
    except ValueError as error:
        raise refused("E791", f"'{folder / FILE}' is damaged", str(error)) from error
    version = data.pop("lnet sweep", None) if isinstance(data, dict) else None
    if version != FORMAT:
        raise refused("E791", f"'{folder / FILE}' is of another version of lnet, or of another program")
    try:
        found: SweepSpec = CODEC.decode(SweepSpec, data, FILE)
    except Malformed as error:
        raise refused("E791", f"'{folder / FILE}' is damaged", str(error)) from error
    require(found.plugins, f"the sweep in '{folder}'", folder / PLUGINS)
    return _renamed(found, lambda file: os.path.relpath(folder / file))


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a sweep's folder for this process, for moments: no other one begins it or takes a trial meanwhile."""
    with open(folder / LOCK, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _renamed(spec: SweepSpec, rename: Callable[[str], str]) -> SweepSpec:
    """Return a sweep with other names of its files: in its folder they are as seen from there, wherever it goes on."""
    included = tuple((rename(name), text) for name, text in spec.included)
    return replace(spec, file=rename(spec.file), included=included)
