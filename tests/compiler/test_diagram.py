"""The network's picture on the page: all of it inside, whatever the network."""

import re
import xml.etree.ElementTree as ET

import pytest

import lnet
from lnet.compiler.plan.diagram import ACROSS, LETTER, diagram

CHAIN = "\n".join(f"    l{number}: lcn(3)" for number in range(24))
FAR = "    far: add(of = [image, l23])"
NETWORKS = {
    "faces": None,
    "a chain": f"network n {{\n    image: input(8x8x1)\n{CHAIN}\n{FAR}\n    q: l2()\n}}",
    "one layer": "network n { a: input(8x8x1); q: l1(of = a) }",
    "two alike": "stage s() { f: local(3, 2); q: l1(); r: l2(weight = 0.5) }\nnetwork n { a: input(8x8x1); "
    "b: s(of = a); c: s(of = a); d: add(of = [b, c]) }",
    "families": "stage s() { f: local(1, 1); q: l1() }\nnetwork n { a: input(8x8x1); b[300]: s(); "
    "c[40]: local(3, 2, of = a); d: concat(c); e[3]: l2(of = d); g[2]: local(index + 1, 1, of = a) }",
    "two that differ": "stage s(k) { f: local(3, 2); q: l1(weight = k) }\nnetwork n { a: input(8x8x1); "
    "b: s(1, of = a); c: s(2, of = a); d: add(of = [b, c]) }",
}


def drawn(name):
    text = NETWORKS[name]
    graph = lnet.compile("examples/faces/model.lnet" if text is None else lnet.parse(text)).graph
    return graph, ET.fromstring(diagram(graph))


def texts(picture, kind):
    return ["".join(node.itertext()) for node in picture.iter("text") if node.get("class") == kind]


@pytest.mark.parametrize("name", NETWORKS)
def test_nothing_is_clipped(name):
    _, picture = drawn(name)
    width, height = (float(value) for value in picture.get("viewBox").split()[2:])
    assert (picture.get("width"), picture.get("height")) == tuple(picture.get("viewBox").split()[2:])
    assert width <= 1072, "wider than the page"
    for node in picture.iter("rect"):
        x, y, w, h = (float(node.get(name)) for name in ("x", "y", "width", "height"))
        assert x >= 0 <= y
        assert x + w <= width
        assert y + h <= height
    for node in picture.iter("text"):
        assert 0 < float(node.get("x")) < width
        assert 10 < float(node.get("y")) < height
    for node in picture.iter("path"):
        for command, *numbers in re.findall(r"([MHVC])([^MHVC]*)", node.get("d")):
            values = [float(number) for number in numbers[0].split()]
            if command in "MC":
                assert all(0 <= x <= width for x in values[::2])
                assert all(0 <= y <= height for y in values[1::2])
            else:
                assert 0 <= values[0] <= (width if command == "H" else height)


def test_every_layer_stands_in_it_once():
    graph, picture = drawn("a chain")
    assert texts(picture, "name") == [layer.path for layer in graph.visible]
    assert texts(picture, "from") == ["from imageimage"]
    assert len(graph.visible) > 2 * ACROSS


def test_of_stages_that_are_alike_the_first_is_drawn():
    _, picture = drawn("faces")
    names = texts(picture, "stage-name")
    assert "V2.area[0]" in names
    assert not [name for name in names if name.startswith("V2.area[1")]
    assert texts(picture, "objective")[-2:] == ["11 more alike, to", "V2.area[11]"]
    (last,) = texts(picture, "from")
    assert last.startswith("from 11 layers")
    assert "V2.area[1].norm" in last
    assert texts(drawn("two alike")[1], "stage-name") == ["b"]
    assert texts(drawn("two that differ")[1], "stage-name") == ["b", "c"]


def test_of_families_the_items_that_differ_are_drawn():
    """Of a chain the first reads something else than the others do."""
    _, picture = drawn("families")
    assert texts(picture, "stage-name") == ["b[0]", "b[1]"]
    assert texts(picture, "name") == ["a", "f", "f", "c[0]", "d", "g[0]", "g[1]"]
    assert " ".join(texts(picture, "objective")) == (
        "q: l1 q: l1 298 more alike, to b[299] e[0] to e[2]: l2 c[0]: 39 more alike, to c[39]"
    )


def test_objectives_fit_below_their_stage():
    _, picture = drawn("two that differ")
    assert texts(picture, "objective") == ["q: l1", "q: l1"]
    _, picture = drawn("faces")
    for text in texts(picture, "objective"):
        assert len(text) * LETTER < 4 * 98
