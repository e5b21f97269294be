"""Tables for people: as wide as they are, or folded."""

import pytest

import lnet
from lnet.compiler.plan.explain import explain_text
from lnet.compiler.text_table import WIDE, TextTable, printed

TABLE = TextTable(("layer", "kind"), ("weights", "note", "bytes"), (("V1", "local", "12", "x", "96 B"), ("[b]", "lcn", "", "", "-")), left=("note",))  # fmt: skip


def test_a_table_that_fits_stands_in_one_piece():
    assert printed((TABLE, "that is all"), WIDE).splitlines() == [
        "layer   kind    weights   note   bytes",
        "──────────────────────────────────────",
        "V1      local        12   x       96 B",
        "[b]     lcn                          -",
        "that is all",
    ]


def test_one_that_is_wider_goes_on_below_behind_its_first_column():
    assert printed((TABLE,), 26).splitlines() == [
        "layer   kind    weights",
        "───────────────────────",
        "V1      local        12",
        "[b]     lcn",
        "",
        "layer   note   bytes",
        "────────────────────",
        "V1      x       96 B",
        "[b]                -",
    ]


@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_nothing_is_wider_than_the_terminal_and_nothing_is_lost(width):
    plan = lnet.compile("examples/catface/model.lnet", workers=20)
    wide, narrow = explain_text(plan), explain_text(plan, width)
    assert max(map(len, narrow.splitlines())) <= width
    assert set(wide.split()) - {line.strip() for line in wide.splitlines() if "─" in line} <= set(
        narrow.split()
    )


def test_long_names_are_broken_and_leave_room_for_several_columns():
    table = TextTable(("run", "state"), ("loss",), (("sweep/of/rates/with/long/names-1", "done", "0.125"),))
    assert printed((table,), 30).splitlines() == [
        "run              state    loss",
        "──────────────────────────────",
        "sweep/of/rates   done    0.125",
        "/with/long/nam",
        "es-1",
    ]
