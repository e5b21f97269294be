"""What type checkers know of the public names."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PROGRAM = """
from collections.abc import Mapping
from typing import assert_type

import numpy as np
from numpy.typing import NDArray

import lnet

plan = lnet.compile("model.lnet", set={"train.steps": 300})
assert_type(plan, lnet.Plan)
assert_type([(worker.name, worker.tiles[0].replica, worker.memory) for worker in plan.workers], list[tuple[str, int, int]])
run = lnet.train(plan, np.zeros((12, 9, 9, 1), np.float32), directory="runs/a")
assert_type(run, lnet.Run)
assert_type(run.info["data"]["images"], int)
assert_type(run.info["versions"], Mapping[str, str])
net = lnet.open_run("runs/a").network()
images = lnet.prepare(np.zeros((1, 20, 20, 3), np.uint8), net)
assert_type(images, NDArray[np.float32])
assert_type(net(images)["V1.filter"], NDArray[np.floating])
assert_type(net.params["V1.filter.weight"], NDArray[np.floating])
assert_type(net.loss(images), float)
assert_type([row.name for row in lnet.probe(run, "faces.tar", "face").rows], list[str])
try:
    lnet.resume("runs/a")
except lnet.Interrupted as stopped:
    assert_type(stopped.step, int | None)
except lnet.LnetError as error:
    assert_type(error.diagnostics, tuple[lnet.Diagnostic, ...])
"""


def checked(program, folder):
    """Return what strict mypy says of a program that uses the package as it is here."""
    (folder / "program.py").write_text(program)
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), "--strict"]
    command.append(str(folder / "program.py"))
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout


@pytest.mark.slow
def test_a_program_is_checked(tmp_path):
    assert checked(PROGRAM, tmp_path).startswith("Success")
    found = checked(PROGRAM + "lnet.trian(plan)\nlnet.train('model.lnet')\n", tmp_path)
    assert 'no attribute "trian"' in found
    assert 'Argument 1 to "train" has incompatible type "str"' in found
