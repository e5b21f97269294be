"""Changes the protocol's code in one place at a time, and counts how many of the changes its quick tests find.

    pip install 'lnetc[mutants]'
    python tests/runtime/cluster/mutants.py [--count 100] [--seed 0]

A sample of all changes that cosmic-ray knows, drawn by a seed: another operator or number, a condition turned around, a loop
that is not entered, ... Each is tried in a copy of the tree. What stands in annotations and decorators is not changed, since
nothing there is computed. A change that its tests do not end for is found, too.
"""

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path
from queue import SimpleQueue

from cosmic_ray import plugins
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code

TREE = Path(__file__).parents[3]
PROTOCOL = Path("runtime/cluster/protocol")
TESTS = (
    *("keeping_apart", "records", "room", "many", "balancing", "deaths", "disorder", "links", "slowness"),
    *("roles", "wire", "complete", "simulate", "publishing", "fetching", "validating"),
)
"""Those that fail soonest come first."""
PATIENCE = 4.0
"""Times as long as without a change, after which the tests do not end."""


@dataclass(frozen=True)
class Change:
    file: Path
    operator: str
    occurrence: int
    start: tuple[int, int]
    end: tuple[int, int]

    def made(self, code):
        return mutate_code(code, plugins.get_operator(self.operator)(), self.occurrence)


def changes(file):
    """All changes of a file."""
    code = (TREE / file).read_text()
    inert, tree = list(_inert(ast.parse(code))), get_ast(code)
    for name in plugins.operator_names():
        kind = plugins.get_operator(name)
        if kind.arguments() or name == "core/NoOp":
            continue
        operator = kind()
        found = (at for node in ast_nodes(tree) for at in operator.mutation_positions(node))
        for occurrence, (start, end) in enumerate(found):
            if not any(first <= start and end <= last for first, last in inert):
                yield Change(file, name, occurrence, start, end)


def _inert(tree):
    """Where annotations and decorators begin and end."""
    for node in ast.walk(tree):
        for name in ("annotation", "returns", "decorator_list"):
            found = getattr(node, name, None)
            for each in found if isinstance(found, list) else [found]:
                if each is not None:
                    yield (each.lineno, each.col_offset), (each.end_lineno, each.end_col_offset)


def tested(copy, seconds):
    """Run the tests in a copy; return whether they pass within so many seconds."""
    files = [f"tests/runtime/cluster/test_{name}.py" for name in TESTS]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        "-m",
        "not slow and not long",
        "-p",
        "no:cacheprovider",
    ]
    env = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            [*command, *files],
            cwd=copy,
            env=env,
            timeout=seconds,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def copied(folder, number):
    """A copy of the tree, without what git ignores."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=TREE, capture_output=True, text=True, check=True)
    copy = Path(folder) / str(number)
    for name in filter(None, listed.stdout.split("\0")):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(TREE / name, copy / name, follow_symlinks=False)
    return copy


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    of = parser.parse_args()
    every = [
        change
        for file in sorted((TREE / PROTOCOL).glob("*.py"))
        for change in changes(file.relative_to(TREE))
    ]
    chosen = drawn(every, of.count, random.Random(of.seed))
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(of.processes) as threads:
        free = SimpleQueue()
        for number in range(of.processes):
            free.put(copied(folder, number))
        began = time.monotonic()
        if not all(threads.map(lambda _: within(free, lambda copy: tested(copy, 3600)), range(of.processes))):
            sys.exit("the tests fail without a change")
        seconds = PATIENCE * (time.monotonic() - began)
        lived = list(
            threads.map(lambda change: within(free, lambda copy: _lives(copy, change, seconds)), chosen)
        )
    found = len(chosen) - sum(lived)
    print(
        f"{len(every):,} changes of {PROTOCOL}; of {len(chosen)} drawn with seed {of.seed} the tests find {found}"
    )


def drawn(every, count, chance):
    """Changes at so many places: most places have a dozen that are much alike, of which one is drawn."""
    places = defaultdict(list)
    for change in every:
        places[change.file, change.start, change.end].append(change)
    return [chance.choice(places[place]) for place in chance.sample(sorted(places), min(count, len(places)))]


def within(free, work):
    """Do something in a copy that nobody uses."""
    copy = free.get()
    try:
        return work(copy)
    finally:
        free.put(copy)


def _lives(copy, change, seconds):
    """Make a change in a copy; return whether the tests pass nevertheless."""
    path = copy / change.file
    code = path.read_text()
    path.write_text(change.made(code))
    try:
        lives = tested(copy, seconds)
        if lives:
            print(f"not found: {change.file}:{change.start[0]} {change.operator}", flush=True)
            _show(code, path.read_text())
        return lives
    finally:
        path.write_text(code)


def _show(before, after):
    for line in unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm=""):
        if line[0] in "+-" and not line.startswith(("+++", "---")):
            print(f"    {line[0]} {line[1:].strip()}", flush=True)


if __name__ == "__main__":
    main()
