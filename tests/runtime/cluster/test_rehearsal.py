"""What spares compile ahead: each tile, as it computes in a run."""

import numpy as np
import pytest

from lnet.compiler.core.shapes import Size
from lnet.compiler.pipeline import Layout, compile_source
from lnet.dsl.diagnostics import Collector
from lnet.dsl.source import Source
from lnet.runtime.cluster.actors import rehearsal
from lnet.runtime.cluster.actors.rehearsal import rehearse, rehearse_own
from lnet.runtime.cluster.config import RunConfig
from lnet.runtime.engine.shard import Shard

STAGE = (
    "network n { image: input(20x20x1); filter: local(3, 2); pool: l2pool(3); norm: lcn(3); learn: rica() }"
)
CLASSES = """
network n { image: input(8x8x1); f: local(3, 2); d: dense(4); o: cross_entropy(d) }
train {
    data = frames("none", labels = folder); validation = frames("others")
    update = adam(rate = 0.1)
    fetch = 4
    push = 2
    clip = 1
    accumulate = 2
    staleness = none
}
"""


def config_of(text):
    source = Source(text, "n.lnet")
    plan = compile_source(source, {}, Collector(source), Layout(tiles=Size(1, 3)))
    return RunConfig("run", plan.to_json(), ".", ".", None, workers=1, capacity=9)


@pytest.fixture
def taken(monkeypatch):
    """Tiles, and the gradients that each rehearsal ended with."""
    found, add = [], rehearsal.Replica.add

    def added(replica, gradients, step, last, **about):
        parts = yield from add(replica, gradients, step, last=last, **about)
        if last:
            found.append((replica.shard, gradients))
        return parts

    monkeypatch.setattr(rehearsal.Replica, "add", added)
    return found


@pytest.fixture
def evaluated(monkeypatch):
    """Tiles that have validated, and what they found of which terms."""
    found, evaluation = {}, Shard.evaluation

    def recorded(shard, *given):
        found[shard.programme.tile] = terms = yield from evaluation(shard, *given)
        return terms

    monkeypatch.setattr(Shard, "evaluation", recorded)
    return found


@pytest.mark.parametrize("text", [STAGE, CLASSES])
def test_every_step_of_every_tile_is_rehearsed(text, taken, evaluated):
    """All exchanges are met with arrays of their shapes, and the gradients are those of a step; then a validation's."""
    config = config_of(text)
    rehearse(config, "worker-0", lambda tile: True, lambda: True)
    assert {shard.programme.tile for shard, _ in taken} == {0, 1, 2}
    whole = {p.name: np.zeros(p.shape, np.float32) for p in config.plan.graph.parameters}
    assert set(evaluated) == ({0, 1, 2} if text == CLASSES else set())
    assert {name for terms in evaluated.values() for name in terms} <= {"o", "o top-1"}
    for shard, total in taken:
        assert {n: a.shape for n, a in total.items()} == {n: a.shape for n, a in shard.owned(whole).items()}


def test_processes_begin_with_other_tiles(taken):
    config = config_of(STAGE)
    for name in ("worker-0", "worker-1", "worker-2", "worker-3"):
        rehearse(config, name, lambda tile: True, lambda: True)
    firsts = [shard.programme.tile for shard, _ in taken[::3]]
    assert len(set(firsts)) > 1


def test_it_stops_when_a_tile_comes_and_passes_over_what_does_not_fit(taken):
    config = config_of(STAGE)
    rehearse(config, "worker-0", lambda tile: tile == 1, lambda: True)
    assert [shard.programme.tile for shard, _ in taken] == [1]
    taken.clear()
    asked = iter([True] * 4)
    rehearse(config, "worker-0", lambda tile: True, lambda: next(asked, False))
    assert taken == []


def test_tiles_of_the_plan_are_rehearsed_as_they_compute(taken):
    config = config_of(STAGE)
    own = {tile: Shard(config.plan.graph, config.plan.partition, tile) for tile in range(3)}
    (worker,) = {place for (_, tile), place in config.spec.places.items() if tile == 1}
    rehearse_own(config, worker, own.__getitem__, None, lambda tile: True, lambda: True)
    assert [shard for shard, _ in taken] == [own[1]]
    rehearse_own(config, "nobody", own.__getitem__, None, lambda tile: True, lambda: True)
    assert len(taken) == 1
