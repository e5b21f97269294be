"""Definitions copied out of the files of `modules`, with all that they use, as the text of one program."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path

from lnet.compiler import ops

_FOLDER = Path(__file__).parent / "modules"
FILES = ("axis", "sliding", *ops.FILES, "network", "prepare")
"""The order of the definitions in a program."""


@dataclass(frozen=True)
class Definition:
    """A class, a function or a name at the top of a file: its text, and the names that it uses."""

    text: str
    uses: frozenset[str]


@dataclass(frozen=True)
class Import:
    """A name that comes from a package: `from package import name`, or `import package` if `name` is None."""

    package: str
    name: str | None
    known_as: str | None = None

    @property
    def bound(self) -> str:
        return self.known_as or self.name or self.package


def program(text: str) -> str:
    """Return a program that ends with `text`, with all that it uses before it: imports and definitions."""
    definitions, imports = library()
    found: set[str] = set()
    missing = names_in(ast.parse(text))
    while missing:
        found |= missing
        used = (definitions[name].uses for name in missing if name in definitions)
        missing = frozenset[str]().union(*used) - found
    texts = [*(each.text for name, each in definitions.items() if name in found), text]
    header = "\n".join(_header(each for each in imports if each.bound in found))
    between = "\n\n" if _is_line(texts[0]) else "\n\n\n"
    return f"{header}{between}{_spaced(texts)}\n"


@cache
def library() -> tuple[dict[str, Definition], tuple[Import, ...]]:
    """Return all definitions by name, in their order, and what the files import from packages."""
    definitions: dict[str, Definition] = {}
    imports = {
        Import("pathlib", "Path"): None,
        Import("safetensors", "safe_open"): None,
        Import("safetensors.torch", "load_file"): None,
        Import("safetensors.torch", "save_file"): None,
    }  # which a network's own text needs
    for name in FILES:
        path = _FOLDER / f"{name}.py"
        if not path.exists():
            continue
        source = path.read_text(encoding="utf-8")
        lines = source.splitlines()
        for node in ast.parse(source).body:
            imports |= dict.fromkeys(_imports(node))
            for defined in _defines(node):
                text = "\n".join(lines[node.lineno - 1 : node.end_lineno])
                definitions[defined] = Definition(text, names_in(node))
    return definitions, tuple(imports)


def names_in(tree: ast.AST) -> frozenset[str]:
    """Return the names that a program mentions."""
    return frozenset(node.id for node in ast.walk(tree) if isinstance(node, ast.Name))


def _defines(node: ast.stmt) -> Iterator[str]:
    match node:
        case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
            yield name
        case ast.Assign(targets=[ast.Name(id=name)]):
            yield name


def _imports(node: ast.stmt) -> Iterator[Import]:
    match node:
        case ast.Import(names=names):
            yield from (Import(each.name, None, each.asname) for each in names)
        case ast.ImportFrom(module=str(package), level=0, names=names) if package != "__future__":
            yield from (Import(package, each.name, each.asname) for each in names)


def _header(imports: Iterable[Import]) -> Iterator[str]:
    """Yield lines of imports, sorted as formatters do."""
    found = list(imports)
    yield "from __future__ import annotations"
    for own in (True, False):
        section = [
            each for each in found if (each.package.partition(".")[0] in sys.stdlib_module_names) == own
        ]
        if section:
            yield ""
        for each in sorted((each for each in section if each.name is None), key=lambda each: each.package):
            yield f"import {each.package}" + (f" as {each.known_as}" if each.known_as else "")
        for package in sorted({each.package for each in section if each.name}):
            names = sorted(str(each.name) for each in section if each.package == package and each.name)
            yield f"from {package} import {', '.join(names)}"


def _spaced(texts: Iterable[str]) -> str:
    """Return definitions with the lines between them that formatters ask for."""
    blocks: list[str] = []
    for lines, group in groupby(texts, _is_line):
        together = list(group)
        blocks += ["\n".join(together)] if lines else together
    return "\n\n\n".join(blocks)


def _is_line(text: str) -> bool:
    return not text.startswith(("class ", "def "))
