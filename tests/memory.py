"""The most memory that this process has held, and a cgroup that allows its processes only some."""

import os
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from lnet.runtime.process import cgroups


def peak() -> float:
    """Return it in MiB, as Linux counts it: `ru_maxrss` will not do, which begins with what its parent held."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


@contextmanager
def memory_group(limit):
    """A memory cgroup with a limit; gives the file that a process writes its number to."""
    (own, *_) = cgroups.groups()
    group = own.path / f"lnet-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup can be made here: {error}")
    (group / ("memory.limit_in_bytes" if own.version == 1 else "memory.max")).write_text(str(limit))
    try:
        yield group / "cgroup.procs"
    finally:
        _remove(group)


def _remove(group):
    deadline = time.monotonic() + 60
    while (group / "cgroup.procs").read_text():
        assert time.monotonic() < deadline, "its processes do not end"
        time.sleep(0.1)
    group.rmdir()
