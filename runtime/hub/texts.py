"""Texts of a run from the hub: a terminal must show them as they are, because people read them before they trust them."""

from __future__ import annotations

import re
from pathlib import Path

from lnet.dsl.diagnostics import refused

CONTROL = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
"""Characters that steer a terminal, or show code in another order than it has (CVE-2021-42574)."""
ESCAPED = r"(?<!\\)(?:\\\\)*\\(?:[bf]|u00(?:0[0-8bcef]|1[0-9a-f]|7f|[89][0-9a-f])|u20(?:2[a-e]|6[6-9]))"
"""The same in JSON."""
JSON = re.compile(f"{CONTROL}|{ESCAPED}", re.IGNORECASE)
FORBIDDEN = {".py": re.compile(CONTROL), ".json": JSON, ".jsonl": JSON}


def check_texts(run: Path) -> None:
    """Raise `LnetError` for a text with control characters."""
    for path in sorted(path for path in run.rglob("*") if path.suffix in FORBIDDEN):
        with open(path, encoding="utf-8") as lines:
            if any(FORBIDDEN[path.suffix].search(line) for line in lines):
                raise refused(
                    "E798", f"'{path.relative_to(run)}' has control characters, and lnet writes none"
                )
