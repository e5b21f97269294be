"""`dsl <- compiler <- runtime <- lnet`: who may import whom, read from the sources and seen in a fresh process."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import networkx
import pytest

ROOT = Path(__file__).parents[1]
ABOVE = {"dsl": ("compiler", "runtime"), "compiler": ("runtime",), "runtime": ()}
FORBIDDEN = {
    "dsl": ("jax", "dask", "distributed"),
    "compiler": ("jax", "dask", "distributed"),
    "runtime": ("lark", "networkx"),
}
FILES = [path for package in ABOVE for path in sorted((ROOT / package).rglob("*.py"))]


def imports(path):
    package = ".".join(("lnet", *path.relative_to(ROOT).parent.parts)).split(".")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            yield ".".join([*base, *(node.module or "").split(".")]).strip(".")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_imported_upward(path):
    package = path.relative_to(ROOT).parts[0]
    for name in imports(path):
        parts = name.split(".")
        assert parts[0] not in ("dsl", "compiler", "runtime"), (
            "a root import makes a second copy of the module"
        )
        assert parts[0] not in FORBIDDEN[package], name
        if parts[0] == "lnet":
            assert len(parts) > 1, "the facade stands above everything"
            assert parts[1] not in (*ABOVE[package], "cli"), name


@cache
def modules():
    """Every module by its name, and the file that it is in; `lnet` is a folder of links beside its own files."""
    own = sorted((ROOT / "lnet").glob("*.py")) + sorted((ROOT / "lnet/cli").glob("*.py"))
    found = {}
    for path in (*FILES, *own):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts if parts[0] == "lnet" else ("lnet", *parts))
        found[name.removesuffix(".__init__")] = path
    return found


def imported(name, path, known):
    """Yield the modules that one imports anywhere, functions too, but not for types alone."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for block in [node for node in ast.walk(tree) if isinstance(node, ast.If)]:
        if ast.unparse(block.test) == "TYPE_CHECKING":
            block.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{module}.{alias.name}"
                yield from [inner] if inner in known else [module] if module in known else []


@cache
def import_graph():
    """The modules, and an edge from each to every other that it imports."""
    known = modules()
    return networkx.DiGraph(
        (name, other)
        for name, path in known.items()
        for other in imported(name, path, known)
        if name != other and not (path.name == "__init__.py" and other.startswith(f"{name}."))
    )


def folder_graph(graph, folder):
    """The files and folders in a folder, and an edge from each to every other that anything in it imports."""
    inside = [name for name in graph if name.startswith(f"{folder}.")]
    child = {name: name.removeprefix(f"{folder}.").partition(".")[0] for name in inside}
    edges = [(child[a], child[b]) for a, b in graph.edges(inside) if b in child and child[a] != child[b]]
    found = networkx.DiGraph(edges)
    found.add_nodes_from(child.values())
    return found


def test_no_module_imports_itself_by_way_of_others():
    """An import inside a function only hides a cycle."""
    graph = import_graph()
    assert graph.has_edge("lnet.runtime.train", "lnet.runtime.cluster.launch"), "it is inside a function"
    assert [sorted(cycle) for cycle in networkx.simple_cycles(graph)] == []


@pytest.mark.parametrize("folder", sorted(n for n, path in modules().items() if path.name == "__init__.py"))
def test_files_and_folders_import_each_other_one_way(folder):
    """Of two files or folders side by side one stands below the other."""
    graph = folder_graph(import_graph(), folder)
    assert [sorted(cycle) for cycle in networkx.simple_cycles(graph)] == []


PROGRAMS = [path for folder in ("tests", "benchmarks") for path in sorted((ROOT / folder).rglob("*.py"))]


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: str(path.relative_to(ROOT)))
def test_programs_that_stand_in_strings_import_what_exists(path):
    """A type checker does not look into a string, and most that hold a program are run by slow tests alone."""
    known = set(modules())
    for text in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(text, ast.Constant) and isinstance(text.value, str):
            for name in re.findall(r"^\s*(?:from|import) (lnet(?:\.\w+)*)", text.value, re.MULTILINE):
                assert name in known, f"line {text.lineno}"


def loaded(statement):
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_the_compiler_runs_without_jax():
    assert not loaded("import lnet; lnet.compile('examples/catface/model.lnet', workers=20).explain()") & {
        "jax",
        "dask",
    }


def test_the_language_server_runs_without_jax():
    assert not loaded("import lnet.cli.language_server") & {"jax", "optax", "distributed", "PIL"}


@pytest.mark.parametrize("command", [["--help"], ["check", "examples/catface/model.lnet"]])
def test_what_only_looks_at_files_loads_neither_graphs_nor_arrays(command):
    call = f"import os; os.chdir({str(ROOT)!r}); from lnet.cli import main; main({command}, standalone_mode=False)"
    assert not loaded(call) & {"networkx", "numpy", "jax", "optax", "dask", "distributed", "llvmlite", "PIL"}


def test_the_runtime_runs_without_the_parser_and_other_frameworks():
    assert not loaded("import lnet.jax, lnet.runtime.train, lnet.runtime.analysis.report") & {
        "lark",
        "networkx",
        "dask",
        "pandas",
        "rsatoolbox",
        "keras",
        "tensorflow",
        "torch",
    }


def test_the_protocol_knows_no_sockets_clocks_threads_or_arrays():
    calculations = {
        "collections",
        "dataclasses",
        "functools",
        "heapq",
        "itertools",
        "math",
        "operator",
        "statistics",
    }
    allowed = calculations | {"types", "typing", "__future__"}
    below = ("codec", "shapes")  # of the compiler's core: how messages are written
    paths = [*(ROOT / "runtime/cluster/protocol").glob("*.py")]
    for path in (*paths, *(ROOT / f"compiler/core/{name}.py" for name in below)):
        for name in imports(path):
            own = name.startswith(
                ("lnet.runtime.cluster.protocol", *(f"lnet.compiler.core.{n}" for n in below))
            )
            assert own or name.partition(".")[0] in allowed, f"{path.name} imports {name}"


@pytest.mark.parametrize("package", ABOVE)
def test_the_links_point_at_the_folders(package):
    link = ROOT / "lnet" / package
    assert link.is_symlink()
    assert link.resolve() == ROOT / package


def test_no_file_is_a_place_where_things_are_merely_put():
    assert {str(p) for p in FILES if len(p.read_text().splitlines()) > 500} == set()
