"""Patches: which layers have one, and what the plan, its tables and the language say of it."""

import json

import lnet
from lnet.compiler.core.shapes import Size
from lnet.compiler.graph.receptive_field import receptive_field
from lnet.compiler.pipeline import compile_text
from lnet.compiler.plan.explain import explain_data
from lnet.compiler.plan.plan import plan_from_json

TEXT = """
stage sheet(maps) { units: local(3, maps, bias = true); active: relu() }
network n {
    image: input(17x15x1)
    one:   sheet(4x3)
    pool:  maxpool(2)
    norm:  lcn(3)
    noisy: dropout(0.5)
    even:  layernorm(across = maps)
    soft:  softmax()
    near:  lrn()
    wide:  pad(1, 0, 0, 2, fill = edge)
    less:  crop(9x8)
    more:  add(of = [less, less])
    other: local(1, 3x4, of = more)
    mixed: add(of = [more, other])
    both:  concat(of = [more, more])
    plain: local(2, one.maps, of = more)
    back:  decode(like = plain)
    like:  local(2, one.patch, of = more)
    units: dense(5x7)
    flat:  dense(35)
    learn: rica(encode = plain, pool = pool)
    read:  l2(of = mixed); also: l2(of = both); more_of: l2(of = back)
}
"""
PATCHES = {
    **dict.fromkeys(
        (
            "one.units",
            "one.active",
            "pool",
            "norm",
            "noisy",
            "even",
            "soft",
            "near",
            "wide",
            "less",
            "more",
            "back",
            "like",
        ),
        Size(4, 3),
    ),
    **dict.fromkeys(("image", "mixed", "both", "plain", "flat"), None),
    "other": Size(3, 4),
    "units": Size(5, 7),
    "learn.decode": Size(4, 3),
}


def test_which_layers_have_a_patch():
    graph = compile_text(TEXT).graph
    assert {layer.path: layer.patch for layer in graph.layers} == PATCHES
    assert graph.layer("one").sheet.maps == graph.layer("plain").sheet.maps == 12
    assert graph.layer("units").sheet.maps == 35


def test_a_patch_is_in_the_plan_and_its_tables():
    plan = lnet.compile(lnet.parse(TEXT), workers=4)
    assert plan_from_json(plan.to_json()) == plan
    found = json.loads(json.dumps(explain_data(plan)))
    expected = {path: patch and [patch.rows, patch.columns] for path, patch in PATCHES.items()}
    assert {layer["path"]: layer["patch"] for layer in found["layers"]} == expected
    text = plan.explain()
    assert "15x13x12 (4x3)" in text
    assert "'one.units' has a unit sheet of 60x39" in text
    assert "patch" not in compile_text("network n { image: input(9x9x1); f: local(3, 2); q: l2() }").explain()


def test_an_item_may_be_named_patch():
    text = "network n { image: input(9x9x1); patch: local(3, 2x3); g: local(2, patch.patch.rows); q: l2() }"
    graph = compile_text(text.replace("patch.patch.rows", "patch.patch")).graph
    assert graph.layer("g").patch == Size(2, 3)


def test_a_sheet_of_units_sees_what_several_positions_see():
    """Units of positions 5 apart, in patches of 4 x 2: a pool over 3 x 3 units reaches over 2 x 2 positions at most."""
    text = """network n {
        image: input(20x20x1)
        units: local(5, 4x2, stride = 5)
        sheet: depth_to_space(units.patch)
        pool:  l2pool(3)
        wide:  avgpool(1x4)
        back:  space_to_depth(2x3)
        learn: rica(encode = units, pool = pool); q: l2(of = back)
    }"""
    graph = compile_text(text).graph
    sheets = {layer.path: str(layer.sheet) for layer in graph.layers}
    assert sheets["sheet"] == "16x8x1"
    assert sheets["back"] == "7x1x6"
    seen = {path: receptive_field(graph, path) for path in ("units", "sheet", "pool", "wide", "back")}
    assert seen == {
        "units": Size(5, 5),
        "sheet": Size(5, 5),
        "pool": Size(10, 10),
        "wide": Size(10, 20),
        "back": Size(10, 20),
    }
    assert graph.layer("sheet").patch is None
