"""The checkpoints of a run, oldest first.

step-00000500-1.shards             checkpoint number 1 of the run (shards.py)
step-00000500.safetensors          one of version 0.1 (version_0_1.py), older than any other of its step
step-00001500-4.shards.damaged     was the newest when a run went on from the one before
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from lnet.compiler.files import sync_folder, unreadable, write_aside
from lnet.compiler.graph.graph import Graph
from lnet.dsl.diagnostics import refused
from lnet.runtime.data.order import STORED

from .checkpoint import Checkpoint, Found, certainly
from .owner import Owner, TakenOver
from .safetensors import Damaged
from .shards import (
    ASIDE,
    FORMAT,
    MANIFEST,
    SUFFIX,
    StoredCheckpoint,
    aside,
    drop,
    number_of,
    opened,
    save_shard,
    step_of,
)

DAMAGED = ".damaged"


@dataclass(frozen=True)
class PassedOver:
    """A checkpoint that is not whole: it is damaged, or a file of it is missing."""

    path: Path
    why: str
    damaged: bool

    def __str__(self) -> str:
        return f"the {'damaged' if self.damaged else 'incomplete'} checkpoint '{self.path.name}': {self.why}"

    def set_aside(self) -> str:
        """Rename it if it is damaged, and return what there is to say; raises `LnetError`.

        One that is incomplete stays: what is missing may come back.
        """
        if not self.damaged:
            return f"passed over {self}"
        renamed = self.path.with_name(self.path.name + DAMAGED)
        try:
            remove(renamed)
            os.replace(self.path, renamed)
        except OSError as error:
            raise refused("E744", f"'{self.path}' cannot be renamed", str(error)) from error
        return f"passed over the damaged checkpoint '{self.path.name}', which is now '{renamed.name}': {self.why}"


Told = Callable[[PassedOver], None]


def _nobody(passed: PassedOver) -> None:
    pass


@dataclass(frozen=True)
class CheckpointFolder:
    """The checkpoints of a run, of which the last `keep` stay.

    `shapes` are those of its parameters, `order` is the number of the order of its images; `state`: whether the optimiser's
    is kept of what is read.
    """

    path: Path
    keep: int
    shapes: Mapping[str, tuple[int, ...]]
    order: int = STORED
    state: bool = True

    @staticmethod
    def of(directory: Path, graph: Graph, order: int) -> CheckpointFolder:
        """Return the checkpoints of a run that trains a network in a directory, on images in an order."""
        shapes = {parameter.name: parameter.shape for parameter in graph.parameters}
        return CheckpointFolder(directory / "checkpoints", graph.training.keep, shapes, order)

    def files(self) -> dict[int, Path]:
        """Return the checkpoints by step, oldest first; of several at one step the one that was written last.

        Raises `LnetError` if the system does not let this process see them.
        """
        return {step_of(path): path for path in self.in_order()}

    def in_order(self) -> list[Path]:
        """Return all checkpoints by step, those of one step as they were written; raises `LnetError`."""
        try:
            return self._listed()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise unreadable(self.path, error) from error

    def _listed(self) -> list[Path]:
        found = [self.path / name for name in os.listdir(self.path) if _is_checkpoint(name)]
        return sorted(found, key=lambda path: (step_of(path), number_of(path)))

    def read(self, path: Path) -> Checkpoint:
        """Read a checkpoint; raises `Damaged` if anything in it is not as it was written, and OSError."""
        found = self._opened(path)
        params, update = found.read(dict.fromkeys(self.shapes), self.shapes, state=self.state)
        return Checkpoint(found.step, params, update, found.torn)

    def certain(self, path: Path) -> Checkpoint:
        """Read a checkpoint, twice if need be; raises `Damaged`, FileNotFoundError, and `LnetError` for other failures."""
        try:
            return certainly(self.read, path)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise unreadable(path, error) from error

    def save(
        self, checkpoint: Checkpoint, owner: Owner | None = None, also: Mapping[str, Any] | None = None
    ) -> Path:
        """Write a checkpoint as one shard that holds all; raises OSError and leaves the others alone.

        `owner`: who trains the run, if it is under way; raises `TakenOver` if that is another one by now. `also`: what the
        manifest says besides.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        number, params = 1 + max(map(number_of, self._listed()), default=0), checkpoint.params
        try:
            digest = save_shard(self.path, owner, number, 0, dict.fromkeys(params), params, checkpoint.update)
            content = {"digests": [digest], "torn": checkpoint.torn, **(also or {})}
            return self.commit(owner, number, checkpoint.step, content)
        except (OSError, TakenOver):
            shutil.rmtree(aside(self.path, owner, number), ignore_errors=True)
            _check(owner)
            raise

    def commit(self, owner: Owner | None, number: int, step: int, content: Mapping[str, Any]) -> Path:
        """Let a checkpoint count whose shards are gathered, and drop those that are too many.

        `content` is what its manifest says. Raises OSError, and `TakenOver` if the run has another owner by now.
        """
        target, gathered = self.path / f"step-{step:08d}-{number}{SUFFIX}", aside(self.path, owner, number)
        _check(owner)
        write_aside(gathered / MANIFEST, json.dumps({"format": FORMAT, "order": self.order, **content}))
        sync_folder(gathered)
        _check(owner)
        os.replace(gathered, target)
        sync_folder(self.path)
        self._drop_old(step)
        return target

    def _drop_old(self, step: int) -> None:
        """Keep the last ones up to a step: a later one that is incomplete may become whole again."""
        with suppress(OSError):
            for path in [path for path in self._listed() if step_of(path) <= step][: -self.keep]:
                remove(path)

    def newest(self, passed_over: Told = _nobody) -> Checkpoint | None:
        """Return the newest checkpoint that is whole; those that are not are passed over, which is told.

        Raises `LnetError` for one that the system does not let this process read: that says nothing about it.
        """
        return self._newest(self.read, passed_over)

    def newest_of(self, names: Iterable[str]) -> Checkpoint | None:
        """Return some parameters of the newest checkpoint in which they are whole, without reading the others.

        Raises as `newest` does.
        """
        wanted = list(names)
        return self._newest(lambda path: self.read_of(path, wanted), _nobody)

    def read_of(self, path: Path, names: Iterable[str]) -> Checkpoint:
        """Read some parameters of a checkpoint, without the others; raises as `read` does."""
        found = self._opened(path)
        params, _ = found.read(dict.fromkeys(names), self.shapes, state=False)
        return Checkpoint(found.step, params, {}, found.torn)

    def newest_path(self, passed_over: Told = _nobody) -> Path | None:
        """Return where the newest checkpoint is that is whole, without keeping it in memory; raises as `newest` does."""
        return self._newest(self._whole, passed_over)

    def _whole(self, path: Path) -> Path:
        """Return the path of a checkpoint; raises `Damaged` if anything in it is not as it was written, and OSError."""
        self._opened(path).check()
        return path

    def _opened(self, path: Path) -> StoredCheckpoint:
        """Open a checkpoint; raises as `opened` does, and `LnetError` for one that was trained in another order."""
        found = opened(path)
        if found.order != self.order:
            raise refused(
                "E742",
                f"the checkpoint '{path}' was trained on images in order {found.order}, and its run says order {self.order}",
                hint="give back the run.json that the run began with",
            )
        return found

    def _newest(self, read: Callable[[Path], Found], passed_over: Told) -> Found | None:
        """One that is gone meanwhile has made way for another, of a process that trains."""
        passed: set[Path] = set()
        while left := [path for path in self.in_order() if path not in passed]:
            path = left[-1]
            try:
                return certainly(read, path)
            except (Damaged, FileNotFoundError) as error:
                if os.path.lexists(path):
                    passed.add(path)
                    passed_over(_passed_over(path, error))
            except OSError as error:
                raise unreadable(path, error) from error
        return None

    def clean(self) -> None:
        """Remove what was left half written: of a process that was killed, or that owned the run before.

        Folders lose their names first, so that a coordinator that wakes up has none that it could give another name.
        """
        for path in self.path.glob(f"*{ASIDE}"):
            remove(path)


def _passed_over(path: Path, error: Damaged | FileNotFoundError) -> PassedOver:
    if isinstance(error, Damaged):
        return PassedOver(path, str(error), damaged=True)
    return PassedOver(path, f"'{Path(error.filename or path).name}' is missing", damaged=False)


def _is_checkpoint(name: str) -> bool:
    if not (fnmatch(name, "step-*.safetensors") or fnmatch(name, f"step-*-*{SUFFIX}")):
        return False
    with suppress(ValueError):
        return min(step_of(Path(name)), number_of(Path(name))) >= 0
    return False


def _check(owner: Owner | None) -> None:
    if owner is not None:
        owner.check()


def remove(path: Path) -> None:
    """Remove a checkpoint; what cannot be removed stays."""
    if path.is_dir():
        drop(path)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)
