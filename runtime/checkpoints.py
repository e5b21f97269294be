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
from pathlib import Path
from typing import TypeVar

from .checkpoint import Checkpoint, Unreadable, check_checkpoint, flush, read_checkpoint, write_checkpoint
from .sharded import ASIDE, SUFFIX, ShardedCheckpoint, drop, read_sharded

DAMAGED = ".damaged"
Found = TypeVar("Found")
PassedOver = Callable[[Path, str], None]
"""Is told the path of a damaged checkpoint, and what is wrong with it."""


def setting_aside(said: Callable[[str], None]) -> PassedOver:
    """Return what renames damaged checkpoints, so that none stands in the way of a later one, and says so."""

    def passed_over(path: Path, why: str) -> None:
        damaged = path.with_name(path.name + DAMAGED)
        _remove(damaged)
        with suppress(OSError):
            os.replace(path, damaged)
        said(f"passed over the damaged checkpoint '{path.name}', which is now '{damaged.name}': {why}")

    return passed_over


def _silently(path: Path, why: str) -> None:
    pass


@dataclass(frozen=True)
class CheckpointFolder:
    """The checkpoints of a run, of which the last `keep` stay; `shapes` are those of its parameters."""

    path: Path
    keep: int = 3
    shapes: Mapping[str, tuple[int, ...]] | None = None

    def files(self) -> dict[int, Path]:
        """Return the checkpoints by step, oldest first; of two at one step the one that was written last."""
        found = [*self.path.glob("step-*.safetensors"), *self.path.glob(f"step-*-*{SUFFIX}")]
        by_step: dict[int, Path] = {}
        for path in sorted(found, key=_written):
            with suppress(ValueError):
                by_step[step_of(path)] = path
        return dict(sorted(by_step.items()))

    def read(self, path: Path) -> Checkpoint:
        """Read a checkpoint; raises `Unreadable` if anything in it is not as it was written."""
        if path.name.endswith(SUFFIX):
            return read_sharded(ShardedCheckpoint.open(path), self.shapes or {})
        return read_checkpoint(path, step_of(path))

    def save(self, checkpoint: Checkpoint, renamed: Callable[[], None] = lambda: None) -> Path:
        """Write a checkpoint and drop those that are too many; raises OSError and leaves the others alone.

        `renamed` is called between the two, for tests that stop there.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        target = self.path / f"step-{checkpoint.step:08d}.safetensors"
        aside = target.with_name(target.name + ASIDE)
        try:
            write_checkpoint(aside, checkpoint)
            os.replace(aside, target)
            flush(self.path)
        except OSError:
            aside.unlink(missing_ok=True)
            raise
        renamed()
        for path in list(self.files().values())[: -self.keep]:
            _remove(path)
        return target

    def newest(self, passed_over: PassedOver = _silently) -> Checkpoint | None:
        """Return the newest checkpoint that is whole; damaged ones are reported and passed over."""
        return self._newest(self.read, passed_over)

    def newest_path(self, passed_over: PassedOver = _silently) -> Path | None:
        """Return where the newest checkpoint is that is whole, without keeping it in memory."""
        return self._newest(_whole, passed_over)

    def _newest(self, read: Callable[[Path], Found], passed_over: PassedOver) -> Found | None:
        """One that is gone meanwhile has made way for another, of a process that trains."""
        damaged: set[Path] = set()
        while left := [path for path in self.files().values() if path not in damaged]:
            try:
                return read(left[-1])
            except Unreadable as error:
                if left[-1].exists():
                    damaged.add(left[-1])
                    passed_over(left[-1], str(error))
        return None

    def clean(self) -> None:
        """Remove what a killed process left half written."""
        for path in [*self.path.glob(f"*{ASIDE}"), *self.path.glob(f".*{ASIDE}")]:
            _remove(path)


def _written(path: Path) -> int:
    """Return when a checkpoint was written; 0 if it has been dropped meanwhile."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def step_of(path: Path) -> int:
    """Return the step that a checkpoint's name says; raises ValueError."""
    return int(path.name.removeprefix("step-").split(".")[0].split("-")[0])


def _whole(path: Path) -> Path:
    """Return the path of a checkpoint; raises `Unreadable` if anything in it is not as it was written."""
    if path.name.endswith(SUFFIX):
        ShardedCheckpoint.open(path).check()
    else:
        check_checkpoint(path)
    return path


def _remove(path: Path) -> None:
    if path.is_dir():
        drop(path)
    else:
        path.unlink(missing_ok=True)
