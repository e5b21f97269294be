"""How long the language server takes for a file of 1,000 lines: python benchmarks/lsp.py

Milliseconds of processor time, medians. After a change every answer waits for an analysis of the new text; while the text
stays, answers come from the one that is there. What the protocol costs besides, JSON through two pipes, is not in it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import count
from statistics import median
from time import process_time

from lnet.compiler.editor import completions, hovers, layout, symbols
from lnet.compiler.editor.workspace import Workspace

LINES, TIMES = 1000, 20
STAGE = """# Area {number}: filters at every position, pooled and normalised.
# A comment is as long as in the examples, which have 5.6 tokens in a line.

stage area{number}(maps, field = wide) {{
    filter: local(field, maps, of = input, pad = same)
    pool:   l2pool(3, of = filter, pad = same)
    norm:   lcn(3, of = pool)
    learn:  rica(sparsity = 0.5, tied = true)
}}
"""


def text_of(lines: int) -> str:
    """Return a file of so many lines: stages, each with an instance in the network."""
    number = (lines - 8) // 11
    stages = "\n".join(STAGE.format(number=each) for each in range(number))
    items = "".join(f"    V{each}: area{each}(maps = 4)\n" for each in range(number))
    text = f"let wide = 3\n\n{stages}\nnetwork large {{\n    image: input(512x512x3)\n{items}}}\n"
    return text + "# the end\n" * (lines - text.count("\n"))


def milliseconds(work: Callable[[], object]) -> float:
    """Return the median of the processor time of some work."""
    taken = []
    for _ in range(TIMES):
        before = process_time()
        work()
        taken.append(1000 * (process_time() - before))
    return median(taken)


def main() -> None:
    path, text = os.path.realpath("large.lnet"), text_of(LINES)
    workspace, changes = Workspace({path: text}), count()
    middle = text.index("local(", len(text) // 3)

    def changed() -> None:
        workspace.open[path] = f"{text}# change {next(changes)}\n"

    def after_change(ask: Callable[[], object]) -> Callable[[], object]:
        return lambda: (changed(), ask())

    questions: dict[str, Callable[[], object]] = {
        "diagnostics": lambda: workspace.diagnostics(path),
        "hover": lambda: hovers.hover(workspace.around(path), path, middle),
        "completion": lambda: completions.completions(workspace.analysis(path), text, middle + 6),
        "definition": lambda: symbols.definition(workspace.around(path), path, middle + 6),
        "references": lambda: symbols.places(workspace.around(path), path, text.index("wide")),
        "code lens": lambda: hovers.network_totals(workspace.analysis(path)),
        "rename": lambda: symbols.rename(workspace, path, text.index("wide"), "broad"),
        "formatting": lambda: layout.formatted(workspace.open[path].replace("local(", "local( ")),
    }
    print(f"{text.count(chr(10)):,} lines, {len(text):,} characters; milliseconds of processor time")
    assert not any(workspace.diagnostics(path).values()), "a file without mistakes has the most to tell"
    print(f"{'':12}{'same text':>12}{'after a change':>16}")
    for name, ask in questions.items():
        ask()
        print(f"{name:12}{milliseconds(ask):12.1f}{milliseconds(after_change(ask)):16.1f}")

    from timing import machine  # with jax, which the server does not have in its memory

    print(machine())


if __name__ == "__main__":
    main()
