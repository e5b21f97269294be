"""Memory of the machine and of the cgroup (version 1 or 2) of a process.

    /proc/self/cgroup     4:memory:/job   ->  /sys/fs/cgroup/memory/job, .../memory      version 1
                          0::/job         ->  /sys/fs/cgroup/job, /sys/fs/cgroup         version 2

A process is bound by the limits of all groups from its own up to the root. In a container the paths are those of the
machine, and only the root is visible. This module imports no third-party package, because nannies import it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
ENDLESS = 2**60
"""Limits of version 1 from this value on mean no limit."""


@dataclass(frozen=True, slots=True)
class Group:
    """A memory cgroup; `version` is 1 or 2."""

    path: Path
    version: int

    @property
    def limit(self) -> int | None:
        """Bytes that all its processes may hold together; None: unlimited."""
        found = _number(self.path / ("memory.limit_in_bytes" if self.version == 1 else "memory.max"))
        return None if found is None or found >= ENDLESS else found

    @property
    def used(self) -> int:
        """Bytes that its processes hold, without reclaimable file cache."""
        held = _number(self.path / ("memory.usage_in_bytes" if self.version == 1 else "memory.current")) or 0
        kept = "total_inactive_file" if self.version == 1 else "inactive_file"
        return max(0, held - _entries(self.path / "memory.stat").get(kept, 0))

    @property
    def kills(self) -> int:
        """Number of its processes killed for lack of memory (OOM kills)."""
        file = "memory.oom_control" if self.version == 1 else "memory.events"
        return _entries(self.path / file).get("oom_kill", 0)


def groups(process: str = "self", root: Path = ROOT) -> Iterator[Group]:
    """Yield the memory cgroups of a process that can be seen, its own first."""
    for line in _lines(Path(f"/proc/{process}/cgroup")):
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        version, top = (1, root / "memory") if controllers else (2, root)
        own = top / path.lstrip("/")
        for folder in (own, *own.parents):
            if (folder / ("memory.usage_in_bytes" if version == 1 else "memory.stat")).is_file():
                yield Group(folder, version)
            if folder == top:
                break


def limit() -> int | None:
    """Return the memory limit of this process's cgroups in bytes; None: unlimited."""
    return min((group.limit for group in groups() if group.limit is not None), default=None)


def free() -> int:
    """Return the bytes still available to this process, on its machine and in its cgroups."""
    machine = _entries(Path("/proc/meminfo"))
    there = 1024 * (machine.get("MemAvailable", 0) + machine.get("SwapFree", 0)) or memory()
    return min([there, *(max(0, g.limit - g.used) for g in groups() if g.limit is not None)])


def memory() -> int:
    """Return the bytes of this machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def kills() -> int:
    """Return the number of OOM kills, in this process's cgroup or on the whole machine."""
    return max([_entries(Path("/proc/vmstat")).get("oom_kill", 0), *(group.kills for group in groups())])


def held() -> int:
    """Return the bytes of memory that this process holds."""
    fields = _lines(Path("/proc/self/statm"))
    return int(fields[0].split()[1]) * os.sysconf("SC_PAGE_SIZE") if fields else 0


def pool() -> str:
    """Return the identity of the memory pool that this process shares: its machine's, or its own cgroup's."""
    bound = next((str(group.path) for group in groups() if group.limit is not None), "")
    return f"{os.uname().nodename}:{bound}"


def _entries(file: Path) -> dict[str, int]:
    """Return the numbers in a file by their names."""
    pairs = (line.replace(":", " ").split()[:2] for line in _lines(file))
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _number(file: Path) -> int | None:
    lines = _lines(file)
    return int(lines[0]) if lines and lines[0].isdigit() else None


def _lines(file: Path) -> list[str]:
    """Return the lines of a file, none if it cannot be read: not every system has it."""
    with suppress(OSError):
        return file.read_text().splitlines()
    return []
