"""The cache of compiled programs and kernel measurements of this machine.

    ~/.cache/lnet/programs/    what XLA compiled
                  objects/     what LLVM compiled (kernels/native/build.py)
                  kernels/     what `lnetc tune` measured (tune.py)

`LNET_CACHE` names another folder, or is `off`. Entries are executed, so a folder that others may write into is not used.
An entry begins with a digest of its content, its key, this processor and the versions of the compilers: one that is
damaged, or made for another processor, is compiled again. Entries are written atomically, so that any number of
processes may write; together they take at most 2 GB, and the least recently used are removed first.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
import warnings
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import jax
from jax._src import compilation_cache

from lnet.dsl.diagnostics import LnetWarning

from .processor import processor
from .versions import versions_of

OFF = "off"
LIMIT = 2_000_000_000
"""Largest size of all compiled entries, in bytes."""
SLACK = LIMIT // 100
"""Bytes that a process may write before it measures the cache again."""


def cache_folder() -> Path | None:
    """Return the cache's folder; None if the cache is off."""
    named = os.environ.get("LNET_CACHE")
    if named == OFF:
        return None
    return Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lnet"


def own_folder(kind: str) -> Path | None:
    """Return the folder of a kind of entries, writable by this user alone; None if the cache is off.

    Raises OSError if it cannot be made.
    """
    folder = cache_folder()
    if folder is None:
        return None
    folder.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.stat()
    if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o022:
        raise PermissionError(f"others may write into '{folder}'")
    inner = folder / kind
    inner.mkdir(exist_ok=True)
    return inner


@cache
def here() -> str:
    """Return the cache key of this machine: the processor, and the versions of the compilers."""
    return repr((versions_of(("jax", "jaxlib", "llvmlite")), *processor()))


@dataclass
class Entries:
    """Compiled code of a kind, by key; `written` counts the bytes since the folder was last measured."""

    kind: str
    written: int = field(default=SLACK, init=False)
    _path: Path = field(default=Path(), init=False)  # JAX expects this attribute of a cache

    def get(self, key: str) -> bytes | None:
        """Return an entry; None if it is missing, damaged or made for another processor."""
        try:
            folder = own_folder(self.kind)
            if folder is None:
                return None
            path = folder / self._name(key)
            data = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        value = data[32:]
        return value if data[:32] == _digest(key, value) else None

    def put(self, key: str, value: bytes) -> None:
        """Write an entry; warn once if that fails."""
        try:
            folder = own_folder(self.kind)
            if folder is not None:
                _write(folder / self._name(key), _digest(key, value) + value)
                self._bound(folder.parent, len(value))
        except OSError as error:
            _say_once(str(error))

    def _name(self, key: str) -> str:
        return hashlib.sha256(f"{key}\n{here()}".encode()).hexdigest()

    def _bound(self, folder: Path, size: int) -> None:
        self.written += size
        if self.written >= SLACK:
            self.written = 0
            drop_oldest([folder / kind for kind in (PROGRAMS.kind, OBJECTS.kind)], LIMIT - SLACK)


def _write(path: Path, data: bytes) -> None:
    """Write a file atomically, without fsync: a torn file has another digest."""
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        aside.write_bytes(data)
        os.replace(aside, path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise


def _digest(key: str, value: bytes) -> bytes:
    return hashlib.sha256(f"{key}\n{here()}\n".encode() + value).digest()


def drop_oldest(folders: list[Path], limit: int) -> None:
    """Remove the least recently used files until the others take at most `limit` bytes."""
    found = []
    for folder in folders:
        with suppress(OSError):
            found += [(path, path.stat()) for path in folder.iterdir()]
    total = sum(about.st_size for _, about in found)
    for path, about in sorted(found, key=lambda each: each[1].st_mtime_ns):
        if total <= limit:
            return
        with suppress(OSError):  # another process may have removed it
            path.unlink()
        total -= about.st_size


_said: list[str] = []


def _say_once(why: str) -> None:
    if not _said:
        _said.append(
            f"what is compiled cannot be kept for later processes: {why} (LNET_CACHE=off: keep nothing)"
        )
        warnings.warn(_said[0], LnetWarning, stacklevel=2)


PROGRAMS, OBJECTS = Entries("programs"), Entries("objects")


@cache
def keep_programs() -> None:
    """Enable the cache of compiled programs, unless the user has configured jax's own.

    JAX's own cache writes files in place, never replaces damaged ones, and does not distinguish processors, so its programs
    are entries here. This uses a private name of JAX; without that name nothing is cached.
    """
    folder = cache_folder()
    if folder is None or jax.config.jax_compilation_cache_dir:  # type: ignore[attr-defined]
        return
    if not hasattr(compilation_cache, "get_file_cache"):
        return
    compilation_cache.get_file_cache = lambda path: (PROGRAMS, path)  # type: ignore[assignment, return-value]
    settings = {
        "jax_compilation_cache_dir": str(folder),
        "jax_persistent_cache_enable_xla_caches": "none",
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    for name, value in settings.items():
        jax.config.update(name, value)  # type: ignore[no-untyped-call]
