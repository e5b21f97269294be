"""A run directory: what was trained, on what, how it went, and the parameters that came out.

images.*.index   the list of its images, if they are many and there was no index beside them (data/indexes.py)
plan.json        the plan, with the source text that it was compiled from
owner.json       who trains it, or did so last (owner.py)
run.json         data, the run that it began from, how products are done and parameters sent, versions, machine
events.jsonl     the log (events.py, log.py, thin.py)
plugins/         files of the plug-ins that the plan needs or that read the images, as they were when it began to use them
checkpoints/     the newest states (checkpoints.py)
best/            the best parameters so far, if the file keeps them (best.py)
pictures/        what `lnetc draw` and its kind have drawn (analysis/gallery.py)
report.html      what `lnetc report` wrote
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import shlex
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jax

from lnet.compiler.files import unreadable, write_aside
from lnet.compiler.graph.brief import layers_table
from lnet.compiler.plan.plan import Plan, load_plan
from lnet.compiler.plugins.identity import Plugin
from lnet.compiler.plugins.load import require
from lnet.compiler.plugins.registry import sources_of
from lnet.compiler.text_table import TextTable, as_html
from lnet.dsl.diagnostics import LnetError, LnetWarning, did_you_mean, refused, those_there_are
from lnet.runtime.data import Batch, Dataset, Kept
from lnet.runtime.data.in_memory import trained_on
from lnet.runtime.data.indexes import name_in_run
from lnet.runtime.data.inputs import Inputs, inputs_from
from lnet.runtime.data.listing import FIRST
from lnet.runtime.data.open_data import open_data
from lnet.runtime.data.order import STORED
from lnet.runtime.engine.network import Network
from lnet.runtime.process import cgroups
from lnet.runtime.process.versions import versions_of

from .best import FOLDER as BEST
from .best import BestFolder
from .checkpoint import Checkpoint, Found
from .checkpoints import CheckpointFolder, PassedOver, Told
from .events import CheckpointWritten, LogEvent
from .info import DataInfo, MadeInfo, ProductInfo, RunInfo, StartInfo, ValidationInfo, origin_of
from .log import read_events, stream_events
from .safetensors import Damaged
from .summary import summary

MOVED = "if the images were moved, say where they are: --data PATH (in Python: data=...)"
KEEPING = "a run keeps them where its file has 'validation = frames(...)' and 'keep_best = loss'"
SWEEP = "sweep.json"
"""What a sweep's folder has; the runs of its trials are in `trial-0011/seed-0` there."""
NEEDED = ("data.base", "data.images", "data.classes", "data.in_memory", "versions", "machine")
"""What `run.json` cannot do without."""


