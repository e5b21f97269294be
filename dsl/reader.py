"""Files to sources."""

from __future__ import annotations

import os

from .diagnostics import Diagnostic, LnetError
from .source import Source


def read_source(path: str | os.PathLike[str]) -> Source:
    """Read a `.lnet` file; raises `LnetError` if it is missing, unreadable, no UTF-8 or empty."""
    name = os.fspath(path)
    try:
        with open(name, "rb") as file:
            data = file.read()
    except FileNotFoundError as error:
        raise _refused("E001", f"there is no file '{name}'") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise _refused("E002", f"the file '{name}' cannot be read: {reason}") from error
    return decode_source(data, name)


def decode_source(data: bytes, name: str) -> Source:
    """Return the source that bytes spell in UTF-8: byte order mark dropped, CRLF turned into LF."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _refused(
            "E003",
            f"{name}:{line}: expected UTF-8 text, found the byte 0x{data[error.start]:02x} at offset {error.start}",
            "save the file as UTF-8",
        ) from error
    if not text.strip():
        raise _refused("E004", f"expected a network, found the empty file '{name}'")
    return Source(text.replace("\r\n", "\n"), name)


def _refused(code: str, message: str, *hints: str) -> LnetError:
    return LnetError([Diagnostic(code, message, hints=hints)])
