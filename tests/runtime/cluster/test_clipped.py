"""Clipping and accumulating on real worker processes: the numbers of one process."""

import numpy as np
import pytest
from processes import PROGRAM, cluster, images, plan_of

import lnet

pytestmark = pytest.mark.slow
RULE = "update = sgd(0.3, momentum = 0.9, rise = 3, schedule = steps([8], factor = 0.5))"


@pytest.fixture(scope="module")
def client():
    with cluster(3) as running:
        yield running


def program(settings):
    """The program of other tests with more settings, and a rule whose steps are as large as the gradients."""
    assert "update = " in PROGRAM
    rule = PROGRAM[PROGRAM.index("update = ") :].splitlines()[0].partition(";")[0]
    return PROGRAM.replace(rule, settings if "update" in settings else f"{RULE}; {settings}")


def trained(place, settings, client=None, **asked):
    plan = plan_of(program=program(settings), **{"steps": 10, **asked})
    return lnet.train(plan, images(), directory=place, client=client)


def compare(found, expected):
    begun = lnet.Network(expected.plan).params
    found, wanted = found.network().params, expected.network().params
    for name, value in wanted.items():
        moved = np.linalg.norm(value - begun[name])
        assert moved > 0
        assert np.linalg.norm(found[name] - value) < 1e-3 * moved, name


@pytest.mark.parametrize("clip", ["0.01", "each(0.01)"])
def test_tiles_clip_and_accumulate_as_one_process_does(tmp_path, client, clip):
    settings = f"clip = {clip}; accumulate = 2"
    alone = trained(tmp_path / "alone", settings, workers=1)
    spread = trained(tmp_path / "spread", settings, client, workers=3)
    compare(spread, alone)
    steps = [[e for e in run.events() if e.name == "step"] for run in (spread, alone)]
    np.testing.assert_allclose([e.loss for e in steps[0]], [e.loss for e in steps[1]], rtol=1e-4)
    assert [e.images for e in steps[0]] == [e.images for e in steps[1]]


@pytest.mark.parametrize("clip", ["0.01", "each(0.01)"])
def test_synchronous_replicas_clip_the_mean_of_all_their_gradients(tmp_path, client, clip):
    settings = f"clip = {clip}"
    alone = trained(tmp_path / "alone", settings, workers=1, batch=8)
    replicas = trained(
        tmp_path / "replicas", settings, client, workers=2, replicas=2, staleness=0, shards_per_tile=2
    )
    compare(replicas, alone)


def test_a_replica_that_pushes_and_fetches_seldom_clips_what_it_pushes(tmp_path, client):
    """Each of its steps is at most as long as the rate times the norm: its own between fetches, and those of the server."""
    settings = "fetch = 2; push = 2; clip = 0.01; update = sgd(1.0)"
    run = trained(tmp_path / "run", settings, client, workers=2, steps=8)
    begun, found = lnet.Network(run.plan).params, run.network().params
    moved = sum(np.sum((found[name] - begun[name]) ** 2) for name in begun) ** 0.5
    assert 0.5 * 4 * 0.01 < moved < 1.001 * 4 * 0.01
