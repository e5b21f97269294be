"""A probe on a cluster and in one process: the same figures, to the last bit."""

import numpy as np
import pytest
from PIL import Image
from processes import cluster

import lnet
from lnet.runtime.engine.network import initial_params
from lnet.runtime.store.checkpoint import Checkpoint
from lnet.runtime.store.run import create_run

TEXT = """network eyes { image: input(6x6x1); filter: local(3, maps = 2) }
train { data = frames("train"); batch = 4 }
"""


@pytest.fixture
def run(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(150):
        folder = tmp_path / "set" / ("face" if number % 3 else "distractor")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (6, 6), dtype=np.uint8)).save(folder / f"{number:03}.png")
    (tmp_path / "set" / "face" / "000.png").write_bytes(b"no image")
    (tmp_path / "train").symlink_to("set/face")
    (tmp_path / "eyes.lnet").write_text(TEXT)
    plan = lnet.compile(tmp_path / "eyes.lnet")
    run = create_run(
        tmp_path / "run", plan, {"base": str(tmp_path), "images": 0, "in_memory": False, "classes": None}, {}
    )
    run.checkpoints.save(Checkpoint(1, lnet.Network(plan).params.arrays, {}))
    return run


@pytest.mark.slow
def test_a_cluster_finds_what_one_process_finds(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the workers were started elsewhere
    alone = lnet.probe("run", "set", "face", templates=5)
    with cluster(2) as client:
        together = lnet.probe("run", "set", "face", templates=5, client=client)
        done = client.run(lambda dask_worker: dask_worker.state.executed_count)
    assert alone.skipped == 1
    assert together == alone
    assert min(done.values()) > 10


NAMED = """network eyes { image: input(6x6x1); filter: local(3, maps = 2, act = relu); class: dense(2); learn: cross_entropy() }
train { data = frames("set", labels = folder); batch = 4 }
"""


@pytest.mark.slow
def test_a_cluster_finds_the_accuracies_at_places_that_one_process_finds(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "named.lnet").write_text(NAMED)
    plan = lnet.compile("named.lnet")
    for name, seed in (("one", 0), ("other", 1)):
        data = {"base": str(tmp_path), "images": 150, "in_memory": False, "classes": ["distractor", "face"]}
        made = create_run(tmp_path / name, plan, data, {})
        made.checkpoints.save(Checkpoint(1, dict(initial_params(plan.graph, seed)), {}))
    alone = lnet.places("one", "set", 3, compare={"other": "other"})
    with cluster(2) as client:
        together = lnet.places("one", "set", 3, compare={"other": "other"}, client=client)
        done = client.run(lambda dask_worker: dask_worker.state.executed_count)
    assert alone.labels == together.labels == {"distractor": 50, "face": 100}
    for one, other in zip(alone.maps, together.maps, strict=True):
        np.testing.assert_array_equal(one.by_label, other.by_label)
        assert one.by_label.std() > 0
    assert together.agreements == alone.agreements
    assert min(done.values()) > 2
