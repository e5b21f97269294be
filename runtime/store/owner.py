"""Who trains a run: the process or the coordinator that began last. Whoever was before it writes nothing any more.

    owner.json     {"token": "3f2a...", "process": "4711 on node-3", "began": "2026-11-28T18:40:41+00:00"}

A lock does not see to it: one of flock's ends at the machine on some network file systems, and a coordinator that stood
still, with the command that began it long gone, wakes up and writes a last checkpoint. So whoever begins replaces this
file, and whoever writes a checkpoint asks before and after whether it is still the owner:

    the one before     writes aside, under its token -> is it the owner still? -> renames what it wrote
    the next one       replaces owner.json -> removes all that is aside -> looks which checkpoints there are

Whatever stands still between two of these, and for how long: either the rename comes before the look, and the next one
goes on from there, or there is nothing to rename any more. No clock is asked.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lnet.compiler.files import unreadable, write_aside
from lnet.dsl.diagnostics import ClusterError, refused

FILE = "owner.json"
EVERY = 5.0
"""Seconds after which whoever writes no checkpoint looks all the same."""


class TakenOver(ClusterError):
    """Another process or coordinator has begun to train a run."""

    def __init__(self, directory: Path | str, by: str) -> None:
        self.by = by
        hint = "nothing that it writes is touched; once it has ended: lnetc resume"
        super().__init__(
            refused("E765", f"the run '{directory}' was taken over by {by}", hint=hint).diagnostics
        )


@dataclass(frozen=True)
class Owner:
    """Who began to train the run in a directory, by the token that it has drawn."""

    directory: Path
    token: str

    @property
    def short(self) -> str:
        """The token's beginning: names of what is not whole yet carry it."""
        return self.token[:8]

    def check(self) -> None:
        """Raise `TakenOver` if another one has begun since, OSError if that cannot be known."""
        found = _read(self.directory)
        if found.get("token") != self.token:
            by = f"process {found.get('process', 'unknown')}, which began {found.get('began', 'later')}"
            raise TakenOver(self.directory, by)


def new_token() -> str:
    """Draw a token for a process or a coordinator that begins to train."""
    return secrets.token_hex(16)


def own(directory: Path, token: str) -> Owner:
    """Begin to own a run, whoever did before; raises `LnetError` if the directory cannot be written."""
    process = f"{os.getpid()} on {socket.gethostname()}"
    began = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        write_aside(directory / FILE, json.dumps({"token": token, "process": process, "began": began}))
    except OSError as error:
        raise refused("E744", f"'{directory}' cannot be written", str(error)) from error
    return Owner(directory, token)


def owner_of(directory: Path) -> Owner | None:
    """Return the run's owner, the last process to begin training it, or None; raises `LnetError` if it cannot be read."""
    try:
        token = _read(directory).get("token")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unreadable(directory / FILE, error) from error
    return Owner(directory, token) if token else None


def _read(directory: Path) -> dict[str, str]:
    """Return the owner file's content, empty if malformed; raises OSError."""
    try:
        found = json.loads((directory / FILE).read_bytes())
    except ValueError:
        return {}
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}