@dataclass(frozen=True)
class Run:
    """A run on disk; `best`: its parameters are the best by its validation, not the newest."""

    directory: Path
    plan: Plan
    info: RunInfo
    best: bool = False

    def _repr_html_(self) -> str:
        found = summary(self.directory)
        state = f"run {self.path}: {found.state}, step {found.step:,} of {found.steps:,}"
        rows = []
        for name, measured in (("last steps", found.trained), ("last validation", found.validated)):
            if measured is not None:
                accuracy = "" if measured.accuracy is None else f"{measured.accuracy:.1%}"
                rows.append((name, f"{measured.step:,}", f"{measured.loss:.4g}", accuracy))
        columns = 3 if any(row[-1] for row in rows) else 2  # no accuracy without labels
        shown = tuple(row[: 1 + columns] for row in rows)
        table = TextTable(("mean of the",), ("step", "loss", "accuracy")[:columns], shown)
        return as_html(
            [state, *([table] if rows else []), self.plan.summary(), layers_table(self.plan.graph)]
        )

    @property
    def path(self) -> Path:
        """The path with which `open_run` opens this run."""
        return self.directory / BEST if self.best else self.directory

    @property
    def checkpoints(self) -> CheckpointFolder:
        """The folder of its checkpoints, or of its best parameters."""
        kind = BestFolder if self.best else CheckpointFolder
        return kind.of(self.directory, self.plan.graph, self.order)

    @property
    def best_parameters(self) -> BestFolder:
        """The folder of its best parameters."""
        return BestFolder.of(self.directory, self.plan.graph, self.order)

    @property
    def order(self) -> int:
        """The order of its images, as a number (data/order.py); runs of lnet 0.1 do not record it, and have order 1."""
        return self.info["data"].get("order", STORED)

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The names of the labels, in the order of their numbers; None where the images had none."""
        classes = self.info["data"]["classes"]
        return None if classes is None else tuple(classes)

    @property
    def kept(self) -> Kept:
        """How it lists, labels and orders its images; runs of lnet 0.1 do not record their way of listing, which differs."""
        return Kept(self.info["data"].get("listing", FIRST), self.classes, self.order, self.index)

    @property
    def imported(self) -> bool:
        """Whether it was made from a file of weights, without training."""
        return self.info["data"]["images"] == 0

    @property
    def plugins(self) -> tuple[Plugin, ...]:
        """The plug-ins that it needs: those of its plan, and those that read its images."""
        return (*self.plan.plugins, *(p for p in _readers(self.info) if p not in self.plan.plugins))

    @property
    def index(self) -> str | None:
        """The path of the index that lists its images, if they are many."""
        index = self.info["data"].get("index")
        return None if index is None else str(self.directory.resolve() / index)

    @property
    def inputs(self) -> Inputs | None:
        """Statistics of its prepared images; None if lnet 0.1 began it."""
        return inputs_from(self.info["data"])

    def events(self, steps: bool = True) -> list[LogEvent]:
        """Return the log, with or without its steps, and without events that a resume invalidated; raises `LnetError`.

        The types of events are in `lnet.runtime.store.events`; old steps of a long run are summed up as `StepsDone`.
        """
        return read_events(self.directory / "events.jsonl", steps)

    def stream_events(self) -> Iterator[LogEvent]:
        """Yield what `events` returns, one by one; raises `LnetError`."""
        return stream_events(self.directory / "events.jsonl")

    def network(self, step: int | None = None) -> Network:
        """Return the network with the parameters of the newest whole checkpoint, or of the one at `step`.

        Raises `LnetError` if there is none.
        """
        return Network(self.plan, self.checkpoint(step, state=False).params, self.inputs)

    def checkpoint(self, step: int | None = None, state: bool = True) -> Checkpoint:
        """Return the newest whole checkpoint, or the one at `step`; raises `LnetError` if there is none.

        Without `state`, it is without that of the optimiser, which may be twice as large as the parameters.
        Warns of newer ones that are damaged or incomplete.
        """
        folder = replace(self.checkpoints, state=state)
        if step is not None:
            return self._at(step, folder)
        passed: list[PassedOver] = []
        found = folder.newest(passed.append)
        if found is None and passed:
            raise refused("E742", f"no checkpoint of '{self.directory}' is whole", *map(str, passed))
        if found is None:
            lacks = "no best parameters" if self.best else "no checkpoint yet"
            hint = KEEPING if self.best else ()
            raise refused("E741", f"the run '{self.directory}' has {lacks}", hint=hint)
        for each in passed:
            warnings.warn(f"passed over {each}", LnetWarning, stacklevel=2)
        return found

    def to_go_on_from(
        self, newest: Callable[[Told], Found | None], said: Callable[[str], None], rename: bool = True
    ) -> Found | None:
        """Return the result of `newest`, None for a run that never had a checkpoint.

        Reports the checkpoints that it skips; renames damaged ones if it is to. Raises `LnetError` if none is whole: no
        run begins anew where another one ended.
        """
        passed: list[PassedOver] = []
        found = newest(passed.append)
        logged = reversed(self.events(steps=False))
        last = next((event.file for event in logged if isinstance(event, CheckpointWritten)), None)
        gone = None if last is None or (self.checkpoints.path / last).exists() else last
        if found is None and (passed or gone or self.info.get("start")):
            raise self._lost(passed, gone)
        for each in passed:
            said(each.set_aside() if rename else f"passed over {each}")
        if gone is not None:
            said(f"the checkpoint '{gone}', which the log names, is missing")
        return found

    def _lost(self, passed: list[PassedOver], gone: str | None) -> LnetError:
        """Return the error for a run whose checkpoints are damaged or gone."""
        notes = [*map(str, passed), *([] if gone is None else [f"'{gone}', which the log names, is missing"])]
        start = self.info.get("start")
        return refused(
            "E732",
            f"no checkpoint of '{self.directory}' is whole, and a run does not start over by itself",
            *notes,
            hint=(
                f"put back a copy of a checkpoint, then: lnetc resume {shlex.quote(str(self.directory))}",
                "or begin anew in another directory: lnetc run"
                + (f" --from {shlex.quote(origin_of(start))}" if start and "network" not in start else ""),
            ),
        )

    def samples(self, count: int, data: str | os.PathLike[str] | None = None) -> Batch:
        """Return the first samples of the run's order, as it prepares them: images, labels, names.

        If it has two views of each image, they follow one another.
        `data`: other images than those that the run was trained on. Raises `LnetError` if there are no images.
        """
        if count < 1:
            raise refused("E716", f"expected a positive number of samples, found {count}")
        return self.images(data).batch(0, count)

    def images(self, data: str | os.PathLike[str] | None = None, normalize: str | None = None) -> Dataset:
        """Return the images that the run was trained on, or those of `data`, as it prepares them.

        `normalize`: another normalisation than the run's. Raises `LnetError` if there are no images.
        """
        found = self.plan.graph.training.data
        if data is not None:
            found = self.plan.graph.data.at(str(Path(data).resolve()))
        elif self.info["data"]["in_memory"]:
            found = None
        else:
            require_readers(self)
        if found is None:
            raise refused(
                "E747",
                f"the run was trained on {trained_on(self.info['data'])}, so there are no images to read",
            )
        if normalize is not None:
            found = found.normalized(normalize)
        learned = any(objective.term.needs_labels for objective in self.plan.graph.objectives)
        kept = self.kept if data is None or learned else replace(self.kept, classes=None)
        base, hint = Path(self.info["data"]["base"]), MOVED if data is None else None
        return open_data(found, self.plan.graph, base, kept=kept, hint=hint)

    def _at(self, step: int, folder: CheckpointFolder) -> Checkpoint:
        files = folder.files()
        if step not in files:
            known = ", ".join(f"{s:,}" for s in files) or "none"
            raise refused(
                "E741", f"the run '{self.directory}' has no checkpoint at step {step:,}; it has {known}"
            )
        try:
            return folder.certain(files[step])
        except Damaged as error:
            raise refused("E742", f"the checkpoint '{files[step]}' is damaged", str(error)) from error
        except FileNotFoundError as error:
            raise refused("E741", f"the checkpoint '{files[step]}' is incomplete", str(error)) from error


def opened(run: Run | str | os.PathLike[str]) -> Run:
    """Return a run, or that of a directory; raises `LnetError` if it is not one."""
    return run if isinstance(run, Run) else open_run(run)


def open_run(directory: str | os.PathLike[str]) -> Run:
    """Open a run directory, or `RUN/best`, a run with its best parameters; raises `LnetError` if it is not one."""
    path = Path(directory)
    if _is_best(path):
        return replace(open_run(path.parent), best=True)
    try:
        info = json.loads((path / "run.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _no_run(path) from error
    except OSError as error:
        raise unreadable(path / "run.json", error) from error
    except ValueError as error:
        raise refused("E740", f"'{path / 'run.json'}' is damaged", str(error)) from error
    for name in NEEDED:
        if not _has(info, name.split(".")):
            raise refused("E740", f"'{path / 'run.json'}' is damaged", f"it has no '{name}'")
    return Run(path, load_plan(path / "plan.json"), info)


def _no_run(path: Path) -> LnetError:
    """Return the error for a path that is no run, with the runs that lie in it or beside it."""
    folder = path if path.is_dir() else path.parent
    runs = sorted(str(found.parent) for found in folder.glob("*/run.json"))
    is_none = f"'{path}' is no run: there is no 'run.json' in it"
    return refused(
        "E740",
        is_none if path.exists() else f"there is no run '{path}'",
        *([those_there_are(f"runs in '{folder}'", runs)] if runs else []),
        hint=did_you_mean(str(path), runs),
    )


def not_saved(run: Run, step: int, *why: str) -> LnetError:
    """Return the error for a run whose last checkpoint, at a step, could not be written."""
    newest = max(run.checkpoints.files(), default=0)
    resume = f"lnetc resume {shlex.quote(str(run.directory))}"
    return refused(
        "E731",
        f"the last checkpoint, at step {step:,}, could not be written",
        *why,
        hint=f"when it can be, go on from step {newest:,}: {resume}",
    )


def is_run(path: Path) -> bool:
    """Whether a path is that of a run, or of one with its best parameters."""
    return (path / "run.json").exists() or _is_best(path)


def is_sweep(path: Path) -> bool:
    """Whether a path is that of a sweep's folder."""
    return (path / SWEEP).exists()


