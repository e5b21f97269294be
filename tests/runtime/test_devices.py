"""Several devices that divide each batch compute what one does; JAX takes a processor for four of them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from commands import lnetc

import lnet

PROGRAM = Path(__file__).parent / "divided.py"


def divided(*arguments):
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"
    env = os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, PROGRAM, *arguments], env=env, capture_output=True, text=True)
    assert done.stdout.endswith("done\n"), done.stderr


def test_every_kind_trains_as_on_one_device():
    """Batch statistics and contrasts are over the whole batch, random numbers those of the samples."""
    divided("kinds")


def test_a_run_is_the_same_on_one_device_four_and_two(tmp_path):
    divided("runs", tmp_path)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "n.lnet"
    path.write_text(
        'network n { image: input(4x4x1); f: local(2, 2); q: l2() } train { data = frames("x"); batch = 9 }'
    )
    return path


def test_devices_that_there_are_not_are_refused(file):
    with pytest.raises(lnet.LnetError, match="2 devices are asked for, and JAX has 1 here: cpu") as error:
        lnet.train(lnet.compile(file), devices=2)
    assert str(error.value).startswith("error E796")
    assert "pip install 'jax[cuda12]'" in str(error.value)


@pytest.mark.parametrize("count", [0, -1, 2.0, "2", None])
def test_what_is_no_number_of_devices_is_refused(file, count):
    said = f"E796: the number of devices must be a positive integer, found {count!r}"
    with pytest.raises(lnet.LnetError, match=said):
        lnet.train(lnet.compile(file), devices=count)


def test_a_batch_that_they_cannot_divide_is_refused(file, monkeypatch):
    monkeypatch.setattr("jax.local_devices", lambda: [type("Device", (), {"device_kind": "gpu"})()] * 4)
    with pytest.raises(lnet.LnetError, match="9 rows of a batch cannot be divided equally among 4") as error:
        lnet.train(lnet.compile(file), devices=4)
    assert "train.batch=8" in str(error.value)


def test_devices_are_of_one_process(file):
    """Said before any worker is asked."""
    found = lnetc("run", file, "--devices", 2, "--cluster", "tcp://127.0.0.1:9", status=2)
    assert "'--devices' divides the batches of one process" in found.output
