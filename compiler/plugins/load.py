"""Plug-ins are loaded because somebody names them, or has installed them: nothing that a plan or a run holds is executed.

lnetc --plugin my_layers.py run model.lnet
LNET_PLUGINS=my_layers.py:other.module
lnet.load_plugin("my_layers.py")
[project.entry-points."lnet.plugins"]         in the pyproject.toml of a package: each names a module
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import shlex
import sys
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

from lnet.dsl.diagnostics import LnetError, refused

from .guard import where_raised
from .identity import FILES, Plugin, announce, announced
from .registry import is_loaded, lacking

GROUP = "lnet.plugins"


def load_plugin(place: str | os.PathLike[str]) -> None:
    """Load a plug-in, a file `layers.py` or a module `my_package.layers`, here and in processes that this one starts.

    Raises `LnetError` if it cannot be imported, or brings nothing.
    """
    path = Path(place)
    name = str(path.resolve()) if path.suffix == ".py" else str(place)
    _load(name)
    announce(name)


def load_plugins() -> None:
    """Load what is installed, and what `LNET_PLUGINS` names; raises `LnetError` as `load_plugin` does."""
    _load_installed()
    for name in announced():
        _load(name)


def lacked(needed: Iterable[Plugin]) -> tuple[str, ...]:
    """Return a sentence for each plug-in that this process does not have as it is needed, once it has loaded its own."""
    try:
        load_plugins()
    except LnetError as error:
        return (error.diagnostics[0].message, *error.diagnostics[0].notes)
    return tuple(lacking(needed))


def require(needed: Sequence[Plugin], what: str, folder: Path) -> None:
    """Raise `LnetError` if this process lacks plug-ins that `what` needs, or has others; `folder` may hold their files."""
    load_plugins()
    notes = [*lacking(needed)]
    if notes:
        kept = [folder / f"{plugin.name}.py" for plugin in needed]
        files = [str(path) if path.is_file() else "FILE" for path in kept]
        raise refused(
            "E606",
            f"{what} needs plug-ins that this process does not have",
            *notes,
            hint=f"load them as they were: lnetc {' '.join(f'--plugin {shlex.quote(file)}' for file in files)} ...",
        )


@cache
def _load_installed() -> None:
    for entry in entry_points(group=GROUP):
        _load(entry.module)


@cache
def _load(name: str) -> None:
    try:
        _import(name)
    except LnetError:
        raise
    except Exception as error:
        raise refused("E610", f"the plug-in '{name}' cannot be loaded", where_raised(error)) from error


def _import(name: str) -> None:
    path = Path(name)
    if path.suffix != ".py":
        importlib.import_module(name)
        return
    if is_loaded(path.resolve()):
        return
    spec = importlib.util.spec_from_file_location(FILES + path.stem, path)
    assert spec is not None, name
    assert spec.loader is not None, name
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[spec.name]
        raise
