"""Families: `NAME[n]: KIND(...)` is as if its items were written one below the other."""

from dataclasses import replace

import pytest

from lnet.compiler.pipeline import compile_text
from lnet.compiler.plan.plan import plan_from_json
from lnet.dsl.diagnostics import LnetError

FAMILY = """
stage compete() { norm: lcn(1); above: relu() }
stage area(maps, field) { filter: local(field, maps); round[2]: compete(); quiet: l1() }
network n {
    image:   input(12x13x2)
    side[3]: area(4, 2 * index + 1, of = image)
    chain[2]: local(1, index + 1)
    small[2]: crop(8x9, of = side[index].round[1].norm)
    all:     concat([small, chain[1]])
    twice:   concat([image, image])
    sum:     add(small)
    last:    l2(of = all)
    learn[3]: l2(of = side[2 - index], weight = index)
}
"""
WRITTEN = """
stage compete() { norm: lcn(1); above: relu() }
stage area(maps, field) { filter: local(field, maps); a: compete(); b: compete(); quiet: l1() }
network n {
    image: input(12x13x2)
    A: area(4, 1, of = image); B: area(4, 3, of = image); C: area(4, 5, of = image)
    p: local(1, 1); q: local(1, 2)
    x: crop(8x9, of = A.b.norm); y: crop(8x9, of = B.b.norm)
    all: concat([x, y, q]); twice: concat([image, image]); sum: add([x, y]); last: l2(of = all)
    r: l2(of = C, weight = 0); s: l2(of = B, weight = 1); t: l2(of = A, weight = 2)
}
"""
NAMES = {"A": "side[0]", "B": "side[1]", "C": "side[2]", "a": "round[0]", "b": "round[1]", "p": "chain[0]"}
NAMES |= {
    "q": "chain[1]",
    "x": "small[0]",
    "y": "small[1]",
    "r": "learn[0]",
    "s": "learn[1]",
    "t": "learn[2]",
}


def named(path):
    return ".".join(NAMES.get(part, part) for part in path.split("."))


def test_a_family_is_its_items_one_below_the_other():
    found, written = compile_text(FAMILY).graph, compile_text(WRITTEN).graph
    assert [layer.path for layer in found.layers] == [named(layer.path) for layer in written.layers]
    for layer, other in zip(found.layers, written.layers, strict=True):
        renamed = tuple(replace(p, name=named(p.name)) for p in other.parameters)
        assert (layer.op, layer.reads, layer.parameters) == (
            other.op,
            tuple(map(named, other.reads)),
            renamed,
        )
    for objective, other in zip(found.objectives, written.objectives, strict=True):
        assert (objective.path, objective.term, objective.weight) == (
            named(other.path),
            other.term,
            other.weight,
        )
        assert objective.reads == tuple(map(named, other.reads))
    assert found.stages == tuple((named(path), named(last)) for path, last in written.stages)


def test_a_plan_of_families_is_read_as_it_was_written():
    plan = compile_text(FAMILY)
    assert plan_from_json(plan.to_json()).digest == plan.digest


def layers(items, above=""):
    text = f"{above}\nnetwork n {{ image: input(12x12x2); {items}; end: l2() }}"
    return {layer.path: layer for layer in compile_text(text).graph.layers}


def test_without_of_a_family_is_a_chain():
    found = layers("f[3]: local(2, index + 1); g: relu()")
    assert [found[path].reads for path in ("f[0]", "f[1]", "f[2]", "g")] == [
        ("image",),
        ("f[0]",),
        ("f[1]",),
        ("f[2]",),
    ]
    assert str(found["f[2]"].sheet) == "9x9x3"


def test_a_stage_that_ends_with_a_family_has_the_value_of_its_last_item():
    found = layers("s: tall(); f: relu()", "stage tall() { f[2]: local(3, 2); quiet[2]: l2(of = f[index]) }")
    assert found["f"].reads == ("s.f[1]",)


@pytest.mark.parametrize(
    ("above", "items", "maps"),
    [
        ("let index = 7", "f[2]: local(3, index)", 7),
        ("", "index: local(5, 6); f[2]: local(3, index.maps)", 6),
        ("stage s(index) { f[2]: local(3, index) }", "g: s(4); f: relu()", 4),
        ("stage s(k) { f: local(3, k) }", "f[2]: s(index + 1)", 2),
    ],
)
def test_a_let_a_parameter_or_an_item_hides_the_index(above, items, maps):
    *_, last = layers(items, above).values()
    assert last.sheet.maps == maps


def test_the_number_of_items_may_depend_on_a_let_a_parameter_and_a_layer():
    found = layers(
        "f[k]: local(3, k, of = image); s: tall(f[1].maps // 2)", "let k = 4; stage tall(n) { g[n]: relu() }"
    )
    assert list(found) == ["image", "f[0]", "f[1]", "f[2]", "f[3]", "s.g[0]", "s.g[1]"]


def test_an_unused_stage_with_a_family_of_unknown_size_is_checked():
    with pytest.raises(LnetError) as caught:
        layers("f: relu()", "stage s(n) { f[n]: local(3, index, stide = 2); g: add(f) }")
    assert [d.code for d in caught.value.diagnostics] == ["E301"]


def test_the_nearest_pool_of_a_family_is_found():
    found = compile_text(
        "network n { image: input(12x12x2); f[2]: local(3, 2); p[2]: l2pool(2, of = f[index]); q: rica(f[1]) }"
    )
    (objective,) = found.graph.objectives[-1:]
    assert objective.reads == ("p[1]",)


def test_families_can_be_frozen_whole_and_one_by_one():
    graph = compile_text(FAMILY).graph
    one, every = replace(graph, frozen=("side[1]",)), replace(graph, frozen=("side",))
    names = [p.name for p in graph.parameters]
    assert [name for name in names if one.is_frozen(name)] == ["side[1].filter.weight"]
    assert [name for name in names if every.is_frozen(name)] == [f"side[{k}].filter.weight" for k in range(3)]


def test_two_families_of_one_name_are_an_error():
    with pytest.raises(LnetError) as caught:
        layers("f[2]: relu(); f[3]: local(index, 1)")
    assert [d.code for d in caught.value.diagnostics] == ["E204"]


def test_items_are_counted_as_they_are_made(monkeypatch):
    monkeypatch.setattr("lnet.compiler.language.elaborate.MOST_LAYERS", 50)
    layers("f[k]: relu()", "let k = 47")
    for items in ("f[k]: relu()", "f[k // 2]: s(); g: relu()", "f[49]: relu()"):
        with pytest.raises(LnetError) as caught:
            layers(items, "let k = 49; stage s() { g[2]: relu() }")
        assert [d.code for d in caught.value.diagnostics] == ["E601"]


def test_two_thousand_items_compile():
    text = "network n { image: input(4x4x1); f[1000]: local(3, 1, of = image); q[1000]: l2(of = f[index]) }"
    plan = compile_text(text)
    assert plan.graph.objectives[-1].reads == ("f[999]",)


def test_the_pool_that_is_meant_is_the_last_made_from_the_encoder():
    items = "f[3]: local(3, 2, of = image); p[3]: l2pool(2, of = f[index]); again: l2pool(3, of = p[1])"
    found = compile_text(
        f"network n {{ image: input(12x12x2); {items}; q[3]: rica(f[index]); end: add(f) }}"
    ).graph
    pools = {o.part_of: o.reads[0] for o in found.objectives if o.term.kind == "total"}
    assert pools == {"q[0]": "p[0]", "q[1]": "again", "q[2]": "p[2]"}
