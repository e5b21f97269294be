"""A cgroup that allows its processes only some memory."""

import os
import time
from contextlib import contextmanager

import pytest

from lnet.runtime.process import cgroups


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
