"""Shares of a processor for processes of this machine, by cgroups of version 1 or 2."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
PERIOD = 20_000
"""Microseconds in which a process gets its share of a processor."""


class Shares:
    """A group for each process; OSError where this user may make none."""

    def __init__(self) -> None:
        self.groups: dict[int, Path] = {}

    def give(self, pid: int, cores: float | None) -> None:
        """Give a process a share of a processor, before others that want it; None: all that others leave."""
        if pid not in self.groups:
            self.groups[pid] = _group(pid)
        _give(self.groups[pid], cores)

    def close(self) -> None:
        """Give back all that processes had before."""
        for group in self.groups.values():
            for pid in (group / "cgroup.procs").read_text().split():
                with suppress(OSError):  # it has ended
                    (group.parent / "cgroup.procs").write_text(pid)
            with suppress(OSError):
                group.rmdir()


def may_share() -> bool:
    """Whether this user may make such groups."""
    try:
        _group(0).rmdir()
    except OSError:
        return False
    return True


def _group(pid: int) -> Path:
    """Return a new cgroup of this machine's processors that holds a process; none for number 0."""
    group = (ROOT / "cpu" if (ROOT / "cpu").is_dir() else ROOT) / f"lnet-share-{pid}"
    group.mkdir(exist_ok=True)
    try:
        if pid:
            (group / "cgroup.procs").write_text(str(pid))
    except OSError:  # it has ended
        group.rmdir()
        raise
    return group


def _give(group: Path, cores: float | None) -> None:
    quota = None if cores is None else round(cores * PERIOD)
    if (group / "cpu.cfs_quota_us").exists():
        (group / "cpu.shares").write_text("1024" if quota is None else "20480")
        (group / "cpu.cfs_period_us").write_text(str(PERIOD))
        (group / "cpu.cfs_quota_us").write_text(str(-1 if quota is None else quota))
    else:
        (group / "cpu.weight").write_text("100" if quota is None else "2000")
        (group / "cpu.max").write_text(f"{'max' if quota is None else quota} {PERIOD}")
