"""Networks of the language, generated: small, valid, and using all of it."""

from __future__ import annotations

from functools import cache

import objectives
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from ops import LINES

from lnet.compiler.pipeline import compile_text
from lnet.dsl.diagnostics import LnetError

OFTEN = ("local", "local", "lcn")


@st.composite
def layers(draw, above, locals_above):
    """One layer that reads one or more of those above it."""
    of, kind = draw(st.sampled_from(above)), draw(st.sampled_from((*LINES, *OFTEN)))
    return LINES[kind](draw, of, above, locals_above)


@st.composite
def terms(draw, above, locals_above):
    of, kind = draw(st.sampled_from(above)), draw(st.sampled_from(sorted(objectives.LINES)))
    weight = draw(st.sampled_from(["1", "0.5", "2"]))
    return objectives.LINES[kind](draw, of, above, locals_above, weight)


@st.composite
def networks(draw):
    """The text of a network: lines that the compiler refuses are left out again."""
    height, width, maps = draw(st.integers(5, 13)), draw(st.integers(5, 13)), draw(st.integers(1, 2))
    lines = [f"image: input({height}x{width}x{maps})"]
    above, locals_above = ["image"], []
    for number in range(draw(st.integers(1, 6))):
        name = f"n{number}"
        line = f"{name}: {draw(layers(above, locals_above))}"
        if compiles([*lines, line]):
            lines.append(line)
            above.append(name)
            if ": local(" in line:
                locals_above.append(name)
    for number in range(draw(st.integers(1, 3))):
        line = f"q{number}: {draw(terms(above, locals_above))}"
        if compiles([*lines, line]):
            lines.append(line)
    if not any(line.startswith("q") for line in lines):
        lines.append(f"q: l2(of = {above[-1]})")
    return program(lines)


def program(lines):
    return "network n {\n" + "".join(f"    {line}\n" for line in lines) + "}\n"


def compiles(lines):
    try:
        compile_text(program(lines))
    except LnetError:
        return False
    return True


AROUND = [
    "image: input(12x12x2)",
    "a: local(3, 2, bias = true)",
    "b: local(3, 2, of = image)",
    "p: l2pool(2)",
]


def lines_of(kind):
    """Lines of random networks that call a kind, below `AROUND`."""
    drawn = []

    @settings(max_examples=40, database=None, derandomize=True, deadline=None, phases=[Phase.generate])
    @given(st.data())
    def draw(data):
        if kind in LINES:
            drawn.append(LINES[kind](data.draw, "a", ["a", "b"], ["a", "b"]))
        else:
            drawn.append(objectives.LINES[kind](data.draw, "a", ["a", "b"], ["a", "b"], 2))

    draw()
    return [line for line in drawn if line.startswith(f"{kind}(")]


@cache
def every_argument(kind):
    """The text of a network with many layers of a kind, which together give all of its arguments."""
    lines = [line for line in dict.fromkeys(lines_of(kind)) if compiles([*AROUND, f"x: {line}"])]
    return program([*AROUND, "q: l2(of = p)", *(f"x{number}: {line}" for number, line in enumerate(lines))])
