"""Programs for PyTorch: that they are written well, everywhere; what they compute, where torch is installed.

`make frameworks` installs it; CI does not.
"""

import copy
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import reference
from exported import (
    assert_alike,
    drawn,
    maps_first,
    maps_last,
    mish,
    module_at,
    pooled_with_zeros,
    values_in_torch,
)
from generated_networks import every_argument, networks
from hypothesis import HealthCheck, Phase, given, settings
from PIL import Image
from plugged import no_plugins
from safetensors.numpy import load_file

import lnet
from lnet.compiler.ops import LAYER_KINDS
from lnet.compiler.pipeline import compile_text
from lnet.compiler.settings import DatasetFigures
from lnet.runtime.export import source
from lnet.runtime.export.names import TAKEN
from lnet.runtime.training.start import normalized_by

ROOT = Path(__file__).parents[2]
MADE = [kind for kind in LAYER_KINDS if kind not in ("input", "target")]
TEXT = """
stage s(maps) { f: local(3, maps, bias = true, act = relu); drop: dropout(0.5); n: batchnorm() }
network n {
    image: input(9x8x2); area[2]: s(3); y: decode(area[1].f, area[1].f, tied = true); half: concat([y, area[0].n])
    in: lcn(3); in_: abs(of = half); _x: tanh(); out: dense(4); q: l2()
    g: local(3, 2, of = image); pool: l2pool(2); learn: rica()
}
"""


# --- without torch ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """A folder with the program of a network for each kind, with all of its arguments, and one of several."""
    folder = tmp_path_factory.mktemp("programs")
    for name, text in {**{kind: every_argument(kind) for kind in MADE}, "several": TEXT}.items():
        lnet.export_torch(drawn(text)[0], folder / f"{name}.py")
    return folder


def test_programs_compile_and_are_formatted(programs):
    pytest.importorskip("ruff")
    for path in programs.glob("*.py"):
        compile(path.read_text(), path.name, "exec")
    for command in (["check"], ["format", "--check"]):
        config = ["--config", str(ROOT / "pyproject.toml")]
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, *config, str(programs)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout


def test_a_program_has_what_its_network_uses_and_no_more(tmp_path):
    lnet.export_torch(drawn("network n { image: input(5x5x1); x: tanh(); q: l2() }")[0], tmp_path / "n.py")
    text = (tmp_path / "n.py").read_text()
    assert re.findall(r"^(?:class|def) (\w+)", text, re.MULTILINE) == [
        "covering", "unit_range", "by_image", "Network", "load", "save", "prepare", "transform",
    ]  # fmt: skip
    assert "import lnet" not in text
    assert "from lnet" not in text
    assert 'values["x"] = self.x(values["image"])  # 5x5x1' in text


def test_nothing_in_a_program_is_unused(programs):
    for path in programs.glob("*.py"):
        text = path.read_text()
        defined = set(re.findall(r"^(?:class |def |)(\w+)(?: = |\(|:)", text, re.MULTILINE))
        assert {"Network", "load", "WEIGHTS"} < defined
        used = {name for name in defined if len(re.findall(rf"\b{name}\b(?!=)", text)) > 1}
        assert defined - used <= {"load", "save", "prepare", "transform"}, path.name


def test_every_class_is_written_for_some_kind(programs):
    texts = [path.read_text() for path in programs.glob("*.py")]
    used = {name for text in texts for name in re.findall(r"^class (\w+)", text, re.MULTILINE)}
    classes = {name for name, found in source.library()[0].items() if found.text.startswith("class ")}
    assert classes - used == {"MaxPoolOfZeros"}, "of plans of version 0.1"


def test_names_are_those_of_lnet_as_far_as_python_has_them(tmp_path):
    network, _ = drawn(TEXT)
    lnet.export_torch(network, tmp_path / "n.py")
    weights = load_file(tmp_path / "n.safetensors")
    assert set(weights) == {
        *(f"area.{n}.{role}" for n in (0, 1) for role in ("f.weight", "f.bias", "n.scale", "n.shift", "n.mean", "n.variance")),
        "out.weight", "out.bias", "g.weight",
    }  # fmt: skip
    np.testing.assert_array_equal(weights["area.1.f.weight"], network.params["area[1].f.weight"])
    text = (tmp_path / "n.py").read_text()
    for line in (
        'values["area[1].n"] = self.area[1].n(values["area[1].drop"])',
        'values["y"] = self.y(values["area[1].f"], weight=self.area[1].f.weight)',
        'values["half"] = self.half_(values["y"], values["area[0].n"])',
        'values["in"] = self.in__(values["half"])',
        'values["in_"] = self.in_(values["half"])',
        'values["_x"] = self.layer_x(values["in_"])',
    ):
        assert line in text


