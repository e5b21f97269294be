"""Fair timing: everything that is compared runs in turn, round after round; medians; a line about the machine."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

Call = Callable[[], Any]


def medians(calls: Mapping[str, Call], rounds: int = 9) -> dict[str, float]:
    """Return the median milliseconds of each call, taken in turn; each runs twice before, to compile and warm up."""
    for call in calls.values():
        for _ in range(2):
            jax.block_until_ready(call())
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            began = time.perf_counter()
            jax.block_until_ready(call())
            times[name].append(1e3 * (time.perf_counter() - began))
    return {name: float(np.median(values)) for name, values in times.items()}


def jitted(function: Callable[..., Any], *arguments: Any) -> Call:
    """Return a call of a compiled function."""
    compiled = jax.jit(function)
    return lambda: compiled(*arguments)


def machine() -> str:
    """Return a line about the machine and the versions."""
    device = jax.devices()[0]
    name = device.device_kind
    if device.platform == "cpu":
        cpuinfo = Path("/proc/cpuinfo")
        models = (
            [line for line in cpuinfo.read_text().splitlines() if "model name" in line]
            if cpuinfo.exists()
            else []
        )
        name = models[0].partition(":")[2].strip() if models else platform.machine()
    return f"{os.cpu_count()} cores, {name}; jax {jax.__version__}, Python {platform.python_version()}"
