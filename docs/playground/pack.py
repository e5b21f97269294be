"""The files of the playground on the site: its page, the compiler with what it imports, and a Python for browsers."""

from __future__ import annotations

import json
import shutil
import subprocess
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import distribution
from pathlib import Path

from lnet.compiler.pipeline import compile_plan
from lnet.dsl.diagnostics import LnetError

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
SHARED = ("live.js", "style.css")
"""Files that all pages of lnet have in common."""
PACKAGES = ("lark", "rich")
"""Packages that `dsl` and `compiler` import; those for clusters of hosts, predictions and training are left out."""
SOURCES = (".py", ".lark")
PYTHON = ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip", "pyodide-lock.json")
FIRST = "examples/photographs/model.lnet"
"""The example that the page begins with."""


class CannotFetch(SystemExit):
    """Pyodide is not here, and npm cannot fetch it."""


def write(site: Path, work: Path, examples: Mapping[str, str]) -> None:
    """Write the playground with texts to choose from into a site; npm puts Pyodide into the folder `work`."""
    to = site / "playground"
    (to / "pyodide").mkdir(parents=True)
    shutil.copy(HERE / "playground.html", site)
    shared = (ROOT / "runtime/pages" / name for name in SHARED)
    for file in (*HERE.glob("*.js"), *HERE.glob("*.css"), *shared):
        shutil.copy(file, to)
    shutil.copy(ROOT / "editors/vscode/syntaxes/lnet.tmLanguage.json", to / "grammar.json")
    (to / "examples.json").write_text(json.dumps(examples), encoding="utf-8")
    pack(to / "lnet.zip")
    python = fetched(work)
    for name in PYTHON:
        shutil.copy(python / name, to / "pyodide")
    (to / "licences.txt").write_text(licences(python), encoding="utf-8")


def fetched(work: Path) -> Path:
    """Return the folder of Pyodide, which npm fetches: the version with the checksum in package-lock.json.

    Raises `CannotFetch`.
    """
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, work)
    command = ["npm", "ci", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund", "--silent"]
    try:
        subprocess.run(command, cwd=work, check=True)
    except FileNotFoundError:
        raise CannotFetch("the playground needs npm, which fetches Pyodide") from None
    except subprocess.CalledProcessError:
        raise CannotFetch("npm cannot fetch Pyodide for the playground") from None
    return work / "node_modules" / "pyodide"


def examples() -> dict[str, str]:
    """Return the texts of the examples that compile without a plug-in, by their paths; `FIRST` is the first."""
    found = {}
    for path in sorted(networks(), key=lambda path: (path != FIRST, path)):
        with suppress(LnetError):
            compile_plan(ROOT / path)
            found[path] = (ROOT / path).read_text(encoding="utf-8")
    return found


def networks() -> list[str]:
    return [str(path.relative_to(ROOT)) for path in (ROOT / "examples").glob("*/*.lnet")]


def licences(python: Path) -> str:
    """Return the licences of all that the playground consists of."""
    parts = [f"lnet\n\n{(ROOT / 'LICENSE').read_text(encoding='utf-8')}"]
    for package in map(distribution, PACKAGES):
        texts = [file.read_text() for file in package.files or () if file.name.startswith("LICENSE")]
        parts.append("\n\n".join((f"{package.name} {package.version}", *texts)))
    of = json.loads((python / "package.json").read_text(encoding="utf-8"))
    parts.append(f"Pyodide {of['version']}: {of['license']}, source at {of['homepage']}\n")
    return f"\n\n{'-' * 80}\n\n".join(parts)


def pack(path: Path) -> None:
    """Write an archive of what the worker imports (its questions, the compiler, packages) and of the examples."""
    own = [file for package in ("dsl", "compiler") for file in (ROOT / package).rglob("*")]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(HERE / "answers.py", "answers.py")
        for file in sorted(own):
            if file.suffix in SOURCES:
                archive.write(file, f"lnet/{file.relative_to(ROOT)}")
        for name in sorted(networks()):
            archive.write(ROOT / name, name)
        for package in PACKAGES:
            for each in distribution(package).files or ():
                if each.parts[0] == package and each.suffix in SOURCES:
                    archive.write(str(each.locate()), str(each))
