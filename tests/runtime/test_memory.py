"""Memory is asked before a run begins: what there is, what it takes, and what helps."""

import os
import re
import subprocess
import sys

import pytest
from commands import lnetc
from limited import memory_group
from small_run import furnish, plan_of

import lnet
from lnet.compiler.cut.cost import totals
from lnet.compiler.pipeline import compile_text
from lnet.compiler.plan.explain import size_text
from lnet.dsl.diagnostics import LnetError
from lnet.runtime.process import cgroups
from lnet.runtime.process.cgroups import Group
from lnet.runtime.training import memory

LARGE = """
network large { image: input(64x64x3); filter: local(16, maps = 16); pool: l2pool(3); learn: rica() }
train { batch = 4; update = adagrad(rate = 0.01) }
"""
"""59 million parameters."""


@pytest.fixture
def folder(tmp_path):
    return furnish(tmp_path)


def training_bytes(plan):
    return totals(plan.graph, plan.partition).training_bytes


# --- the refusal ------------------------------------------------------------------------------------------------------


def allow(monkeypatch, free):
    monkeypatch.setattr(cgroups, "free", lambda: free)


def test_a_run_that_takes_more_than_there_is_is_refused_before_anything_is_written(folder, monkeypatch):
    plan = plan_of(folder)
    needed = training_bytes(plan)
    assert f"; {size_text(needed)} to train one in one process" in plan.explain()
    allow(monkeypatch, needed - 1)
    error = lnetc("run", folder / "small.lnet", "-d", folder / "a", status=1).stderr
    assert error.startswith(
        f"error E753: to train 'small' in one process takes {size_text(needed)} of memory, and "
    )
    assert "= hint: a batch of 7 would fit: --set train.batch=7" in error
    assert "lnetc run --cluster ADDRESS" in error
    assert "'--force'" in error
    assert not (folder / "a").exists()
    allow(monkeypatch, training_bytes(plan_of(folder, batch=7)))
    lnetc("run", folder / "small.lnet", "-d", folder / "a", "--set", "train.batch=7", "--steps", 1)


def test_forced_it_begins_and_goes_on(folder, monkeypatch):
    allow(monkeypatch, 1000)
    assert (
        "trained: " in lnetc("run", folder / "small.lnet", "-d", folder / "a", "--steps", 1, "--force").stdout
    )
    error = lnetc("resume", folder / "a", "--steps", 2, status=1).stderr
    assert error.startswith("error E753: ")
    assert "train.batch" not in error  # a run keeps its batch
    assert "trained: " in lnetc("resume", folder / "a", "--steps", 2, "--force").stdout
    assert lnet.train(plan_of(folder, steps=1), directory=folder / "b", force=True).checkpoint().step == 1


@pytest.mark.parametrize(
    ("free", "hint"),
    [
        (10, "no batch is small enough: without any images it takes "),
        (None, "not even one image fits: it takes "),
    ],
)
def test_what_a_smaller_batch_would_do(folder, monkeypatch, free, hint):
    plan = plan_of(folder)
    sums = totals(plan.graph, plan.partition)
    allow(monkeypatch, free or sums.training_bytes - sums.batch_bytes + 1)
    with pytest.raises(LnetError, match=hint):
        lnet.train(plan, directory=folder / "a")


def test_on_an_accelerator_its_own_memory_counts(folder, monkeypatch):
    class Device:
        device_kind = "H1"

        def memory_stats(self):
            return {"bytes_limit": 5000, "bytes_in_use": 2000}

    monkeypatch.setattr(memory.jax, "local_devices", lambda: [Device()])
    with pytest.raises(LnetError) as caught:
        lnet.train(plan_of(folder), directory=folder / "a")
    assert "and 3 kB are free" in str(caught.value)
    assert "= note: jax may use 5 kB of H1; the rest is in use" in str(caught.value)


