"""Partitions against masks: every position is followed one by one. What one reads is as `tests/test_every_kind.py` finds it."""

import numpy as np
import pytest
from generated_networks import networks
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lnet.compiler.core.shapes import Interval, Region, Size
from lnet.compiler.cut.cost import tile_costs
from lnet.compiler.cut.deal import dealt
from lnet.compiler.cut.messages import all_messages, messages_of
from lnet.compiler.cut.partition import best_tiles, partition
from lnet.compiler.ops.filters import Transpose
from lnet.compiler.pipeline import compile_text
from lnet.compiler.verify import graph_faults, partition_faults

relaxed = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
grids = st.builds(Size, st.integers(1, 4), st.integers(1, 5))


def mask(region, sheet):
    full = np.zeros((sheet.height, sheet.width), bool)
    full[region.rows.start : region.rows.stop, region.columns.start : region.columns.stop] = True
    return full


def touched(window, units):
    """The inputs that a mask of outputs reads, position by position."""
    rows, columns = window.rows, window.columns
    inputs = np.zeros((rows.extent, columns.extent), bool)
    for i, j in np.argwhere(units):
        down = i * rows.stride - rows.before + rows.dilation * np.arange(rows.field)
        right = j * columns.stride - columns.before + columns.dilation * np.arange(columns.field)
        seen = [at[(at >= 0) & (at < extent)] for at, extent in zip((down, right), inputs.shape, strict=True)]
        inputs[np.ix_(*seen)] = True
    return inputs


def read_by(layer, number, computed, operand):
    """The positions of an operand that a mask of a layer's value is made of, position by position."""
    reach = np.zeros((operand.height, operand.width), bool)
    for i, j in np.argwhere(computed):
        here = Region(Interval(i, i + 1), Interval(j, j + 1))
        reach |= mask(layer.op.needs_of(number, here).clip(operand.size), operand)
    return reach


@relaxed
@given(networks(), grids)
def test_every_tile_has_what_it_needs(text, grid):
    assert not list(graph_faults(compile_text(text).graph))
    graph = dealt(compile_text(text).graph, grid)
    cut = partition(graph, grid)
    assert not list(partition_faults(graph, cut))
    for tile, pieces in enumerate(cut.pieces):
        held = {piece.layer: mask(piece.held, graph.layer(piece.layer).sheet) for piece in pieces}
        for piece in pieces:
            layer = graph.layer(piece.layer)
            computed = mask(piece.computed, layer.sheet)
            for number, path in enumerate(layer.reads):
                operand = graph.layer(path)
                if layer.op.reduces:
                    continue
                if isinstance(layer.op, Transpose):
                    own_units = next(p.owned for p in pieces if p.layer == operand.path)
                    assert not (
                        touched(layer.op.window, mask(own_units, operand.sheet)) & ~held[layer.path]
                    ).any()
                else:
                    assert not (
                        read_by(layer, number, computed, operand.sheet) & ~held[operand.path]
                    ).any(), (
                        layer,
                        tile,
                    )


def places(layer, reads, position):
    """The places in line that one position of what a layer reads writes to."""
    if layer.op.kind in ("sums", "totals"):
        return range(layer.sheet.height)
    first = (position[0] * reads.width + position[1]) * reads.maps
    return range(first, first + reads.maps)


def check_sums(graph, cut, layer, messages):
    """Every tile that writes to what another holds sends it a part, once."""
    reads = graph.layer(layer.reads[0])
    sent = {(m.sender, m.receiver): mask(m.region, layer.sheet)[:, 0] for m in messages}
    assert len(sent) == len(messages)
    for reader in range(cut.count):
        held = mask(cut.piece(reader, layer.path).held, layer.sheet)[:, 0]
        for writer in set(range(cut.count)) - {reader}:
            written = np.zeros_like(held)
            for position in np.argwhere(mask(cut.piece(writer, reads.path).owned, reads.sheet)):
                written[list(places(layer, reads.sheet, position))] = True
            found = sent.get((writer, reader), np.zeros_like(held))
            assert not (written & held & ~found).any()
            assert not (found & ~held).any()


