"""Compressed files are refused: each image would need reading from the beginning, so users unpack them once."""

from __future__ import annotations

from pathlib import Path

from lnet.dsl.diagnostics import LnetError, refused

from .listing import cannot_be_read, suffix_of

COMPRESSED = {
    ".gz": "gunzip",
    ".tgz": "gunzip",
    ".bz2": "bunzip2",
    ".tbz2": "bunzip2",
    ".xz": "unxz",
    ".txz": "unxz",
    ".zst": "unzstd",
    ".tzst": "unzstd",
}
"""Suffixes of compressed files, and the commands that unpack them."""
_BEGINNINGS = {b"\x1f\x8b": ".gz", b"BZh": ".bz2", b"\xfd7zXZ\x00": ".xz", b"\x28\xb5\x2f\xfd": ".zst"}


def check_compression(path: Path) -> None:
    """Raise `LnetError` for a compressed file, whatever its suffix."""
    suffix = suffix_of(path.name)
    if suffix in COMPRESSED:
        unpacked = path.with_suffix(".tar" if suffix.startswith(".t") else "")
        raise _refused(path, f"{COMPRESSED[suffix]} --keep '{path}'", unpacked.name)
    try:
        with open(path, "rb") as file:
            first = file.read(6)
    except OSError as error:
        raise cannot_be_read(path, error) from error
    for beginning, kind in _BEGINNINGS.items():
        if first.startswith(beginning):
            named = f"{path}{kind}"
            command = f"mv '{path}' '{named}' && {COMPRESSED[kind]} '{named}'"
            raise _refused(path, command, path.name)


def _refused(path: Path, command: str, unpacked: str) -> LnetError:
    return refused(
        "E711",
        f"'{path}' is compressed",
        "images are read where they lie in an archive, in any order",
        hint=f"unpack it once: {command}; then name '{unpacked}'",
    )