def test_a_program_is_written_the_same_again(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        lnet.export_torch(drawn(TEXT)[0], tmp_path / name / "n.py")
    for file in ("n.py", "n.safetensors"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_what_cannot_be_written(tmp_path):
    network, _ = drawn(TEXT)
    with pytest.raises(lnet.LnetError, match=r"E782: expected a file that ends in '.py', found 'a'"):
        lnet.export_torch(network, tmp_path / "a")
    with pytest.raises(lnet.LnetError, match="E608"):
        lnet.export_torch(network, tmp_path / "no" / "a.py")
    with no_plugins():
        mish()
        own, _ = drawn("network n { image: input(5x5x1); x: local(3, 2, act = mish); q: l2() }")
        with pytest.raises(
            lnet.LnetError, match="E789: the layer 'x' cannot be written for PyTorch: its 'mish'"
        ):
            lnet.export_torch(own, tmp_path / "a.py")
    assert not list(tmp_path.iterdir())


# --- with torch -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def torch():
    found = pytest.importorskip("torch")
    found.set_num_threads(1)
    return found


@pytest.mark.parametrize("kind", MADE)
def test_a_kind_with_every_argument(kind, torch, tmp_path):
    network, images = drawn(every_argument(kind))
    found = values_in_torch(network, images, tmp_path)
    assert list(found) == [layer.path for layer in network.graph.visible]
    assert_alike(found, reference.values(network.graph, network.params, images))


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
@given(networks())
def test_random_networks(torch, tmp_path_factory, text):
    network, images = drawn(text)
    assert_alike(values_in_torch(network, images, tmp_path_factory.mktemp("a")), network(images))


@pytest.fixture(scope="module")
def made(torch, tmp_path_factory):
    """A network, images, and the module that was written for it."""
    network, images = drawn(TEXT)
    folder = tmp_path_factory.mktemp("made")
    lnet.export_torch(network, folder / "n.py")
    return network, images, module_at(folder / "n.py"), folder


def test_a_module_is_one_as_others_are(made, torch):
    _, images, written, _ = made
    module = written.load()
    names = dict(module.named_modules())
    assert {"area.0.f", "area.1.n", "half_", "out"} <= set(names)
    seen = []
    names["area.1.f"].register_forward_hook(lambda *of: seen.append(of[2]))
    with torch.no_grad():
        values = module(torch.from_numpy(maps_first(images)))
    assert torch.equal(seen[0], values["area[1].f"])
    assert not module.training
    assert all(parameter.requires_grad for parameter in module.parameters())
    assert "area.0.n.mean" in dict(module.named_buffers())


def test_names_that_modules_have(torch):
    """Those of the torch that is installed; of others some more."""
    assert {name for name in dir(torch.nn.Module()) if not name.startswith("_")} <= TAKEN


def test_weights_come_back(made, torch, tmp_path):
    network, _, written, _ = made
    module = written.load()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(1)
    written.save(module, tmp_path / "trained.safetensors")
    plan = compile_text(re.sub(r"; learn: rica\(\)", "", TEXT))
    found = lnet.import_weights(tmp_path / "trained.safetensors", plan, tmp_path / "run").network().params
    for name, value in found.items():
        moved = 0 if name.endswith(("mean", "variance")) else 1
        np.testing.assert_allclose(value, network.params[name] + moved, rtol=1e-6, err_msg=name)


def test_what_torch_does_with_modules(made, torch):
    _, images, written, _ = made
    module, x = written.load(), torch.from_numpy(maps_first(images))
    batch = {"images": {0: torch.export.Dim("batch")}}
    program = torch.export.export(module, (x,), dynamic_shapes=batch).module()
    with torch.no_grad():
        expected = module(x)["out"]
        assert torch.equal(program(x)["out"], expected)
        assert torch.equal(copy.deepcopy(module)(x)["out"], expected)
        assert torch.equal(torch.compile(module, backend="eager", fullgraph=True)(x)["out"], expected)


def test_gradients(made, torch):
    network, images, written, _ = made
    module = written.load()
    loss = module(torch.from_numpy(maps_first(images)))["out"].square().sum() / len(images)
    loss.backward()
    plan = compile_text(re.sub(r"; learn: rica\(\)", "", TEXT))
    alone = lnet.Network(
        plan, {name: network.params[name] for name in (p.name for p in plan.graph.parameters)}
    )
    assert loss.item() == pytest.approx(alone.loss(images), rel=1e-5)
    gradients = alone.gradients(images)
    for name, parameter in module.named_parameters():
        expected = gradients[re.sub(r"\.(\d)", r"[\1]", name)]
        if parameter.grad is None:
            assert not expected.any(), name
            continue
        np.testing.assert_allclose(
            parameter.grad, expected, rtol=0, atol=1e-5 * np.abs(expected).max(), err_msg=name
        )


def test_in_training_a_batch_is_normalised_by_itself(torch, tmp_path):
    network, images = drawn("network n { image: input(5x5x2); f: local(3, 2); n: batchnorm(0.75); q: l2() }")
    lnet.export_torch(network, tmp_path / "n.py")
    module = module_at(tmp_path / "n.py").load().train()
    loss = module(torch.from_numpy(maps_first(images)))["n"].square().sum() / len(images)
    expected, running = network.training_loss(dict(network.params), images, np.arange(len(images)))
    assert loss.item() == pytest.approx(float(expected), rel=1e-5)
    for name, value in running.items():
        np.testing.assert_allclose(module.get_buffer(name), value, rtol=1e-5)


def test_a_pool_whose_padding_counts_as_zeros(torch, tmp_path):
    network, images = pooled_with_zeros()
    found = values_in_torch(network, images, tmp_path)
    assert not found["x"][:, 0].any()
    assert_alike(found, network(images))


def test_numbers_of_64_bits(torch, tmp_path):
    text = (
        "network n { image: input(6x6x1); a: lcn(3); f: local(3, 2); q: l2() } train { precision = float64 }"
    )
    network, images = drawn(text)
    lnet.export_torch(network, tmp_path / "n.py")
    found = module_at(tmp_path / "n.py").load()(torch.from_numpy(maps_first(images).astype(float)))
    assert found["f"].dtype == torch.float64
    assert_alike({path: maps_last(value.detach()) for path, value in found.items()}, network(images))


@pytest.mark.parametrize("how", ["image", "symmetric", "none", "dataset"])
def test_images_are_prepared_as_in_training(how, torch, tmp_path):
    data = f'train {{ data = frames("images", normalize = {how}) }}'
    plan = compile_text(f"network n {{ image: input(7x6x3); x: tanh(); q: l2() }} {data}")
    lnet.export_torch(lnet.Network(plan), tmp_path / "n.py")
    if how == "dataset":
        assert "def prepare" not in (tmp_path / "n.py").read_text(), "the figures are not known"
        plan = normalized_by(plan, DatasetFigures((0.25, 0.5, 0.5), (2.0, 3.0, 0.1)))
        lnet.export_torch(lnet.Network(plan), tmp_path / "n.py")
    prepare = module_at(tmp_path / "n.py").prepare
    images = np.random.default_rng(0).integers(0, 256, (3, 7, 6, 3), np.uint8)
    expected = lnet.prepare(images, lnet.Network(plan))
    np.testing.assert_allclose(maps_last(prepare(torch.from_numpy(maps_first(images)))), expected, atol=1e-6)
    scaled = torch.from_numpy(maps_first(images)).float() / 255
    np.testing.assert_allclose(maps_last(prepare(scaled)), expected, atol=1e-6)


@pytest.mark.parametrize("crop", ["center", "resize"])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_pillow_are_transformed_as_in_evaluation(channels, crop, torch, tmp_path):
    data = f'train {{ data = frames("images", crop = {crop}, normalize = symmetric) }}'
    network = lnet.Network(
        compile_text(f"network n {{ image: input(9x6x{channels}); x: tanh(); q: l2() }} {data}")
    )
    lnet.export_torch(network, tmp_path / "n.py")
    transform = module_at(tmp_path / "n.py").transform
    for rows, columns in ((9, 6), (12, 7), (5, 30), (3, 2), (40, 9)):
        pixels = np.random.default_rng(0).integers(0, 256, (rows, columns, channels), np.uint8)
        found = transform(Image.fromarray(pixels.squeeze()))
        assert found.shape == (channels, 9, 6)
        np.testing.assert_allclose(maps_last(found[None]), lnet.prepare(pixels[None], network), atol=1e-6)


def test_arrays_are_prepared_as_in_training(torch, tmp_path):
    plan = compile_text(
        'network n { image: input(1x1x3); x: tanh(); q: l2() } train { data = arrays("x.npz") }'
    )
    lnet.export_torch(lnet.Network(plan), tmp_path / "n.py")
    values = torch.arange(6).reshape(2, 3, 1, 1)
    written = module_at(tmp_path / "n.py")
    assert torch.equal(written.prepare(values), values)
    assert not hasattr(written, "transform")


ELSEWHERE = """
import sys
sys.modules["lnet"] = sys.modules["jax"] = None
import n, torch
values = n.load()(n.prepare(torch.zeros(2, 2, 9, 8)))
print(*values["out"].shape)
"""


def test_a_program_runs_where_lnet_is_not(made):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE],
        cwd=made[3],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "2 4 1 1\n", done.stderr
