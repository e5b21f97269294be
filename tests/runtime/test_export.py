"""What other programs get of a network: arrays with named axes, and a program that runs where lnet is not."""

import json
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from jax import export as jax_export
from safetensors import safe_open

import lnet
from lnet.runtime.analysis.export import parameters
from lnet.runtime.data import Batch
from lnet.runtime.data.inputs import Inputs

TEXT = """stage sense(maps) { filter: local(3, maps, bias = true); pool: l2pool(2); norm: lcn(3); learn: rica() }
network n {
    image: input(11x10x3)
    V1: sense(3)
    V2: sense(2)
    flat: local(2, 2, share = all)
    out: dense(4)
    q: l2(out)
}
"""


@pytest.fixture(scope="module")
def net():
    return lnet.Network(lnet.compile(lnet.parse(TEXT)))


def images(count):
    return np.random.default_rng(0).normal(size=(count, 11, 10, 3)).astype(np.float32)


def batches(count, size=4):
    pixels, names = images(count), [f"é{n}.png" for n in range(count)]
    return [Batch(pixels[i : i + size], None, tuple(names[i : i + size])) for i in range(0, count, size)]


def test_every_parameter_has_named_axes(net):
    found = parameters(net)
    assert set(found) == set(net.params)
    for name, named in found.items():
        assert len(named.axes) == named.array.ndim == len(set(named.axes)), name
    assert found["V1.filter.weight"].axes == (
        "row",
        "column",
        "field row",
        "field column",
        "input map",
        "map",
    )


def test_npz(net, tmp_path):
    lnet.export(net, tmp_path / "a.npz", batches(10))
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        for name, value in net.params.items():
            np.testing.assert_array_equal(file[name], value)
        assert file["V1.filter.bias.axes"].tolist() == ["row", "column", "map"]
        assert file["activations/V2.norm.axes"].tolist() == ["image", "row", "column", "map"]
        assert file["activations/names"].tolist() == [f"é{n}.png" for n in range(10)]
        for path, value in net(images(10)).items():
            np.testing.assert_allclose(file[f"activations/{path}"], value, rtol=1e-4, atol=1e-5)
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_safetensors(net, tmp_path):
    lnet.export(net, tmp_path / "a.safetensors", batches(10), layers=["V1", "out"])
    with safe_open(tmp_path / "a.safetensors", framework="numpy") as file:
        activations = {"activations/V1.norm", "activations/out"}
        assert set(file.keys()) == set(net.params) | activations
        for name, value in net.params.items():
            np.testing.assert_array_equal(file.get_tensor(name), value)
        expected = net(images(10))["V1.norm"]
        np.testing.assert_allclose(file.get_tensor("activations/V1.norm"), expected, rtol=1e-4, atol=1e-5)
        metadata = file.metadata()
    assert json.loads(metadata["out.weight.axes"]) == ["input", "unit"]
    assert json.loads(metadata["activations/names"])[9] == "é9.png"
    assert set(metadata) == {f"{n}.axes" for n in {*net.params, *activations}} | {"activations/names"}


def test_an_array_is_taken_as_the_network_takes_it(net, tmp_path):
    lnet.export(net, tmp_path / "a.npz", images(60), layers=["out"])
    with np.load(tmp_path / "a.npz") as file:
        assert file["activations/names"].tolist() == [f"[{n}]" for n in range(60)]
        np.testing.assert_allclose(file["activations/out"], net(images(60))["out"], rtol=1e-4, atol=1e-5)
    mistakes = ((images(3)[0], "E716: expected images"), (images(0), "E716"), ([images(3)], "found ndarray"))
    for wrong, message in mistakes:
        with pytest.raises(lnet.LnetError, match=message):
            lnet.export(net, tmp_path / "b.npz", wrong)
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_what_a_network_was_trained_on_goes_with_it(net, tmp_path):
    trained = lnet.Network(net.plan, dict(net.params), Inputs(0.25, 1.5))
    lnet.export(trained, tmp_path / "a.npz")
    lnet.export(trained, tmp_path / "a.safetensors")
    with np.load(tmp_path / "a.npz") as file:
        assert (file["inputs/mean"], file["inputs/deviation"]) == (0.25, 1.5)
    with safe_open(tmp_path / "a.safetensors", framework="numpy") as file:
        assert json.loads(file.metadata()["inputs/deviation"]) == 1.5


def test_weights_alone(net, tmp_path):
    lnet.export(net, tmp_path / "a.npz")
    names = {name.removesuffix(".npy") for name in zipfile.ZipFile(tmp_path / "a.npz").namelist()}
    assert names == set(net.params) | {f"{name}.axes" for name in net.params}


@pytest.mark.parametrize(
    ("file", "layers", "code"), [("a.h5", (), "E782"), ("a.npz", ("V3",), "E720"), ("no/a.npz", (), "E608")]
)
def test_what_cannot_be_exported(net, tmp_path, file, layers, code):
    with pytest.raises(lnet.LnetError) as caught:
        lnet.export(net, tmp_path / file, None, layers)
    assert caught.value.diagnostics[0].code == code
    assert not list(tmp_path.iterdir())


def test_a_program_that_cannot_be_written(net, tmp_path):
    with pytest.raises(lnet.LnetError, match="E608"):
        lnet.export_program(net, tmp_path / "no" / "a.stablehlo")


ELSEWHERE = """
import sys
sys.modules["lnet"] = None
import numpy as np
from jax import export
with np.load("weights.npz", allow_pickle=False) as file:
    weights = {name: file[name] for name in file if not name.endswith(".axes")}
program = export.deserialize(open("program.stablehlo", "rb").read())
for count in (1, 5):
    images = np.load(f"{count}.npy")
    np.savez(f"{count}.npz", **program.call(weights, images))
print(*program.platforms, program.in_avals[-1].shape[0])
try:
    import lnet
except ImportError:
    print("without lnet")
"""


def test_a_program_runs_where_lnet_is_not(net, tmp_path):
    lnet.export(net, tmp_path / "weights.npz")
    lnet.export_program(net, tmp_path / "program.stablehlo")
    for count in (1, 5):
        np.save(tmp_path / f"{count}.npy", images(count))
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "cpu cuda batch\nwithout lnet\n"
    for count in (1, 5):
        expected = net(images(count))
        with np.load(tmp_path / f"{count}.npz") as found:
            assert set(found) == set(expected)
            for path, value in expected.items():
                np.testing.assert_allclose(found[path], value, rtol=1e-4, atol=1e-5, err_msg=path)


def test_a_program_knows_its_arguments(net, tmp_path):
    lnet.export_program(net, tmp_path / "a.stablehlo")
    program = jax_export.deserialize(bytearray((tmp_path / "a.stablehlo").read_bytes()))
    assert "stablehlo" in program.mlir_module()
    with pytest.raises(ValueError):
        program.call(dict(net.params), images(2)[:, :5])


def test_layers_without_images_are_refused(net, tmp_path):
    with pytest.raises(lnet.LnetError, match="E516"):
        lnet.export(net, tmp_path / "n.npz", layers=["out"])
    assert not (tmp_path / "n.npz").exists()
