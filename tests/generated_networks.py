"""Networks of the language, generated: small, valid, and using all of it."""

from __future__ import annotations

from hypothesis import strategies as st

from lnet.compiler.ops.pointwise import KINDS as ACTIVATIONS
from lnet.compiler.pipeline import compile_text
from lnet.dsl.diagnostics import LnetError

ACTS = ("none", *ACTIVATIONS)


@st.composite
def sizes(draw, largest):
    rows, columns = draw(st.integers(1, largest)), draw(st.integers(1, largest))
    return f"{rows}x{columns}" if draw(st.booleans()) else f"{rows}"


@st.composite
def windows(draw, field=4):
    """`field`, `stride` and `pad`, as arguments."""
    given = [f"field = {draw(sizes(field))}"]
    if draw(st.booleans()):
        given.append(f"stride = {draw(sizes(3))}")
    if draw(st.booleans()):
        given.append(
            f"pad = {draw(st.sampled_from(['valid', 'same', '0', '1', '2x1', '0x2', 'size(1, 0)']))}"
        )
    return ", ".join(given)


def _local(draw, of, above, locals_above):
    share = draw(st.sampled_from(["none", "none", "all", "tile(2)", "tile(3x2)"]))
    act, bias = draw(st.sampled_from(ACTS)), draw(st.sampled_from(["true", "false"]))
    maps = draw(st.integers(1, 3))
    return f"local({draw(windows())}, maps = {maps}, share = {share}, act = {act}, bias = {bias}, of = {of})"


def _decode(draw, of, above, locals_above):
    if not locals_above:
        return f"relu(of = {of})"
    like = draw(st.sampled_from(locals_above))
    return f"decode(like = {like}, tied = {draw(st.sampled_from(['true', 'false']))}, of = {like})"


def _pool(kind):
    return lambda draw, of, above, locals_above: f"{kind}({draw(windows(3))}, of = {of})"


def _lcn(draw, of, above, locals_above):
    across, edge = draw(st.sampled_from(["all", "none"])), draw(st.sampled_from(["same", "valid"]))
    field = draw(st.sampled_from(["3", "5", "3x1", "1x5"]))
    return f"lcn({field}, across = {across}, edge = {edge}, floor = 0.2, of = {of})"


def _pointwise(kind):
    return lambda draw, of, above, locals_above: f"{kind}(of = {of})"


def _dense(draw, of, above, locals_above):
    act, bias = draw(st.sampled_from(ACTS)), draw(st.sampled_from(["true", "false"]))
    return f"dense({draw(st.integers(1, 4))}, act = {act}, bias = {bias}, of = {of})"


def _crop(draw, of, above, locals_above):
    return f"crop({draw(sizes(4))}, of = {of})"


def _joined(kind):
    def line(draw, of, above, locals_above):
        several = draw(st.lists(st.sampled_from(above), min_size=1, max_size=3))
        return f"{kind}([{', '.join(several)}])"

    return line


LAYERS = {
    "local": _local,
    "decode": _decode,
    **{kind: _pool(kind) for kind in ("l2pool", "maxpool", "avgpool")},
    "lcn": _lcn,
    **{kind: _pointwise(kind) for kind in ACTIVATIONS},
    "dense": _dense,
    "crop": _crop,
    **{kind: _joined(kind) for kind in ("concat", "add")},
}
"""How a line of each kind is drawn: from a layer to read, all those above, and the local ones among them."""
OFTEN = ("local", "local", "lcn")


@st.composite
def layers(draw, above, locals_above):
    """One layer that reads one or more of those above it."""
    of, kind = draw(st.sampled_from(above)), draw(st.sampled_from((*LAYERS, *OFTEN)))
    return LAYERS[kind](draw, of, above, locals_above)


def _read(kind):
    return lambda draw, of, above, locals_above, weight: f"{kind}(of = {of}, weight = {weight})"


def _rica(draw, of, above, locals_above, weight):
    if not locals_above:
        return f"l2(of = {of}, weight = {weight})"
    tied = draw(st.sampled_from(["true", "false"]))
    return f"rica(encode = {locals_above[-1]}, sparsity = 0.3, tied = {tied})"


def _smooth(draw, of, above, locals_above, weight):
    if not locals_above:
        return f"l2(of = {of}, weight = {weight})"
    return f"smooth(of = {draw(st.sampled_from(locals_above))}, weight = {weight})"


def _squared_error(draw, of, above, locals_above, weight):
    return f"squared_error(of = {of}, target = {draw(st.sampled_from(above))}, weight = {weight})"


OBJECTIVES = {
    "rica": _rica,
    "squared_error": _squared_error,
    "l1": _read("l1"),
    "l2": _read("l2"),
    "smooth": _smooth,
}
"""Likewise; those that need labels read a vector, and have tests of their own."""


@st.composite
def objectives(draw, above, locals_above):
    of, kind = draw(st.sampled_from(above)), draw(st.sampled_from(sorted(OBJECTIVES)))
    weight = draw(st.sampled_from(["1", "0.5", "2"]))
    return OBJECTIVES[kind](draw, of, above, locals_above, weight)


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
        line = f"q{number}: {draw(objectives(above, locals_above))}"
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
