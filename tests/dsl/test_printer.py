import pytest
from generated_modules import modules
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lnet.dsl.diagnostics import LnetError
from lnet.dsl.parser import parse
from lnet.dsl.printer import format_module, format_source
from lnet.dsl.source import Source

relaxed = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def formatted(text):
    return format_source(Source(text, "t.lnet"))


@relaxed
@given(modules)
def test_parse_after_print_gives_the_same_module(module):
    assert parse(format_module(module)) == module


@relaxed
@given(modules)
def test_formatting_twice_is_formatting_once(module):
    text = format_module(module)
    assert formatted(text) == text


SAMPLE = """lnet 1
# a file

let k=7 # seven
network n{ image:input( 8x8x2 ) # eyes
    # above V
    V : local( k // 2,
        # how many
        maps = 4 , )
    W: lcn(3); learn: rica(encode=V, pool=W)


    # the end of the block
}
train{batch=010;
 rate_of = [1.50, 2e-3] }
# the end of the file
"""

LAYOUT = """lnet 1
# a file

let k = 7  # seven

network n {
    image: input(8x8x2)  # eyes
    # above V
    V:     local(
        k // 2,
        # how many
        maps = 4,
    )
    W:     lcn(3)
    learn: rica(encode = V, pool = W)

    # the end of the block
}

train {
    batch   = 010
    rate_of = [1.50, 2e-3]
}

# the end of the file
"""


def test_the_standard_layout():
    assert formatted(SAMPLE) == LAYOUT
    assert formatted(LAYOUT) == LAYOUT


@relaxed
@given(st.data())
def test_no_comment_is_lost(data):
    """Comments put at the end of any line come out again, each once."""
    lines = SAMPLE.splitlines()
    for number in data.draw(st.sets(st.integers(0, len(lines) - 1), max_size=8)):
        lines[number] += f"  # note {number}" if "#" not in lines[number] else f" note {number}"
    text = "\n".join(lines) + "\n"
    out = formatted(text)
    assert sorted(c.text for c in parse(out).comments) == sorted(c.text for c in parse(text).comments)
    assert formatted(out) == out
    assert parse(out) == parse(text)


def test_a_file_with_errors_stays_as_it_is():
    with pytest.raises(LnetError, match="E101"):
        formatted("network n { image input(3x3x1) }")
