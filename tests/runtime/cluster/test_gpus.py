"""Which GPU each worker of this machine's own cluster computes on; a folder stands for the driver's."""

import os

import pytest
from processes import plan_of

from lnet.runtime.cluster.transport.connect import LOCAL, connected
from lnet.runtime.process import gpus


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """Let there be so many GPUs."""
    monkeypatch.delenv(gpus.VISIBLE, raising=False)
    monkeypatch.setattr(gpus, "DRIVER", tmp_path / "gpus")

    def there(count):
        for number in range(count):
            (tmp_path / "gpus" / f"0000:{number:02}:00.0").mkdir(parents=True)

    return there


def test_processes_take_gpus_by_turns_and_share_their_memory(driver, monkeypatch):
    assert gpus.environments(2) == [{}, {}]
    driver(2)
    found = [(each[gpus.VISIBLE], float(each[gpus.SHARE])) for each in gpus.environments(3)]
    assert found == [("0", 0.375), ("1", 0.75), ("0", 0.375)]
    monkeypatch.setenv(gpus.SHARE, "0.9")
    assert [each[gpus.SHARE] for each in gpus.environments(2)] == ["0.9000", "0.9000"]
    monkeypatch.setenv(gpus.VISIBLE, " 5, GPU-7,")
    assert [each[gpus.VISIBLE] for each in gpus.environments(3)] == ["5", "GPU-7", "5"]
    monkeypatch.setenv(gpus.VISIBLE, "")
    assert gpus.environments(1) == [{}]


def test_each_worker_is_told_its_own(monkeypatch):
    monkeypatch.setenv(gpus.VISIBLE, "5,GPU-7")
    monkeypatch.setenv(gpus.BEFOREHAND, "")  # what it is set to is taken back afterwards
    monkeypatch.delenv(gpus.BEFOREHAND)
    with connected(LOCAL, plan_of(workers=2, replicas=2)) as client:
        found = client.run(lambda: (os.environ[gpus.VISIBLE], os.environ[gpus.BEFOREHAND]))
    assert sorted(found.values()) == [("5", "true"), ("GPU-7", "true")]
    assert os.environ[gpus.BEFOREHAND] == "false", "the command leaves them the memory"