def test_each_of_several_devices_has_all_parameters_and_a_part_of_a_batch(folder):
    plan = plan_of(folder)
    sums = totals(plan.graph, plan.partition)
    lasting = sums.training_bytes - sums.batch_bytes
    for own, needed in ((True, lasting + sums.batch_bytes // 2), (False, 2 * lasting + sums.batch_bytes)):
        assert memory._needed(plan, 2, memory.Memory(0, own, "")) == needed


# --- what there is ----------------------------------------------------------------------------------------------------

COMMAND = """
import os, sys
file, *arguments = sys.argv[1:]
with open(file, "w") as group:
    group.write(str(os.getpid()))
from lnet.cli import main
main(arguments)
"""


@pytest.mark.slow
@pytest.mark.parametrize("nested", [False, True])
def test_a_cgroup_allows_less_than_the_machine_has(tmp_path, nested):
    """A real one, with a limit of its own or in one with a limit."""
    furnish(tmp_path)
    (tmp_path / "large.lnet").write_text(LARGE)
    limit = 700 * 2**20
    with memory_group(limit) as group:
        inner = group.parent / "inner"
        if nested:
            inner.mkdir()
        command = (
            "run",
            tmp_path / "large.lnet",
            "--data",
            tmp_path / "images",
            "-d",
            tmp_path / "a",
            "--steps",
            "1",
        )
        try:
            done = subprocess.run(
                [
                    sys.executable,
                    "-c",
                    COMMAND,
                    (inner if nested else group.parent) / "cgroup.procs",
                    *command,
                ],
                capture_output=True,
                text=True,
                timeout=300,
            )
        finally:
            if nested:
                inner.rmdir()
    assert done.returncode == 1, done.stderr
    figure = training_bytes(compile_text(LARGE))
    assert f"error E753: to train 'large' in one process takes {size_text(figure)} of memory" in done.stderr
    assert f"this process's cgroup is allowed {size_text(limit)} of the machine's" in done.stderr
    assert not (tmp_path / "a").exists()


def files(folder, **contents):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name.replace("__", ".")).write_text(content)
    return folder


def test_version_2_allows_what_the_narrowest_group_around_leaves(tmp_path, monkeypatch):
    outer = files(
        tmp_path,
        memory__max="3000000\n",
        memory__current="2500000\n",
        memory__stat="anon 1\ninactive_file 700000\n",
    )
    inner = files(
        tmp_path / "job", memory__max="max\n", memory__current="10\n", memory__stat="inactive_file 0\n"
    )
    monkeypatch.setattr(cgroups, "groups", lambda: iter([Group(inner, 2), Group(outer, 2)]))
    assert cgroups.limit() == 3_000_000
    assert cgroups.free() == 1_200_000, "files that the system can drop are not in use"


def test_version_1_says_that_there_is_no_limit_by_a_large_number(tmp_path, monkeypatch):
    group = files(
        tmp_path,
        memory__limit_in_bytes="9223372036854771712\n",
        memory__usage_in_bytes="10\n",
        memory__stat="total_inactive_file 0\n",
    )
    monkeypatch.setattr(cgroups, "groups", lambda: iter([Group(group, 1)]))
    assert cgroups.limit() is None
    assert cgroups.free() > 1_000_000


def test_memory_that_others_hold_is_not_free():
    before = cgroups.free()
    held = bytearray(os.urandom(2**20)) * 512
    assert before - cgroups.free() > 0.2 * len(held)


# --- what it takes ----------------------------------------------------------------------------------------------------

MEASURED = """
import sys
import numpy as np
import lnet
from memory import peak
import lnet.runtime.train
plan = lnet.compile("large.lnet")
before = peak()
lnet.train(plan, np.random.default_rng(0).normal(size=(8, 64, 64, 3)).astype(np.float32), steps=2, directory="a", prepared=True)
print(peak() - before)
"""


@pytest.mark.slow
def test_the_figure_is_what_a_process_takes(tmp_path):
    """Compiling takes some more, which is no part of it."""
    (tmp_path / "large.lnet").write_text(LARGE)
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-c", MEASURED],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    (taken,) = re.findall(r"^[\d.]+$", done.stdout, re.MULTILINE)
    figure = training_bytes(compile_text(LARGE)) / 2**20
    print(taken, figure)
    assert 0.7 * figure < float(taken) < 1.2 * figure
