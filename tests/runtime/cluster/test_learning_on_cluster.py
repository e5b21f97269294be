"""Filters of length 1, speeds, norms of weights and changing weights on worker processes: as in one process."""

import numpy as np
import pytest
from processes import cluster, images, plan_of

import lnet

pytestmark = pytest.mark.slow

PROGRAM = """
network small {
    image:  input(16x16x1)
    filter: local(5, 3, bias = true, init = he_uniform, constrain = unit, speed = 0.5, bias_speed = 2)
    shared: local(3, 2, share = all, constrain = unit, of = filter)
    pool:   l2pool(3)
    still:  local(3, 2, speed = 0, of = pool)
    top:    dense(4)
    learn:  rica(encode = filter, pool = pool, weight = between(0.1, 1, 2, 6))
    small:  weight_l2([filter, still, top], weight = 0.01)
    task:   l2(of = top)
}
train { batch = %d; steps = %d; replicas = %d; staleness = %s; update = adagrad(rate = 0.02); seed = 3 }
"""


def lengths(weight):
    return np.sqrt((np.asarray(weight, float) ** 2).sum((2, 3, 4)))


def test_tiles_and_replicas_on_worker_processes_learn_as_one_process_does(tmp_path):
    alone = lnet.train(
        plan_of(workers=1, batch=4, steps=8, program=PROGRAM), images(), directory=tmp_path / "alone"
    )
    with cluster(2) as client:
        runs = [
            lnet.train(plan, images(), directory=tmp_path / name, client=client)
            for name, plan in {
                "tiles": plan_of(workers=2, batch=4, steps=8, program=PROGRAM),
                "replicas": plan_of(
                    workers=2, batch=2, steps=8, replicas=2, staleness=0, shards_per_tile=2, program=PROGRAM
                ),
            }.items()
        ]
    begin, wanted = lnet.Network(alone.plan).params, alone.network().params
    expected = [event.loss for event in alone.events() if event.name == "step"]
    for run in runs:
        found = run.network().params
        for name, value in wanted.items():
            np.testing.assert_allclose(found[name], value, rtol=1e-3, atol=1e-5, err_msg=name)
            assert (value == begin[name]).all() == name.startswith("still.")
        for name in ("filter.weight", "shared.weight"):
            np.testing.assert_allclose(lengths(found[name]), 1, atol=1e-6)
    losses = [event.loss for event in runs[0].events() if event.name == "step"]
    np.testing.assert_allclose(losses, expected, rtol=1e-3)