@relaxed
@given(networks(), grids)
def test_messages_fill_exactly_what_is_held(text, grid):
    """Forward messages come from owners and fill what is not computed; sums bring each writer's part once."""
    graph = dealt(compile_text(text).graph, grid)
    cut = partition(graph, grid)
    messages = list(all_messages(graph, cut))
    by_tile = [{p.layer: p for p in pieces} for pieces in cut.pieces]
    for layer in graph.layers:
        if layer.op.reduces:
            check_sums(graph, cut, layer, [m for m in messages if m.layer == layer.path and m.kind == "sum"])
            continue
        units = graph.layer(layer.reads[0]) if isinstance(layer.op, Transpose) else None
        for tile in range(cut.count):
            piece = by_tile[tile][layer.path]
            count = mask(piece.computed, layer.sheet).astype(int)
            if units is not None:
                count = touched(layer.op.window, mask(by_tile[tile][units.path].owned, units.sheet)).astype(
                    int
                )
            for message in messages:
                if message.layer != layer.path or message.receiver != tile or message.kind == "backward":
                    continue
                sent = mask(message.region, layer.sheet)
                assert message.values == sent.sum() * layer.sheet.maps
                if message.kind == "forward":
                    assert not (sent & ~mask(by_tile[message.sender][layer.path].owned, layer.sheet)).any()
                count += sent
            held = mask(piece.held, layer.sheet)
            if units is None:
                np.testing.assert_array_equal(count, held)
            else:
                writers = sum(
                    touched(layer.op.window, mask(pieces[units.path].owned, units.sheet)).astype(int)
                    for pieces in by_tile
                )
                gaps = any(
                    a.stride > a.field or a.dilation > 1
                    for a in (layer.op.window.rows, layer.op.window.columns)
                )
                assert (count[held] >= writers[held]).all()
                assert gaps or (count[held] == writers[held]).all()


@relaxed
@given(networks(), grids)
def test_gradients_return_the_way_that_values_came(text, grid):
    graph = dealt(compile_text(text).graph, grid)
    cut = partition(graph, grid)
    messages = list(all_messages(graph, cut))
    only_in_errors = {
        layer.path
        for layer in graph.layers
        if isinstance(layer.op, Transpose)
        and not graph.readers[layer.path]
        and all(o.term.is_error for o in graph.objectives if layer.path in o.reads)
    }
    trained = {path for path, views in graph.trained_views.items() if views} - only_in_errors
    there = {(m.layer, m.sender, m.receiver, m.region) for m in messages if m.kind != "backward"}
    back = {(m.layer, m.receiver, m.sender, m.region) for m in messages if m.kind == "backward"}
    assert back == {message for message in there if message[0] in trained}


@pytest.mark.parametrize("fill", ["zero", "edge", "reflect", "wrap"])
def test_padding_costs_no_more_than_the_strips_that_it_shows(fill):
    """A ring of 30 rows: what stands around it is all that tiles send each other, and its gradients."""
    text = f"""network n {{
        image: input(30x8x1); f: local(1, 3); p: pad(2, 1, fill = {fill}); g: local(1, 2); q: l2() }}"""
    cut = partition(compile_text(text).graph, Size(3, 1))
    away = {"zero": [], "edge": [], "reflect": [], "wrap": [("p above", 2, 0, 2), ("p below", 0, 2, 1)]}[fill]
    far = [
        (m.layer, m.sender, m.receiver, m.region.size.rows)
        for m in cut.messages
        if m.layer.startswith("p ") and m.kind == "forward"
    ]
    assert far == away
    near = [m for m in cut.messages if m.layer == "f" and m.kind == "forward"]
    assert sum(m.region.size.rows for m in near) <= 3, "the padded sheet is cut by other lines"


GAPS_BETWEEN_FIELDS = """network n {
    image: input(5x5x1)
    f: local(field = 1, stride = 3, maps = 1, act = none, of = image)
    p: l2pool(field = 1, of = f)
    q: rica(encode = f, pool = p)
}
"""


