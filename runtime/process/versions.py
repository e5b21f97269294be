"""The versions of the packages that numbers depend on."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version

DISTRIBUTION = "lnetc"
"""The name of the distribution for `pip install`; the import name is `lnet`."""


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of packages by the names under which programs import them."""
    return {name: version(DISTRIBUTION if name == "lnet" else name) for name in packages}
