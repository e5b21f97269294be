"""The GPUs of this machine, and which of them each of several processes computes on. Without JAX, which would take one."""

from __future__ import annotations

import os
from pathlib import Path

DRIVER = Path("/proc/driver/nvidia/gpus")
"""A folder for each GPU, where NVIDIA's driver runs."""
VISIBLE = "CUDA_VISIBLE_DEVICES"
SHARE = "XLA_PYTHON_CLIENT_MEM_FRACTION"
"""The share of a GPU's memory that JAX takes when it begins."""
USUAL = 0.75
BEFOREHAND = "XLA_PYTHON_CLIENT_PREALLOCATE"
"""Whether JAX takes it all at once."""


def gpus() -> list[str]:
    """Return the names by which CUDA knows the GPUs that this process may use."""
    said = os.environ.get(VISIBLE)
    if said is not None:
        return [name.strip() for name in said.split(",") if name.strip()]
    try:
        return [str(number) for number in range(len(list(DRIVER.iterdir())))]
    except OSError:
        return []


def environments(processes: int) -> list[dict[str, str]]:
    """Return what to add to the environment of each of some processes: one GPU by turns, and its share of the memory."""
    there = gpus()
    if not there:
        return [{} for _ in range(processes)]
    usual = float(os.environ.get(SHARE, USUAL))
    found = []
    for number in range(processes):
        turn = number % len(there)
        sharing = len(range(turn, processes, len(there)))
        beforehand = os.environ.get(BEFOREHAND, "true")
        found.append({VISIBLE: there[turn], SHARE: f"{usual / sharing:.4f}", BEFOREHAND: beforehand})
    return found


def leave_memory() -> None:
    """Let this process take no more of a GPU's memory than it needs, if JAX has not begun: it coordinates."""
    if gpus():
        os.environ.setdefault(BEFOREHAND, "false")