@relaxed
@given(networks(), grids)
@example(GAPS_BETWEEN_FIELDS, Size(1, 3))
def test_no_plan_beats_the_lower_bound(text, grid):
    graph = compile_text(text).graph
    for cost in tile_costs(graph, partition(graph, grid)):
        assert cost.halo >= cost.halo_bound * (1 - 1e-9)


def two_stages(text="image: input(200x200x3)"):
    return compile_text(
        "stage s() { f: local(18, 8); p: l2pool(5); n: lcn(5, edge = valid); learn: rica() }\n"
        f"network n {{ {text}; V1: s(); V2: s() }}"
    ).graph


def test_relative_cuts_are_lopsided():
    """the figures of the published network: two tiles across need 14 columns of V1.filter on one side and 15 on the other."""
    graph = two_stages()
    cut = partition(graph, Size(1, 2))
    depths = []
    for pieces in cut.pieces:
        piece = next(p for p in pieces if p.layer == "V1.f")
        depths.append(piece.held.columns.length - piece.owned.columns.length)
    assert sorted(depths) == [14, 15]


def test_halos_cross_several_tiles():
    cut = partition(two_stages(), Size(1, 13))
    assert max(abs(m.sender - m.receiver) for m in cut.messages) > 1


def test_small_top_layers_leave_tiles_empty():
    graph = compile_text("network n { image: input(9x9x1); a: local(5, 1); b: local(5, 1); q: l2() }").graph
    cut = partition(graph, Size(1, 4))
    areas = [pieces[-1].owned.area for pieces in cut.pieces]
    assert sorted(areas) == [0, 0, 0, 1]
    assert not list(partition_faults(graph, cut))


@pytest.mark.parametrize(
    ("count", "expected"), [(1, Size(1, 1)), (4, Size(2, 2)), (12, Size(3, 4)), (7, Size(1, 7))]
)
def test_the_best_grid_of_a_square_network(count, expected):
    assert best_tiles(two_stages("image: input(100x100x1)"), count) == expected


@pytest.mark.parametrize(
    ("size", "count", "expected"),
    [("60x2000", 12, Size(1, 12)), ("2000x60", 12, Size(12, 1)), ("100x100", 64, Size(8, 8))],
)
def test_the_best_grid_follows_the_sheet(size, count, expected):
    assert best_tiles(two_stages(f"image: input({size}x1)"), count) == expected


def test_the_best_grid_leaves_no_tile_without_work():
    """Of 1x32 tiles of a top sheet of a few columns most would have nothing to do, and move little."""
    graph = two_stages("image: input(60x60x1)")
    assert best_tiles(graph, 32) in (Size(4, 8), Size(8, 4))
    assert partition(graph, Size(1, 32)).halo_values < partition(graph, best_tiles(graph, 32)).halo_values


def test_exchanging_after_a_strided_pool_where_that_moves_less():
    graph = compile_text(
        "network n { image: input(64x64x1); a: local(5, 4); p: l2pool(4, stride = 4); b: local(3, 4); q: l2() }"
    ).graph
    assert "p" in partition(graph, Size(2, 2)).exchanged


FEW = """network few {
    image: input(8x8x1)
    f: local(3, 2)
    out: dense(3)
    small: l2()
}

train {
    data = frames("x")
    batch = 10
    update = adagrad(rate = 0.1)
}
"""


def test_pairs_of_tiles_without_work_cost_nothing(monkeypatch):
    graph, tiles = compile_text(FEW).graph, Size(16, 16)
    cut = partition(graph, tiles)
    whole, pairs = Region.intersect, []
    monkeypatch.setattr(Region, "intersect", lambda *two: pairs.append(two) or whole(*two))
    messages = list(all_messages(graph, cut))
    assert messages
    assert len(pairs) < cut.count**2 / 10
    busy = {tile for message in messages for tile in (message.sender, message.receiver)}
    assert set(messages) == {message for tile in busy for message in messages_of(graph, cut, tile)}
