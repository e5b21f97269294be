"""The checkpoints of a run: files of one process, folders of a cluster, in one order.

step-00000500.safetensors        saved by one process
step-00001000-3.shards/          saved by a cluster, checkpoint number 3 of the run
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .checkpoint import Checkpoint, Unreadable, flush, read_checkpoint, write_checkpoint
from .sharded import SUFFIX, ShardedCheckpoint, committed, read_sharded

_ASIDE = ".writing"


@dataclass(frozen=True)
class CheckpointFolder:
    """The checkpoints of a run, of which the last `keep` stay; `shapes` are those of its parameters."""

    path: Path
    keep: int = 3
    shapes: Mapping[str, tuple[int, ...]] | None = None

    def files(self) -> dict[int, Path]:
        """Return the checkpoints by step, oldest first; of two at one step the one that was written last."""
        found = [*self.path.glob("step-*.safetensors"), *(c.path for c in committed(self.path))]
        by_step: dict[int, Path] = {}
        for path in sorted(found, key=lambda path: path.stat().st_mtime_ns):
            with suppress(ValueError):
                by_step[step_of(path)] = path
        return dict(sorted(by_step.items()))

    def read(self, step: int) -> Checkpoint:
        """Read the checkpoint at a step; raises `Unreadable` if anything in it is not as it was written."""
        path = self.files()[step]
        if path.name.endswith(SUFFIX):
            return read_sharded(ShardedCheckpoint.open(path), self.shapes or {})
        return read_checkpoint(path, step)

    def save(self, checkpoint: Checkpoint, renamed: Callable[[], None] = lambda: None) -> Path:
        """Write a checkpoint and drop those that are too many; raises OSError and leaves the others alone.

        `renamed` is called between the two, for tests that stop there.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        target = self.path / f"step-{checkpoint.step:08d}.safetensors"
        aside = target.with_name(target.name + _ASIDE)
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

    def newest(self, passed_over: Callable[[Path, str], None] = lambda path, why: None) -> Checkpoint | None:
        """Return the newest checkpoint that is whole; damaged ones are reported and passed over."""
        for step, path in reversed(self.files().items()):
            try:
                return self.read(step)
            except Unreadable as error:
                passed_over(path, str(error))
        return None

    def clean(self) -> None:
        """Remove what a killed process left half written."""
        for path in [*self.path.glob(f"*{_ASIDE}"), *self.path.glob(f".*{_ASIDE}")]:
            _remove(path)


def step_of(path: Path) -> int:
    """Return the step that a checkpoint's name says; raises ValueError."""
    return int(path.name.removeprefix("step-").split(".")[0].split("-")[0])


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
