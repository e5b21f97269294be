"""Texts that a test compares with a file; `UPDATE=1 pytest` writes the files anew, to be read in the diff."""

import os
from pathlib import Path


def pinned(path: Path, text: str) -> None:
    if os.environ.get("UPDATE"):
        path.write_text(text, encoding="utf-8")
    assert path.exists(), f"'{path.name}' is not there: read what UPDATE=1 writes, then commit it"
    assert text == path.read_text(encoding="utf-8")
