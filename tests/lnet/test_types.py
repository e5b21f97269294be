"""What type checkers know of the public names."""

import inspect
import subprocess
import sys
from functools import cached_property
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import distributed
import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

import lnet
from docs.api import members_of

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
assert_type(images, NDArray[np.floating])
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


def has_any(hint):
    """Whether a type says nothing somewhere; what numpy leaves open itself is as it must be."""
    if hint in (Any, dict, list, tuple, set, frozenset):
        return True
    args = get_args(hint)
    if get_origin(hint) is np.ndarray:
        args = args[1:]
    return any(has_any(arg) for arg in args if arg not in get_args(ArrayLike))


def typed():
    """Yield the public functions and classes, and their public members, by name."""
    for name in lnet.__all__:
        found = getattr(lnet, name)
        yield name, found
        for member, value in members_of(found) if inspect.isclass(found) else ():
            yield f"{name}.{member}", value


def function_of(value):
    if isinstance(value, property):
        return value.fget
    return value.func if isinstance(value, cached_property) else value


@pytest.mark.parametrize(("name", "value"), [*typed()])
def test_no_public_type_is_left_open(name, value):
    names = {"Client": distributed.Client}  # imported for type checkers alone
    hints = get_type_hints(function_of(value), localns=names)
    assert inspect.isclass(value) or "return" in hints
    assert not [which for which, hint in hints.items() if not which.startswith("_") and has_any(hint)]


def test_what_an_open_type_is():
    assert has_any(dict[str, Any])
    assert has_any(tuple[dict, int])
    assert has_any(NDArray[Any])
    assert not has_any(NDArray[np.float32] | ArrayLike | None)


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
