"""Single files to sources: without the parser, which the runtime does not need."""

from __future__ import annotations

import os

from .diagnostics import Diagnostic, error_of, refused
from .source import Source, Span

NOWHERE = Span(0, 0)


def read_file(path: str | os.PathLike[str]) -> Source:
    """Read a `.lnet` file alone; raises `LnetError` if it is missing, unreadable, not UTF-8 or empty."""
    name = os.fspath(path)
    try:
        with open(name, "rb") as file:
            data = file.read()
    except FileNotFoundError as error:
        raise refused("E001", f"there is no file '{name}'") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise refused("E002", f"the file '{name}' cannot be read: {reason}") from error
    return decode_source(data, name)


def decode_source(data: bytes, name: str) -> Source:
    """Return the source decoded from UTF-8, without byte order mark, CRLF turned into LF."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig")
        readable = Source(
            (before + data[error.start :].decode("utf-8", "replace")).replace("\r\n", "\n"), name
        )
        place = len(before.replace("\r\n", "\n"))
        message = f"expected UTF-8 text, found the byte 0x{data[error.start]:02x}"
        hint = "save the file as UTF-8" if b"\0" not in data else "it is not text: name a .lnet file"
        raise error_of(
            [Diagnostic("E003", message, Span(place, place + 1), hints=(hint,))], readable
        ) from error
    source = Source(text.replace("\r\n", "\n"), name)
    if not text.strip():
        raise error_of(
            [Diagnostic("E004", "expected declarations such as a network, found an empty file", Span(0, 0))],
            source,
        )
    return source
