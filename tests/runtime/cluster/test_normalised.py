"""Layers that normalise by sums over tiles, or drop units, on worker processes: the same numbers as in one process."""

import numpy as np
import pytest
from processes import cluster, images, plan_of

import lnet
from lnet.compiler.core.shapes import Size

pytestmark = pytest.mark.slow

NORMALISED = """
network small {
    image: input(16x16x1)
    f: local(3, maps = 4)
    a: batchnorm(0.8)
    r: relu()
    n: layernorm(groups = 2, scale = map, shift = map)
    drop: dropout(0.25)
    d: dense(6, bias = false)
    b: batchnorm(0.9)
    q: l1(); s: l1(of = drop, weight = 0.01)
}
train { batch = %d; steps = %d; replicas = %d; staleness = %s; update = adagrad(rate = 0.05); push = 1 }
"""


@pytest.fixture(scope="module")
def client():
    with cluster(2) as running:
        yield running


def test_tiles_on_workers_compute_what_one_process_does(tmp_path, client):
    asked = {"program": NORMALISED, "steps": 6}
    alone = lnet.train(plan_of(workers=1, **asked), images(), directory=tmp_path / "alone")
    plan = plan_of(workers=2, tiles=Size(2, 1), shards_per_tile=2, **asked)
    spread = lnet.train(plan, images(), directory=tmp_path / "spread", client=client)
    start, wanted, found = lnet.Network(plan).params, alone.network().params, spread.network().params
    for name, value in wanted.items():
        moved = np.linalg.norm(value - start[name])
        assert moved > 0, name
        assert np.linalg.norm(found[name] - value) < 1e-3 * moved, name
    assert {"a.mean", "a.variance", "b.mean", "b.variance"} <= set(wanted)


def test_replicas_push_what_several_batches_add(tmp_path, client):
    """Of the asynchronous pushes of two replicas, of two batches each, rounded on the wire."""
    program = NORMALISED.replace("push = 1", "push = 2; fetch = 2")
    plan = plan_of(workers=2, replicas=2, steps=20, program=program)
    run = lnet.train(plan, images(), directory=tmp_path / "run", client=client, wire="bfloat16")
    params = run.network().params
    assert all(np.isfinite(value).all() for value in params.values())
    assert np.all(params["a.variance"] > 0)
    assert np.linalg.norm(params["a.variance"] - 1) > 0.1
    further = lnet.resume(run.directory, images(), steps=22, client=client)
    assert further.network().params["a.mean"].shape == (4,)


def test_tiles_clip_and_add_up_batches_as_one_process_does(tmp_path, client):
    """By a rule without state: an update's number of batches is then all that it has beside its gradients."""
    program = NORMALISED.replace("adagrad(rate = 0.05)", "sgd(0.05); clip = each(0.1); accumulate = 2")
    asked = {"program": program, "steps": 4}
    alone = lnet.train(plan_of(workers=1, **asked), images(), directory=tmp_path / "alone")
    plan = plan_of(workers=2, tiles=Size(2, 1), **asked)
    spread = lnet.train(plan, images(), directory=tmp_path / "spread", client=client)
    start, wanted, found = lnet.Network(plan).params, alone.network().params, spread.network().params
    for name, value in wanted.items():
        moved = np.linalg.norm(value - start[name])
        assert np.linalg.norm(found[name] - value) < 1e-3 * moved, name
