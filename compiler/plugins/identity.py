"""What tells one plug-in from another: its name, its version, and a digest of its source."""

from __future__ import annotations

import hashlib
import inspect
import os
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

from lnet.dsl.diagnostics import refused

FILES = "lnet_plugin_"
"""What the module of a plug-in's file is called, before the file's name."""


VARIABLE = "LNET_PLUGINS"
"""Files and modules that are loaded, with colons between them: processes that this one starts inherit it."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """What a plan says of a plug-in: its name, its version ("" if it has none), and the SHA-256 of its source."""

    name: str
    version: str
    digest: str

    def __str__(self) -> str:
        return f"'{self.name}'{self.version and ' ' + self.version} (SHA-256 {self.digest[:12]})"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A plug-in of this process; one that is a single file with its path, and what was in it when it was loaded."""

    plugin: Plugin
    file: Path | None = None
    source: bytes = b""


def announced() -> list[str]:
    """Return the files and modules that this process, and those that it starts, load."""
    return [name for name in os.environ.get(VARIABLE, "").split(os.pathsep) if name]


def announce(name: str) -> None:
    """Have processes that this one starts load a file or a module, too."""
    if name not in announced():
        os.environ[VARIABLE] = os.pathsep.join([*announced(), name])


def owner_of(made: type) -> Loaded:
    """Return the plug-in that a class is part of: the file or the package of its module."""
    module = sys.modules.get(made.__module__)
    name = made.__module__.removeprefix(FILES).partition(".")[0]
    file = getattr(module, "__file__", None)
    if file is None or made.__module__ == "__main__":  # a notebook's cell, or the program itself
        return Loaded(Plugin(name, "", _digest(_source(made))))
    path = Path(file).resolve()
    if made.__module__.startswith(FILES) or ("." not in made.__module__ and path.name != "__init__.py"):
        source = path.read_bytes()
        said = str(getattr(module, "__version__", ""))
        return Loaded(Plugin(path.stem, said, _digest(source)), path, source)
    folder = Path(str(sys.modules[name].__file__)).parent
    files = (
        f"{file.relative_to(folder)}\n".encode() + file.read_bytes() for file in sorted(folder.rglob("*.py"))
    )
    return Loaded(Plugin(name, _version(name), _digest(*files)))


def _digest(*parts: bytes) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(part)
    return found.hexdigest()


def _source(made: type) -> bytes:
    try:
        return inspect.getsource(made).encode()
    except (OSError, TypeError) as error:
        raise refused(
            "E610", f"the source of '{made.__qualname__}' is not known", str(error), hint="put it in a file"
        ) from error


def _version(name: str) -> str:
    """Return the version of the distribution that has a package; "" if none has."""
    try:
        return version(next(iter(packages_distributions().get(name, [])), name))
    except PackageNotFoundError:
        return ""
