"""A log that is read while it grows: each line once, and all of it again only when what was read is void.

    appended lines                   read from the byte where the last whole line ended
    a resume among them              later steps before it are void: read again, without them
    another file, or a shorter one   thinned by its run (log.py), or of another run by now: read again

The file stays open, so that no other one can have its inode number.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from lnet.compiler.files import unreadable

from .events import LogEvent, Resumed
from .log import event_of, valid_events

BLOCK = 1 << 16
"""Bytes that are read at once from the end of a log to find its last whole line."""


class Follower:
    """Reads the log of a run as it grows; there may be none yet."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._end = 0

    def read(self) -> tuple[bool, Iterable[LogEvent]]:
        """Return whether events of earlier calls are void, and the valid ones that follow: all, if they are.

        To be iterated over before the next call. Raises `LnetError` if the log is there and cannot be read.
        """
        try:
            if self._is_there():
                fresh = self._appended()
                if not any(isinstance(event, Resumed) for event in fresh):
                    return False, fresh
            return self._anew()
        except OSError as error:
            raise unreadable(self._path, error) from error

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _is_there(self) -> bool:
        """Whether the path still has the file that was read, with the line that was read last at its place."""
        if self._file is None:
            return False
        try:
            now, opened = self._path.stat(), os.fstat(self._file.fileno())
        except FileNotFoundError:
            return False
        if (now.st_ino, now.st_dev) != (opened.st_ino, opened.st_dev) or opened.st_size < self._end:
            return False
        self._file.seek(max(0, self._end - 1))
        return self._end == 0 or self._file.read(1) == b"\n"

    def _appended(self) -> list[LogEvent]:
        """Return the events of the whole lines since the last call."""
        assert self._file is not None
        self._file.seek(self._end)
        lines = self._file.read()
        lines = lines[: lines.rfind(b"\n") + 1]
        self._end += len(lines)
        found = (event_of(self._path, line) for line in lines.splitlines(keepends=True))
        return [event for event in found if event is not None]

    def _anew(self) -> tuple[bool, Iterable[LogEvent]]:
        was_there = self._file is not None
        self.close()
        try:
            self._file = self._path.open("rb")
        except FileNotFoundError:
            self._end = 0
            return was_there, ()
        self._end = _end_of_lines(self._file)
        return True, valid_events(self._path, self._file, end=self._end)


def _end_of_lines(file: BinaryIO) -> int:
    """Return the byte after the last whole line of a file."""
    end = file.seek(0, os.SEEK_END)
    while end:
        begin = max(0, end - BLOCK)
        file.seek(begin)
        found = file.read(end - begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        end = begin
    return 0
