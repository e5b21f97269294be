"""What each stage of the compiler makes of one small program; `UPDATE=1` writes the texts anew."""

import json
from pathlib import Path

import pytest
from commands import lnetc
from pinned import pinned

from lnet.compiler.graph.passes import PASSES

GOLDEN = Path(__file__).parent / "golden"
STAGES = ["ast", "graph", *(f"graph:{each.name}" for each in PASSES), "partition", "schedule", "placement"]


def emit(stage, monkeypatch):
    monkeypatch.chdir(GOLDEN)
    return lnetc("compile", "small.lnet", "--workers", 4, "--emit", stage).stdout


@pytest.mark.parametrize("stage", STAGES)
def test_stage(stage, monkeypatch):
    pinned(GOLDEN / f"small.{stage.replace(':', '-')}.txt", emit(stage, monkeypatch))


def test_plan(monkeypatch):
    data = json.loads(emit("plan", monkeypatch))
    pinned(GOLDEN / "small.plan.json", json.dumps(data, indent=1, sort_keys=True) + "\n")


def test_explanation(monkeypatch):
    monkeypatch.chdir(GOLDEN)
    pinned(GOLDEN / "small.explain.txt", lnetc("explain", "small.lnet", "--workers", 4).stdout)


def test_picture(monkeypatch, tmp_path):
    monkeypatch.chdir(GOLDEN)
    target = tmp_path / "small.svg"
    lnetc("explain", "small.lnet", "--workers", 4, "--svg", target)
    pinned(GOLDEN / "small.svg", target.read_text())


def test_an_unknown_stage_lists_the_known_ones(monkeypatch):
    monkeypatch.chdir(GOLDEN)
    result = lnetc("compile", "small.lnet", "--emit", "llvm", status=1)
    assert "E609: there is no stage 'llvm'" in result.output
    assert "graph:expand_rica" in result.output
