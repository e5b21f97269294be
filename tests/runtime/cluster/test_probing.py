"""A probe on a cluster and in one process: the same figures, to the last bit."""

import numpy as np
import pytest
from PIL import Image
from processes import cluster

import lnet
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
