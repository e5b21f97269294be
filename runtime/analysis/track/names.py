"""Names that all services take, and texts without passwords and the places of a machine."""

from __future__ import annotations

import re
from collections.abc import Mapping

from lnet.compiler.files import plain

PLACE = re.compile(r"'(/[^']+)'|(?<![\w/.:'])((?:/[^/\s'\"()]+){2,})/?")
"""An absolute path, in quotes or without blanks."""


def without_password(text: str) -> str:
    """Return a text without the names and passwords that stand before servers' names: `https://HOST/`."""
    return re.sub(r"//[^/\s]*@", "//", text)


def named(group: str, values: Mapping[str, float]) -> dict[str, float]:
    """Return figures by names of a group, as `train/loss`: without the brackets and blanks that some services refuse."""
    return {f"{group}/{plain(name).replace(' ', '_')}": value for name, value in values.items()}


def without_paths(text: str) -> str:
    """Return a text with the last name of each absolute path in its place: a service needs no user's name."""

    def last(found: re.Match[str]) -> str:
        path = found[1] or found[2]
        name = path.rstrip("/").rpartition("/")[2]
        return f"'{name}'" if found[1] else name

    return PLACE.sub(last, text)
