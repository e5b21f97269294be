"""Graphs of ONNX, run by onnxruntime: the values of networks, and what stands in the files."""

import json
import sys

import numpy as np
import pytest
import reference
from exported import (
    assert_alike,
    drawn,
    maps_first,
    maps_last,
    mish,
    pooled_with_zeros,
    session,
    values_in_onnx,
)
from generated_networks import every_argument, networks
from hypothesis import HealthCheck, Phase, given, settings
from plugged import no_plugins

import lnet
from lnet.compiler.ops import LAYER_KINDS
from lnet.compiler.pipeline import compile_text
from lnet.compiler.settings import DatasetFigures
from lnet.runtime.export import onnx_file
from lnet.runtime.training.start import normalized_by

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
TEXT = """
stage s(maps) { f: local(3, maps, bias = true, act = relu); drop: dropout(0.5); n: batchnorm() }
network n { image: input(9x8x2); area[2]: s(3); y: decode(area[1].f, area[1].f, tied = true); out: dense(4); q: l2() }
"""


@pytest.mark.parametrize("kind", [kind for kind in LAYER_KINDS if kind not in ("input", "target")])
def test_a_kind_with_every_argument(kind, tmp_path):
    network, images = drawn(every_argument(kind))
    expected = reference.values(network.graph, network.params, images)
    found = values_in_onnx(network, images, tmp_path)
    assert list(found) == [layer.path for layer in network.graph.visible[1:]]
    assert_alike(found, {path: expected[path] for path in found})


@settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
@given(networks())
def test_random_networks(tmp_path_factory, text):
    network, images = drawn(text)
    if len(network.graph.visible) > 1:  # onnxruntime wants an output
        found, expected = values_in_onnx(network, images, tmp_path_factory.mktemp("a")), network(images)
        assert_alike(found, {path: expected[path] for path in found})


def test_a_pool_whose_padding_counts_as_zeros(tmp_path):
    network, images = pooled_with_zeros()
    found = values_in_onnx(network, images, tmp_path)
    assert not found["x"][:, 0].any()
    assert_alike(found, {"x": network(images)["x"]})


def test_a_network_in_float64_is_written_in_float32(tmp_path):
    network, images = drawn(f"{TEXT} train {{ precision = float64 }}")
    found, expected = values_in_onnx(network, images, tmp_path), network(images)
    assert found["out"].dtype == np.float32
    assert_alike(found, {path: expected[path] for path in found})


@pytest.fixture(scope="module")
def made():
    network, images = drawn(TEXT)
    return network, images, network(images)


def test_a_file_says_what_it_is(made, tmp_path):
    network, *_ = made
    lnet.export_onnx(network, tmp_path / "n.onnx")
    model = onnx.load(tmp_path / "n.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert model.graph.name == "n"
    assert {entry.key: entry.value for entry in model.metadata_props} == {"normalize": "image"}
    weights = [tensor.name for tensor in model.graph.initializer if tensor.name in network.params]
    assert "y.weight" not in network.params
    assert sorted(weights) == sorted(network.params), "a tied decoder has none of its own"
    shapes = {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert shapes["image"] == ["batch", 2, 9, 8]
    assert shapes["area[1].f"] == ["batch", 3, 5, 4]
    lnet.export_onnx(network, tmp_path / "again.onnx")
    assert (tmp_path / "n.onnx").read_bytes() == (tmp_path / "again.onnx").read_bytes()


def test_any_batch_or_a_fixed_one(made, tmp_path):
    network, images, expected = made
    lnet.export_onnx(network, tmp_path / "any.onnx")
    running = session(tmp_path / "any.onnx")
    for count in (1, 3):
        (found,) = running.run(["out"], {"image": maps_first(images[:count])})
        assert_alike({"out": maps_last(found)}, {"out": expected["out"][:count]})
    lnet.export_onnx(network, tmp_path / "three.onnx", batch=3)
    fixed = session(tmp_path / "three.onnx")
    assert fixed.get_inputs()[0].shape == [3, 2, 9, 8]
    (found,) = fixed.run(["out"], {"image": maps_first(images)})
    assert_alike({"out": maps_last(found)}, {"out": expected["out"]})
    for wrong in (0, -1):
        with pytest.raises(lnet.LnetError, match="E716: expected a batch of 1 image or more, found"):
            lnet.export_onnx(network, tmp_path / "none.onnx", batch=wrong)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["any.onnx", "three.onnx"]


def test_arrays_beyond_two_gigabytes_stand_in_a_file_beside(made, tmp_path, monkeypatch):
    network, images, expected = made
    monkeypatch.setattr(onnx_file, "MOST", 1000)
    found = values_in_onnx(network, images, tmp_path)
    assert_alike(found, {path: expected[path] for path in found})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.onnx", "net.onnx.data"]
    onnx.checker.check_model(str(tmp_path / "net.onnx"), full_check=True)
    model = onnx.load(tmp_path / "net.onnx", load_external_data=False)
    within = [tensor.name for tensor in model.graph.initializer if tensor.raw_data]
    assert within
    assert not set(within) & set(network.params)


def test_figures_of_a_data_set_are_in_the_file(made, tmp_path):
    data = 'train { data = frames("images", normalize = dataset) }'
    plan = compile_text(f"network n {{ image: input(9x8x2); f: local(3, 2); q: l2() }} {data}")
    lnet.export_onnx(
        lnet.Network(normalized_by(plan, DatasetFigures((0.25, 0.5), (2.0, 3.0)))), tmp_path / "n.onnx"
    )
    entries = {entry.key: entry.value for entry in onnx.load(tmp_path / "n.onnx").metadata_props}
    assert json.loads(entries["normalize/mean"]) == [0.25, 0.5]
    assert json.loads(entries["normalize/deviation"]) == [2, 3]


@pytest.mark.parametrize("name", ["n.onnx", "n.py"])
def test_a_network_that_computes_nothing_is_not_written(name, tmp_path):
    net = lnet.Network(compile_text("network n { image: input(4x4x1) }"))
    export = lnet.export_onnx if name.endswith("onnx") else lnet.export_torch
    with pytest.raises(lnet.LnetError, match="E789: the network 'n' has no layer but its input"):
        export(net, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written(made, tmp_path, monkeypatch):
    network, *_ = made
    with pytest.raises(lnet.LnetError, match=r"E782: expected a file that ends in '.onnx', found 'a.pb'"):
        lnet.export_onnx(network, tmp_path / "a.pb")
    with pytest.raises(lnet.LnetError, match="E608"):
        lnet.export_onnx(network, tmp_path / "no" / "a.onnx")
    with no_plugins():
        mish()
        for line in ("x: mish()", "x: local(3, 2, act = mish)"):
            own = lnet.Network(compile_text(f"network n {{ image: input(5x5x1); {line}; q: l2() }}"))
            with pytest.raises(
                lnet.LnetError, match="E789: the layer 'x' cannot be written for ONNX: its 'mish'"
            ):
                lnet.export_onnx(own, tmp_path / "a.onnx")
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.setitem(sys.modules, "onnx.helper", None)
    with pytest.raises(lnet.LnetError, match=r"E787: writing ONNX needs 'onnx'(.|\n)*lnetc\[onnx\]"):
        lnet.export_onnx(network, tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())
