"""Max pools ignore padding; plans and runs of version 0.1, whose pools counted it as zeros, keep theirs."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import reference
from commands import lnetc

import lnet
from lnet.compiler.pipeline import compile_text

OLD = Path(__file__).parents[1] / "compiler" / "golden" / "format-3.json"
"""A plan that version 0.1 wrote."""

POOLS = """network n {
    x: input(5x5x1)
    m: maxpool(3, stride = 2, pad = 1)
    s: maxpool(2, stride = 2, pad = same, of = x)
    one: maxpool(3x1, pad = 1x0, of = x)
    a: avgpool(3, stride = 2, pad = 1, of = x)
    l: l2pool(3, stride = 2, pad = 1, eps = 1e-6, of = x)
    learn: l2()
}
"""


def values(network, images):
    return {path: value[0, :, :, 0] for path, value in network(images).items()}


def test_padding_is_no_value_of_a_max_pool():
    found = values(lnet.Network(compile_text(POOLS)), -np.ones((1, 5, 5, 1), np.float32))
    for path in ("m", "s", "one"):
        assert (found[path] == -1).all(), path
    np.testing.assert_allclose(found["a"][0], [-4 / 9, -6 / 9, -4 / 9], rtol=1e-6)
    np.testing.assert_allclose(found["l"][0] ** 2, [4, 6, 4], rtol=1e-5)


def test_gradients_do_not_go_astray_at_the_border():
    text = "network n { x: input(3x3x1); f: local(1, 1); m: maxpool(3, stride = 2, pad = 1); learn: l2() }"
    network = lnet.Network(compile_text(text))
    network.params["f.weight"] = np.ones_like(network.params["f.weight"])
    image = -np.arange(1.0, 10).reshape(1, 3, 3, 1).astype(np.float32)
    gradient = network.gradients(image)["f.weight"][..., 0, 0, 0, 0]
    assert np.isfinite(gradient).all()
    largest = {(0, 0): -1, (0, 1): -2, (1, 0): -4, (1, 1): -5}  # of the four corners' windows
    for place in np.ndindex(3, 3):
        assert gradient[place] == pytest.approx(2 * largest.get(place, 0) ** 2), place


def check_old(graph):
    assert graph.layer("m").op.zeros
    network = lnet.Network(lnet.load_plan(OLD))
    images = -np.ones((1, 5, 7, 1), np.float32)
    network.params["f.weight"] = abs(network.params["f.weight"])
    found = network(images)["m"]
    assert (found[0, 0] == 0).all(), "padding counts"
    assert (found[0, 1, 1] < 0).all()
    np.testing.assert_allclose(found, reference.values(graph, network.params, images)["m"], atol=1e-6)


def test_an_old_plan_keeps_its_pooling(tmp_path):
    assert json.loads(OLD.read_text())["lnet plan"] == 3
    plan = lnet.load_plan(OLD)
    check_old(plan.graph)
    plan.save(tmp_path / "again.plan")
    assert lnet.load_plan(tmp_path / "again.plan") == plan
    assert not compile_text(plan.source_text).graph.layer("m").op.zeros


def test_an_old_plan_that_is_damaged_is_refused():
    text = OLD.read_text().replace('"weight": 1.0', '"weight": 2.0')
    with pytest.raises(lnet.LnetError, match="its digest does not match"):
        lnet.compiler.plan.plan.plan_from_json(text)


def test_an_old_run_keeps_its_pooling(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(OLD, "old.plan")
    np.save("images.npy", np.random.default_rng(0).random((8, 5, 7, 1)))
    result = lnetc(
        "run", "old.plan", "--data", "images.npy", "--steps", 2, "-d", "a", "--set", "train.batch=4"
    )
    assert "W608" not in result.output, "what it computes has not changed"
    run = lnet.open_run("a")
    assert run.plan.graph.training.batch == 4
    check_old(run.plan.graph)
    Path("a/plan.json").write_text(OLD.read_text())
    check_old(lnet.open_run("a").plan.graph)
    assert lnet.open_run("a").network()(np.zeros((1, 5, 7, 1)))["m"].shape == (1, 3, 4, 2)


def test_files_as_old_as_that_are_warned(tmp_path):
    file = tmp_path / "n.lnet"
    file.write_text("lnet 1\n" + POOLS)
    for command in (["check", file], ["explain", file], ["compile", file, "-o", tmp_path / "n.plan"]):
        output = lnetc(*command).output
        assert output.count("W608") == 3
        assert all(f"'{name}' may have other values" in output for name in ("m", "s", "one"))
    file.write_text(POOLS)
    assert "W608" not in lnetc("check", file).output
