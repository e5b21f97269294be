"""The checkpoints of a run: files of one process, folders of a cluster, in one order.

step-00000500.safetensors            saved by one process
step-00001000-3.shards/              saved by a cluster, checkpoint number 3 of the run
step-00001500.safetensors.damaged    was the newest when a run went on from the one before
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TypeVar

from lnet.compiler.files import unreadable
from lnet.dsl.diagnostics import refused

from .checkpoint import (
    Checkpoint,
    certainly,
    check_checkpoint,
    date_last,
    flush,
    read_checkpoint,
    write_checkpoint,
)
from .owner import Owner, TakenOver
from .safetensors import Damaged
from .sharded import ASIDE, SUFFIX, ShardedCheckpoint, drop, read_sharded

DAMAGED = ".damaged"
Found = TypeVar("Found")


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
            _remove(renamed)
            os.replace(self.path, renamed)
        except OSError as error:
            raise refused("E744", f"'{self.path}' cannot be renamed", str(error)) from error
        return f"passed over the damaged checkpoint '{self.path.name}', which is now '{renamed.name}': {self.why}"


Told = Callable[[PassedOver], None]


def _nobody(passed: PassedOver) -> None:
    pass


@dataclass(frozen=True)
class CheckpointFolder:
    """The checkpoints of a run, of which the last `keep` stay; `shapes` are those of its parameters."""

    path: Path
    keep: int = 3
    shapes: Mapping[str, tuple[int, ...]] | None = None

    def files(self) -> dict[int, Path]:
        """Return the checkpoints by step, oldest first; of two at one step the one that was written last.

        Raises `LnetError` if the system does not let this process see them.
        """
        return {step_of(path): path for path in self._in_order()}

    def _in_order(self) -> list[Path]:
        """Return all checkpoints by step, those of one step as they were written; raises `LnetError`."""
        try:
            return self._listed()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise unreadable(self.path, error) from error

    def _listed(self) -> list[Path]:
        found = [self.path / name for name in os.listdir(self.path) if _is_checkpoint(name)]
        return sorted(found, key=lambda path: (step_of(path), _written(path)))

    def read(self, path: Path) -> Checkpoint:
        """Read a checkpoint; raises `Damaged` if anything in it is not as it was written, and OSError."""
        if path.name.endswith(SUFFIX):
            return read_sharded(ShardedCheckpoint.open(path), self.shapes or {})
        return read_checkpoint(path, step_of(path))

    def certain(self, path: Path) -> Checkpoint:
        """Read a checkpoint, twice if need be; raises `Damaged`, FileNotFoundError, and `LnetError` for other failures."""
        try:
            return certainly(self.read, path)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise unreadable(path, error) from error

    def save(
        self,
        checkpoint: Checkpoint,
        owner: Owner | None = None,
        renamed: Callable[[], None] = lambda: None,
    ) -> Path:
        """Write a checkpoint and drop those that are too many; raises OSError and leaves the others alone.

        `owner`: who trains the run, if it is under way; raises `TakenOver` if that is another one by now. `renamed` is
        called between the two, for tests that stop there.
        """
        _check(owner)
        self.path.mkdir(parents=True, exist_ok=True)
        target = self.path / f"step-{checkpoint.step:08d}.safetensors"
        aside = target.with_name(f"{target.name}{'' if owner is None else '.' + owner.short}{ASIDE}")
        try:
            write_checkpoint(aside, checkpoint)
            date_last(aside, self.path, checkpoint.step)
            _check(owner)
            os.replace(aside, target)
            flush(self.path)
        except (OSError, TakenOver):
            aside.unlink(missing_ok=True)
            raise
        renamed()
        with suppress(OSError):
            for path in [path for path in self._listed() if step_of(path) <= checkpoint.step][: -self.keep]:
                _remove(path)
        return target

    def newest(self, passed_over: Told = _nobody) -> Checkpoint | None:
        """Return the newest checkpoint that is whole; those that are not are passed over, which is told.

        Raises `LnetError` for one that the system does not let this process read: that says nothing about it.
        """
        return self._newest(self.read, passed_over)

    def newest_path(self, passed_over: Told = _nobody) -> Path | None:
        """Return where the newest checkpoint is that is whole, without keeping it in memory; raises as `newest` does."""
        return self._newest(_whole, passed_over)

    def _newest(self, read: Callable[[Path], Found], passed_over: Told) -> Found | None:
        """One that is gone meanwhile has made way for another, of a process that trains."""
        passed: set[Path] = set()
        while left := [path for path in self._in_order() if path not in passed]:
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
        for path in [*self.path.glob(f"*{ASIDE}"), *self.path.glob(f".*{ASIDE}")]:
            _remove(path)


def _passed_over(path: Path, error: Damaged | FileNotFoundError) -> PassedOver:
    if isinstance(error, Damaged):
        return PassedOver(path, str(error), damaged=True)
    return PassedOver(path, f"'{Path(error.filename or path).name}' is missing", damaged=False)


def _is_checkpoint(name: str) -> bool:
    if not (fnmatch(name, "step-*.safetensors") or fnmatch(name, f"step-*-*{SUFFIX}")):
        return False
    with suppress(ValueError):
        return step_of(Path(name)) >= 0
    return False


def _check(owner: Owner | None) -> None:
    if owner is not None:
        owner.check()


def _written(path: Path) -> int:
    """Return when a checkpoint was written; 0 if it has been dropped meanwhile."""
    try:
        return path.lstat().st_mtime_ns
    except FileNotFoundError:
        return 0


def step_of(path: Path) -> int:
    """Return the step that a checkpoint's name says; raises ValueError."""
    return int(path.name.removeprefix("step-").split(".")[0].split("-")[0])


def _whole(path: Path) -> Path:
    """Return the path of a checkpoint; raises `Damaged` if anything in it is not as it was written, and OSError."""
    if path.name.endswith(SUFFIX):
        ShardedCheckpoint.open(path).check()
    else:
        check_checkpoint(path)
    return path


def _remove(path: Path) -> None:
    """Remove a checkpoint; what cannot be removed stays."""
    if path.is_dir():
        drop(path)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)
