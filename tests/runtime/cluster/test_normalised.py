"""What takes a batch as a whole, or draws for each sample, on worker processes: the same numbers as in one process."""

import numpy as np
import pytest
from processes import cluster, images, plan_of

import lnet
from lnet.compiler.core.shapes import Size
from lnet.compiler.cut.decoding import decoding

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
    """In float64, wire and checkpoints included, up to the order of sums."""
    asked = {"program": NORMALISED.replace("push = 1", "push = 1; precision = float64"), "steps": 6}
    alone = lnet.train(plan_of(workers=1, **asked), images(), directory=tmp_path / "alone")
    plan = plan_of(workers=2, tiles=Size(2, 1), shards_per_tile=2, **asked)
    spread = lnet.train(plan, images(), directory=tmp_path / "spread", client=client)
    refused = [event.reason for event in spread.events() if event.name == "refused"]
    assert not [reason for reason in refused if "malformed" in reason]
    start, wanted, found = lnet.Network(plan).params, alone.network().params, spread.network().params
    for name, value in wanted.items():
        moved = np.linalg.norm(value - start[name])
        assert moved > 0, name
        assert np.linalg.norm(found[name] - value) < 1e-11 * moved, name
        assert found[name].dtype == value.dtype == np.float64, name
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


CONTRASTED = """
network small {
    image: input(16x16x1)
    f: local(5, maps = 3, stride = 2, act = relu)
    drop: dropout(0.25)
    d: dense(6, act = tanh)
    apart: contrast(temperature = 0.5)
    y: dense(3); q: cross_entropy()
}
train {
    data = frames("none", labels = folder, views = 2, augment = [brightness(0.3)])
    batch = %d; steps = %d; replicas = %d; staleness = %s; update = sgd(rate = 0.1, momentum = 0.9); seed = 3
    precision = float64
}
"""


def test_tiles_contrast_whole_batches_and_replicas_their_own(tmp_path, client):
    """Two synchronous replicas do in a step what one process does that accumulates two batches."""
    asked, labels = {"batch": 40, "steps": 3}, np.arange(60) % 3
    accumulated = CONTRASTED.replace("seed = 3", "seed = 3; accumulate = 2")
    plans = {
        "alone": plan_of(workers=1, program=accumulated, **asked),
        "tiles": plan_of(workers=2, tiles=Size(2, 1), program=accumulated, **asked),
        "replicas": plan_of(workers=2, replicas=2, staleness=0, program=CONTRASTED, **asked),
    }
    assert decoding(plans["tiles"].graph, plans["tiles"].partition, 2).shared, "tiles send each other windows"
    runs = {
        name: lnet.train(
            plan,
            images(size=18),
            labels=labels,
            directory=tmp_path / name,
            client=None if name == "alone" else client,
        )
        for name, plan in plans.items()
    }
    losses = {name: [e.loss for e in run.events() if e.name == "step"] for name, run in runs.items()}
    np.testing.assert_allclose(losses["tiles"], losses["alone"], rtol=1e-12)
    start, wanted = lnet.Network(plans["alone"]).params, runs["alone"].network().params
    for name in ("tiles", "replicas"):
        found = runs[name].network().params
        for path, value in wanted.items():
            moved = np.linalg.norm(value - start[path])
            assert np.linalg.norm(found[path] - value) < 1e-11 * moved, (name, path)
