"""The list of names to leave out: `frames(..., exclude = "names.txt")`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from lnet.dsl.diagnostics import refused


@dataclass(frozen=True)
class Exclusion:
    """Names to leave out; an entry matches a whole name or its last components: `c.jpg` and `b/c.jpg` match `a/b/c.jpg`.

    `used`: the entries that have left out an image so far.
    """

    entries: frozenset[str] = frozenset()
    used: set[str] = field(default_factory=set, compare=False)

    @property
    def digest(self) -> str | None:
        """A digest of the entries; None if there are none."""
        if not self.entries:
            return None
        return blake2b("\0".join(sorted(self.entries)).encode(), digest_size=16).hexdigest()

    def covers(self, name: str) -> bool:
        """Whether an image is left out."""
        if not self.entries:
            return False
        parts = name.split("/")
        hits = self.entries.intersection("/".join(parts[at:]) for at in range(len(parts)))
        self.used.update(hits)
        return bool(hits)

    def unmatched(self) -> tuple[str, ...]:
        """Return the entries that left out no image."""
        return tuple(sorted(self.entries - self.used))


def read_exclusion(path: Path | None) -> Exclusion:
    """Read a list of names, one a line, with comments after '#'; raises `LnetError`."""
    if path is None:
        return Exclusion()
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise refused(
            "E708", f"the list of names to exclude, '{path}', cannot be read", str(error)
        ) from error
    entries = (re.split(r"(?:^|\s)#", line)[0].strip() for line in lines)
    return Exclusion(frozenset(entry for entry in entries if entry))
