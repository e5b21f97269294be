"""Names of a run's files on the hub. No other name is written on this machine, whatever a repository has."""

from __future__ import annotations

import re

NEEDED = ("plan.json", "run.json", "events.jsonl")
CARD = "README.md"
_SHARD = r"(manifest\.json|shard-[0-9]{1,6}-[0-9a-f]{1,64}\.safetensors)"
_CHECKPOINT = rf"(checkpoints|best)/step-[0-9]{{8,12}}(\.safetensors|-[0-9]{{1,9}}\.shards/{_SHARD})"
_NAMED = r"probes/[\w%~-][\w%~. -]*\.json|plugins/[\w-][\w. -]*\.py"
_NAMES = re.compile(rf"plan\.json|run\.json|events\.jsonl|{_CHECKPOINT}|{_NAMED}")


def is_of_a_run(name: str) -> bool:
    """Whether a file of a repository is one that `published` names."""
    return _NAMES.fullmatch(name) is not None
