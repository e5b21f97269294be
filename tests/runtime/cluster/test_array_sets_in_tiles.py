"""Arrays and targets on a cluster: each tile reads its own parts, and the numbers are those of one process."""

import numpy as np
import pytest
from processes import cluster

import lnet

pytestmark = pytest.mark.slow

N = 20
RNG = np.random.default_rng(5)
X, Z = 3 * RNG.normal(size=(N, 7, 6, 2)) + 5, RNG.normal(size=(N, 5, 4, 3))
K = np.arange(N) % 4
FILE = """
network n {
    image: input(7x6x2)
    f:     local(3, 3, bias = true, act = tanh)
    z:     target(5x4x3)
    k:     dense(4)
    a:     cosine_error(f, target = z)
    b:     cross_entropy(k)
}

train {
    data = arrays("set.npz", labels = "k", targets = "there", normalize = dataset); batch = 5; steps = 6
    update = sgd(rate = 0.1); staleness = 0; checkpoint = 3
}
"""


def test_tiles_train_on_their_parts_of_arrays_as_one_process_does(tmp_path):
    np.savez(tmp_path / "set.npz", x=X, k=K, there=Z)
    (tmp_path / "n.lnet").write_text(FILE)
    plan = lnet.compile(tmp_path / "n.lnet", workers=2)
    alone = lnet.train(plan, directory=tmp_path / "alone")
    given = lnet.Arrays(X, labels=K, targets=Z)
    with cluster(2) as client:
        spread = lnet.train(plan, directory=tmp_path / "spread", client=client)
        lnet.train(plan, data=given, directory=tmp_path / "given", client=client, steps=3)
        resumed = lnet.resume(tmp_path / "given", client=client, steps=6)
    expected = [event.loss for event in alone.events() if event.name == "step"]
    for run in (spread, resumed):
        np.testing.assert_allclose([e.loss for e in run.events() if e.name == "step"], expected, rtol=1e-5)
        for name, value in alone.network().params.items():
            np.testing.assert_allclose(run.network().params[name], value, rtol=1e-4, atol=1e-6)
    assert not [event for event in resumed.events() if event.name == "warning"]
    assert [event.settings for event in resumed.events() if event.name == "settings"] == [
        {"steps": ("3", "6")}
    ]
