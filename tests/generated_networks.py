"""Networks of the language, generated: small, valid, and using all of it."""

from __future__ import annotations

from hypothesis import strategies as st

from lnet.compiler.pipeline import compile_text
from lnet.dsl.diagnostics import LnetError

ACTIVATIONS = ["none", "relu", "tanh", "sigmoid", "softplus"]


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


@st.composite
def layers(draw, above, locals_above):
    """One layer that reads one or more of those above it."""
    of = draw(st.sampled_from(above))
    kind = draw(
        st.sampled_from(
            [
                "local",
                "local",
                "local",
                "l2pool",
                "maxpool",
                "avgpool",
                "lcn",
                "lcn",
                "relu",
                "tanh",
                "crop",
                "concat",
                "add",
                "decode",
            ]
        )
    )
    match kind:
        case "local":
            share = draw(st.sampled_from(["none", "none", "all", "tile(2)", "tile(3x2)"]))
            act, bias = draw(st.sampled_from(ACTIVATIONS)), draw(st.sampled_from(["true", "false"]))
            return f"local({draw(windows())}, maps = {draw(st.integers(1, 3))}, share = {share}, act = {act}, bias = {bias}, of = {of})"
        case "l2pool" | "maxpool" | "avgpool":
            return f"{kind}({draw(windows(3))}, of = {of})"
        case "lcn":
            across, edge = draw(st.sampled_from(["all", "none"])), draw(st.sampled_from(["same", "valid"]))
            return f"lcn({draw(st.sampled_from(['3', '5', '3x1', '1x5']))}, across = {across}, edge = {edge}, floor = 0.2, of = {of})"
        case "crop":
            return f"crop({draw(sizes(4))}, of = {of})"
        case "concat" | "add":
            return f"{kind}([{', '.join(draw(st.lists(st.sampled_from(above), min_size=1, max_size=3)))}])"
        case "decode" if locals_above:
            like = draw(st.sampled_from(locals_above))
            return f"decode(like = {like}, tied = {draw(st.sampled_from(['true', 'false']))}, of = {like})"
        case "relu" | "tanh":
            return f"{kind}(of = {of})"
    return f"relu(of = {of})"


@st.composite
def objectives(draw, above, locals_above):
    kind = draw(st.sampled_from(["l1", "l2", "smooth", "rica", "squared_error"]))
    of = draw(st.sampled_from(above))
    weight = draw(st.sampled_from(["1", "0.5", "2"]))
    match kind:
        case "rica" if locals_above:
            return f"rica(encode = {locals_above[-1]}, sparsity = 0.3, tied = {draw(st.sampled_from(['true', 'false']))})"
        case "smooth" if locals_above:
            return f"smooth(of = {draw(st.sampled_from(locals_above))}, weight = {weight})"
        case "squared_error":
            return f"squared_error(of = {of}, target = {draw(st.sampled_from(above))}, weight = {weight})"
    return f"{'l1' if kind == 'l1' else 'l2'}(of = {of}, weight = {weight})"


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
