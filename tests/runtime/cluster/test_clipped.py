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
    return PROGRAM.replace(rule, f"{RULE}; {settings}")


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
