"""Every pass on its own, and what the compiler says of one that does less than it promises."""

from dataclasses import replace

import pytest

from lnet.compiler import pipeline
from lnet.compiler.graph.passes import PASSES, Pass
from lnet.compiler.graph.passes.expand_rica import expand_rica, rica_left
from lnet.compiler.objectives import SquaredError, Total
from lnet.compiler.pipeline import build_graph, compile_text
from lnet.dsl.diagnostics import Collector
from lnet.dsl.source import Source

TEXT = "network n { image: input(9x9x1); f: local(3, 2); p: l2pool(2); learn: rica(sparsity = 0.3) }\n"


def graph_of(text=TEXT):
    source = Source(text, "n.lnet")
    return build_graph(source, {}, Collector(source))


def test_rica_becomes_a_decoder_and_two_terms():
    before = graph_of()
    assert list(rica_left(before)) == ["learn was not expanded"]
    graph = expand_rica(before)
    assert not list(rica_left(graph))
    assert [layer.path for layer in graph.layers] == ["image", "f", "p", "learn.decode"]
    assert graph.layer("learn.decode").op.kind == "decode"
    assert graph.derived == {"learn.decode"}
    reconstruction, sparsity = graph.objectives
    assert (reconstruction.term, reconstruction.reads) == (SquaredError(), ("learn.decode", "image"))
    assert (sparsity.term, sparsity.reads) == (Total(), ("p",))


@pytest.mark.parametrize("each", PASSES, ids=lambda each: each.name)
def test_a_pass_changes_nothing_the_second_time(each):
    once = each.run(graph_of())
    assert each.run(once) == once


def does_nothing(graph):
    return graph


def loses_a_layer(graph):
    return replace(graph, layers=tuple(layer for layer in graph.layers if layer.path != "f"))


@pytest.mark.parametrize(
    ("run", "fault"),
    [
        (does_nothing, "after graph:does_nothing: learn was not expanded"),
        (loses_a_layer, "after graph:loses_a_layer: p reads f, which is not above it; learn reads f"),
    ],
)
def test_a_pass_that_does_less_than_it_promises_is_named(monkeypatch, run, fault):
    monkeypatch.setattr(pipeline, "PASSES", (Pass(run, rica_left),))
    with pytest.raises(AssertionError) as caught:
        compile_text(TEXT)
    assert str(caught.value).startswith(fault)


def test_a_partition_with_a_halo_too_small_is_named(monkeypatch):
    honest = pipeline.partition

    def without_messages(graph, tiles):
        return replace(honest(graph, tiles), messages=())

    monkeypatch.setattr(pipeline, "partition", without_messages)
    with pytest.raises(AssertionError, match="after partition: tile 0 holds "):
        pipeline.lay_out(expand_rica(graph_of()), pipeline.layout_from(tiles="2x2"))
