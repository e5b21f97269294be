"""Reading parts of files that stay open, by `pread`: a mapping of a file that is replaced would kill the process.

A network file system that has lost a file's handle says ESTALE; the file is opened again, three times at most.
"""

from __future__ import annotations

import errno
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

OPEN = 16
"""Files that stay open at a time."""
AGAIN = 3
T = TypeVar("T")


class _Handle:
    """An open file, closed when nobody reads it any more."""

    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    @property
    def stat(self) -> tuple[int, int]:
        found = os.fstat(self.number)
        return found.st_size, found.st_mtime_ns

    def __del__(self) -> None:
        if hasattr(self, "number"):
            os.close(self.number)


class Reads:
    """Files by path, each the same as long as this lives; thread-safe. Raises OSError."""

    def __init__(self) -> None:
        self._handles: OrderedDict[Path, _Handle] = OrderedDict()
        self._seen: dict[Path, tuple[int, int]] = {}
        self._lock = threading.Lock()

    def part(self, path: Path, offset: int, size: int) -> bytes:
        """Return up to `size` bytes of a file, fewer only at its end."""
        return again(lambda: self._part(path, offset, size), lambda: self._forget(path))

    def _part(self, path: Path, offset: int, size: int) -> bytes:
        handle = self._handle(path)
        found = os.pread(handle.number, size, offset)
        while len(found) < size:
            more = os.pread(handle.number, size - len(found), offset + len(found))
            if not more:
                break
            found += more
        return found

    def _handle(self, path: Path) -> _Handle:
        with self._lock:
            handle = self._handles.get(path)
            if handle is None:
                handle = self._handles[path] = _Handle(path)
                if self._seen.setdefault(path, handle.stat) != handle.stat:
                    raise OSError(errno.EIO, "it was replaced or changed while it was being read", str(path))
            self._handles.move_to_end(path)
            while len(self._handles) > OPEN:
                self._handles.popitem(last=False)
            return handle

    def _forget(self, path: Path) -> None:
        with self._lock:
            self._handles.pop(path, None)


def again(read: Callable[[], T], before: Callable[[], None] = lambda: None) -> T:
    """Return what is read, tried again while the file system says ESTALE; raises OSError."""
    for _ in range(AGAIN):
        try:
            return read()
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
            before()
    return read()
