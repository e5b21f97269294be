"""The most memory that this process has held, in MiB, as Linux counts it; it loads nothing that would add to it."""

from pathlib import Path


def peak() -> float:
    """Return it: `ru_maxrss` will not do, which begins with what its parent held."""
    return _said("VmHWM")


def own_peak() -> float:
    """Return it without pages of files: these are shared, and as many as the kernel happens to have read."""
    return peak() - _said("RssFile")


def _said(name: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:"))