def _is_best(path: Path) -> bool:
    return path.name == BEST and not (path / "run.json").exists() and (path.parent / "run.json").exists()


def _has(value: Any, names: list[str]) -> bool:
    for name in names:
        if not isinstance(value, dict) or name not in value:
            return False
        value = value[name]
    return True


def create_run(
    directory: Path,
    plan: Plan,
    data: DataInfo,
    kernels: Mapping[str, ProductInfo],
    begin: Checkpoint | None = None,
    wire: str | None = None,
    start: StartInfo | None = None,
    index: Path | None = None,
    epochs: float | None = None,
    validation: ValidationInfo | None = None,
) -> Run:
    """Make a run directory, whole or not at all; raises `LnetError` if there is something in it already.

    `begin`: what it begins with, if that does not follow from the plan, and `start`: which run or file that is from;
    `index`: the index of its images, which is moved into the directory; `epochs`: those that its plan's steps are;
    `validation`: what it is validated on.
    """
    info: RunInfo = {
        "data": data,
        "validation": validation,
        "epochs": epochs,
        "changes": (),
        "start": start,
        "kernels": kernels,
        "wire": wire or plan.graph.training.dtype,
        **machine(),
    }
    try:
        check_free(directory)
        directory.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=directory.parent, prefix=f".{directory.name}.") as outer:
            aside = Path(outer) / directory.name
            aside.mkdir()
            write_aside(aside / "plan.json", plan.to_json())
            keep_plugins(Run(aside, plan, info))
            write_aside(aside / "run.json", json.dumps(info, indent=2))
            if begin is not None:
                Run(aside, plan, info).checkpoints.save(begin)
            if index is not None:
                index.rename(aside / name_in_run(index))
            aside.rename(directory)
    except OSError as error:
        raise refused("E744", f"'{directory}' cannot be written", str(error)) from error
    return Run(directory, plan, info)


