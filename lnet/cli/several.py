"""Arguments of commands that take several runs before others: `lnetc sheet runs/seed-* V1 faces`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path


def runs_first(arguments: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Return the directories at the beginning that are runs, and what stands behind them.

    The first one counts as a run even if it is not one, so that the message says so.
    """
    from lnet.runtime.store.run import is_run

    first, *others = arguments
    more = list(takewhile(lambda other: is_run(Path(other)), others))
    return [Path(first), *map(Path, more)], others[len(more) :]