def check_free(directory: Path) -> None:
    """Raise `LnetError` if there is something in a directory already, and OSError if it cannot be read."""
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise refused(
            "E743",
            f"'{directory}' exists already and is not empty",
            hint="name another directory, or go on with what is there: lnetc resume",
        )


def _readers(info: RunInfo) -> list[Plugin]:
    validation = info.get("validation") or {"plugins": ()}
    found = (*info["data"].get("plugins", ()), *validation["plugins"])
    return list(dict.fromkeys(Plugin(**plugin) for plugin in found))


def require_readers(run: Run) -> None:
    """Raise `LnetError` if this process lacks plug-ins that read a run's images, or has others."""
    require(_readers(run.info), f"the run '{run.directory}'", run.directory / "plugins")


def keep_plugins(run: Run) -> None:
    """Keep the files of a run's plug-ins as they are: it cannot be resumed without them; raises OSError."""
    folder = run.directory / "plugins"
    for name, source in sources_of(run.plugins).items():
        folder.mkdir(exist_ok=True)
        write_aside(folder / f"{name}.py", source)


def next_directory(name: str) -> Path:
    """Return the first of `runs/NAME-1`, `runs/NAME-2`, ... that is not there yet."""
    number = 1
    while (path := Path("runs") / f"{name}-{number}").exists():
        number += 1
    return path


def _command() -> str:
    """Return the command line of this process, in which `python -m lnet` is `lnetc`."""
    program = Path(sys.argv[0])
    name = "lnetc" if program.parts[-2:] == ("lnet", "__main__.py") else program.name
    return shlex.join([name, *sys.argv[1:]])


def machine() -> MadeInfo:
    """Return the command, the versions and the machine that a run is trained with."""
    return {
        "versions": versions_of(("lnet", "jax", "jaxlib", "numpy", "optax"))
        | {"python": platform.python_version()},
        "command": _command(),
        "machine": {
            "system": platform.platform(),
            "devices": [device.device_kind for device in jax.devices()],
            "cores": os.cpu_count(),
            "memory": cgroups.memory(),
        },
    }


@contextmanager
def locked(run: Run) -> Iterator[None]:
    """Hold a run for this process; a killed process gives it back by itself."""
    try:
        file = open(run.directory / ".lock", "w")  # noqa: SIM115 (closed below, after what is done with it)
    except OSError as error:
        raise refused("E744", f"'{run.directory}' cannot be written", str(error)) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise refused("E745", f"another process is training '{run.directory}'") from error
        yield
