"""Weights of other programs: files that Keras and PyTorch wrote, with what they computed, and files that are wrong.

The files in `weights` are of one network in each of Keras's three implementations of LocallyConnected2D (tf-keras 2.21) and
of PyTorch's usual recipe (PyTorch 2.14).
"""

import io
import json
import pickle
import shutil
import zipfile
from pathlib import Path

import h5py
import jax.numpy as jnp
import numpy as np
import pytest
from commands import lnetc

import lnet
from lnet.runtime.weights.files import open_weights

FILES = Path(__file__).parent / "weights"
NETWORK = """
network own {
    image: input(6x5x2)
    first: local(2, 3, bias = true, act = relu, share = all)
    mine:  local(FIELD, 2, stride = STRIDE, bias = true, act = relu)
    out:   dense(4)
    learn: cross_entropy()
}
train { data = frames("pics", labels = folder); batch = 2; steps = 2; update = sgd(0.01) }
"""


def network(field="3x2", stride="2x1", units="4", seed="1"):
    text = NETWORK.replace("FIELD", field).replace("STRIDE", stride).replace("dense(4)", f"dense({units})")
    path = Path(f"own-{field}-{stride}-{units}-{seed}.lnet")
    path.write_text(text.replace("batch = 2", f"batch = 2; seed = {seed}"))
    return lnet.compile(path)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.lnet").write_text(NETWORK.replace("FIELD", "3x2").replace("STRIDE", "2x1"))
    return tmp_path


class Said(list):
    def said(self, message):
        self.append(message)


def imported(name, plan, mapping=None):
    said = Said()
    return lnet.import_weights(FILES / name, plan, "run", mapping, said), said


def train(directory="run", **settings):
    images = np.random.default_rng(1).normal(size=(8, 6, 5, 2))
    labels = np.arange(8) % 4
    return lnet.train(network(), images, None, directory, labels=labels, prepared=True, **settings)


@pytest.mark.parametrize("name", ["own.h5", "own.weights.h5", "own.keras"])
def test_keras_computes_the_same(folder, name):
    run, said = imported(name, network())
    made = np.load(FILES / "keras.npz")
    values = run.network()(made["images"])["out"][:, 0, 0]
    assert np.abs(values - made[name]).max() < 1e-6 < np.abs(made[name]).max()
    assert said[0].startswith("6 of 6 parameters are from")


@pytest.mark.parametrize(("name", "near"), [("own.pt", 1e-6), ("nested.pt", 0.01)])
def test_pytorch_computes_the_same(folder, name, near):
    """The second is an entry of a checkpoint, in 16 bits."""
    run, said = imported(name, network("3x3", "1"))
    made = np.load(FILES / "torch.npz")
    values = run.network()(made["images"])["out"][:, 0, 0]
    assert np.abs(values - made["values"]).max() < near < np.abs(made["values"]).max()
    assert said[1:] == [
        "  first.weight = first.weight as R C m i r c",
        "  first.bias = first.bias as m R C",
        "  mine.weight = own.weight as m i R C (r c)",
        "  mine.bias = own.bias as m R C",
        "  out.weight = out.weight as u (k h w)",
        "  out.bias = out.bias as u",
    ]


NORMS = """
network n {
    image: input(4x5x2)
    up:    transposed(3, 4, stride = 2, bias = true, share = all)
    batch: batchnorm()
    layer: layernorm()
    learn: l2()
}
train { data = frames("pics") }
"""


def test_arrays_of_norms_and_of_transposed_layers(folder):
    """With PyTorch's names and layouts; values are compared with the formulas."""
    Path("n.lnet").write_text(NORMS)
    random = np.random.default_rng(2)
    arrays = {
        "up.weight": random.normal(size=(2, 4, 3, 3)),
        "up.bias": random.normal(size=4),
        "bn.weight": random.normal(size=4),
        "bn.bias": random.normal(size=4),
        "bn.running_mean": random.normal(size=4),
        "bn.running_var": random.random(4) + 0.5,
        "ln.weight": random.normal(size=(4, 9, 11)),
        "ln.bias": random.normal(size=(4, 9, 11)),
    }
    np.savez("old.npz", **arrays)
    net = lnet.import_weights("old.npz", lnet.compile("n.lnet"), "run").network()
    images = random.normal(size=(2, 4, 5, 2))
    up = np.zeros((2, 9, 11, 4))
    for i, j, u, v in np.ndindex(4, 5, 3, 3):
        up[:, 2 * i + u, 2 * j + v] += images[:, i, j] @ arrays["up.weight"][:, :, u, v]
    up += arrays["up.bias"]
    batch = (up - arrays["bn.running_mean"]) / np.sqrt(arrays["bn.running_var"] + 1e-3)
    batch = batch * arrays["bn.weight"] + arrays["bn.bias"]
    mean, variance = batch.mean((1, 2, 3), keepdims=True), batch.var((1, 2, 3), keepdims=True)
    layer = (batch - mean) / np.sqrt(variance + 1e-5)
    layer = layer * arrays["ln.weight"].transpose(1, 2, 0) + arrays["ln.bias"].transpose(1, 2, 0)
    found = net(images)
    for name, expected in (("up", up), ("batch", batch), ("layer", layer)):
        assert np.abs(found[name] - expected).max() < 1e-4, name


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_what_was_exported_comes_back(folder, suffix):
    net = lnet.Network(network(seed="5"))
    lnet.export(net, f"old{suffix}", np.zeros((2, 6, 5, 2)))
    run = lnet.import_weights(f"old{suffix}", network(), "run")
    taken = run.network().params
    assert all(np.array_equal(taken[name], value) for name, value in net.params.items())
    assert not np.array_equal(lnet.Network(run.plan).params["out.weight"], taken["out.weight"])


def test_a_run_trains_on_from_a_file(folder):
    """As it does from a run with these weights."""
    first, _ = imported("own.keras", network())
    starts = {"a": FILES / "own.keras", "b": first.directory}
    trained = [train(directory=name, start=start).network().params for name, start in starts.items()]
    assert all(np.array_equal(trained[0][name], value) for name, value in trained[1].items())
    assert not np.array_equal(trained[0]["out.weight"], first.network().params["out.weight"])
    info = lnet.open_run("a").info["start"]
    assert info["file"].endswith("own.keras")
    assert len(info["digest"]) == 64


def test_filters_of_length_1_begin_so(folder):
    text = NETWORK.replace(
        "local(FIELD, 2, stride = STRIDE,", "local(3x2, 2, stride = 2x1, constrain = unit,"
    )
    Path("unit.lnet").write_text(text)
    weight = imported("own.h5", lnet.compile("unit.lnet"))[0].network().params["mine.weight"]
    assert np.allclose(np.square(weight).sum((2, 3, 4)), 1, atol=1e-5)
    assert not np.allclose(np.square(imported_again("own.h5")["mine.weight"]).sum((2, 3, 4)), 1, atol=0.01)


def imported_again(name):
    return lnet.import_weights(FILES / name, network(), "other").network().params


def test_commands(folder):
    said = lnetc("import", FILES / "own.pt", "own.lnet", "-d", "run").output.replace(str(FILES), ".")
    assert said.splitlines()[0] == "4 of 6 parameters are from './own.pt':"
    assert "'mine.weight' begins as the seed has it: no array of that file fits" in said
    assert "'own.weight' of that file is not used" in said
    assert said.endswith("imported: run\n")
    assert (folder / "run" / "plan.json").exists()
    assert "the weights come before it" in lnetc("import", "own.lnet", FILES / "own.pt", status=2).stderr
    said = lnetc("resume", "run", status=1).stderr
    assert "error E747: the run 'run' was imported and not trained" in said
    assert "hint: begin one with its parameters: lnetc run --from run" in said
    lnetc("export", "run", "-o", "w.npz")
    assert (folder / "w.npz").exists()
    lnetc("report", "run")
    assert "own.pt" in (folder / "run" / "report.html").read_text()


def test_a_mapping_corrects_what_was_matched(folder):
    (folder / "map").write_text(
        "# by hand\nout.bias = none\nmine.weight = own/kernel as (R C) (c r i) m  # another order\n"
    )
    run, said = imported("own.h5", network(), "map")
    mine = run.network().params
    shutil.rmtree("run")
    plain = imported("own.h5", network())[0].network().params
    turned = plain["mine.weight"].reshape(2, 3, 2, 3, 3, 2).swapaxes(2, 3)
    assert np.array_equal(mine["mine.weight"], turned)
    assert not mine["out.bias"].any()
    assert plain["out.bias"].any()
    assert "  mine.weight = own/kernel as (R C) (c r i) m" in said
    assert "'out.bias' begins as the seed has it: no array of that file fits" in said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("first.weight", "expected 'PARAMETER = ARRAY as LAYOUT', found 'first.weight'"),
        ("first.wait = own/kernel", "there is no parameter 'first.wait'"),
        ("first.weight = own/9", "there is no array 'own/9'"),
        (
            "first.weight = own/kernel",
            "'own/kernel' of shape (6, 18, 2) is 'first.weight' in no known layout",
        ),
        ("mine.weight = own/kernel as R C x", "'mine.weight' has no layout 'R C x'"),
        ("mine.weight = own/kernel as m R C r c i", "as m R C r c i has the shape (2, 2, 3, 3, 2, 3), and"),
    ],
)
def test_mappings_that_do_not_fit_E757(folder, text, message):
    (folder / "map").write_text("\n" + text)
    with pytest.raises(lnet.LnetError) as caught:
        imported("own.h5", network(), "map")
    assert caught.value.diagnostics[0].code == "E757"
    assert message in str(caught.value)
    assert "line 2 of 'map'" in str(caught.value)


def test_two_layouts_that_both_fit_are_asked_for_E757(folder):
    """A file that does not say whose layout it has."""
    square = network(units="12")
    weight = np.arange(144.0).reshape(12, 12)
    np.savez("old.npz", **{"out.weight": weight})
    with pytest.raises(lnet.LnetError) as caught:
        lnet.import_weights("old.npz", square, "run")
    lines = [f"out.weight = out.weight as {layout}" for layout in ("(h w k) u", "u (k h w)")]
    assert all(line in str(caught.value) for line in lines)
    for line, expected in zip(
        lines, (weight, weight.reshape(12, 2, 2, 3).transpose(2, 3, 1, 0)), strict=True
    ):
        Path("map").write_text(line)
        run = lnet.import_weights("old.npz", square, mapping="map")
        assert np.array_equal(run.network().params["out.weight"], expected.reshape(12, 12))


class Evil:
    def __reduce__(self):
        return Path("was here").touch, ()


def torch_file(path, index):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", index)
        archive.writestr("a/data/0", np.ones(4, np.float32).tobytes())


class Pickler(pickle.Pickler):
    def persistent_id(self, found):
        return ("storage", np.float32, "0", "cpu", 4) if found is torch_file else None


def write_evil(path):
    torch_file(path, pickle.dumps({"first.bias": Evil()}))


def write_whole(path):
    shutil.copy(FILES / "whole.pt", path)


def write_old(path):
    path.write_bytes(pickle.dumps({"first.bias": 1.0}))


def write_foreign_storage(path):
    file = io.BytesIO()
    Pickler(file).dump({"first.bias": torch_file})
    torch_file(path, file.getvalue())


def write_numbers(path):
    torch_file(path, pickle.dumps({"epoch": 3}))


def write_cut(path):
    data = (FILES / "own.pt").read_bytes()
    path.write_bytes(data[: len(data) // 2])


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (write_evil, "it holds more than arrays: "),
        (write_whole, "it holds more than arrays: "),
        (write_old, "PyTorch 1.6 or later did not save it"),
        (write_foreign_storage, "it holds more than arrays"),
        (write_numbers, "there is no state_dict in it"),
        (write_cut, "PyTorch 1.6 or later did not save it"),
    ],
)
def test_pytorch_files_that_are_refused_E756(folder, write, message):
    write(folder / "old.pt")
    with pytest.raises(lnet.LnetError) as caught:
        lnet.import_weights("old.pt", network(), "run")
    assert caught.value.diagnostics[0].code == "E756"
    assert message in str(caught.value)
    assert "torch.save(model.state_dict()" in str(caught.value)
    assert not (folder / "was here").exists()
    assert not (folder / "run").exists()


def write_nan(path):
    np.savez(path, **{"out.bias": np.array([1, np.nan, 2, 3])})


def write_text(path):
    path.write_text("no numbers")


@pytest.mark.parametrize(
    ("name", "write", "code", "message"),
    [
        ("old.npz", write_text, "E756", "'old.npz' cannot be read as weights"),
        ("old.npz", write_nan, "E756", "'out.bias' of 'old.npz' has values that are not finite"),
        ("old.safetensors", write_text, "E756", "'old.safetensors' cannot be read as weights"),
        ("old.h5", write_text, "E756", "'old.h5' cannot be read as weights"),
        ("old.keras", write_text, "E756", "Keras did not save it"),
        ("old.bin", write_text, "E782", "expected a run or a file of weights, found 'old.bin'"),
        ("gone.npz", lambda path: None, "E756", "No such file or directory"),
        ("old.npz", lambda path: np.savez(path, other=np.zeros(3)), "E749", "no array of 'old.npz' fits"),
    ],
)
def test_files_that_are_refused(folder, name, write, code, message):
    write(folder / name)
    with pytest.raises(lnet.LnetError) as caught:
        train(start=name)
    assert caught.value.diagnostics[0].code == code
    assert message in str(caught.value)
    assert not (folder / "run").exists()


def test_layers_of_a_model_within_another_keep_their_arrays(folder):
    """And a `.keras` file whose layers are named in another order than they are counted."""
    with h5py.File("nested.h5", "w") as file:
        file.attrs["layer_names"] = [b"inner"]
        names = [f"c{k}/{role}:0" for k in (1, 2) for role in ("kernel", "bias")]
        file.create_group("inner").attrs["weight_names"] = [name.encode() for name in names]
        for number, name in enumerate(names):
            file[f"inner/{name}"] = np.full(2, number)
    found = open_weights(Path("nested.h5")).arrays
    assert {name: array.read()[0] for name, array in found.items()} == {
        "inner/c1/kernel": 0, "inner/c1/bias": 1, "inner/c2/kernel": 2, "inner/c2/bias": 3
    }  # fmt: skip
    layers = [{"class_name": "Conv2D", "config": {"name": name}} for name in ("conv2d_1", "conv2d")]
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file["layers/conv2d/vars/0"], file["layers/conv2d_1/vars/0"] = np.zeros(2), np.ones(2)
    with zipfile.ZipFile("named.keras", "w") as archive:
        archive.writestr("config.json", json.dumps({"config": {"layers": layers}}))
        archive.writestr("model.weights.h5", buffer.getvalue())
    found = open_weights(Path("named.keras")).arrays
    assert {name: array.read()[0] for name, array in found.items()} == {"conv2d_1/0": 0, "conv2d/0": 1}


BATCH = """
network n { image: input(3x4x2); bn: batchnorm(SETTINGS); f: local(2, 3, bias = true); learn: l2() }
train { data = frames("pics") }
"""


@pytest.mark.parametrize(
    ("settings", "roles"),
    [("", ["scale", "shift", "mean", "variance"]), ("scale = false", ["shift", "mean", "variance"])],
)
def test_keras_numbers_the_arrays_of_a_batch_normalisation_in_its_own_order(folder, settings, roles):
    """Gamma, beta, moving mean, moving variance; the state of a dropout's random numbers is no weight."""
    Path("n.lnet").write_text(BATCH.replace("SETTINGS", settings))
    random = np.random.default_rng(3)
    with h5py.File("n.weights.h5", "w") as file:
        for number in range(len(roles)):
            file[f"layers/batch_normalization/vars/{number}"] = np.full(2, number + 1.0)
        file["layers/dropout/seed_generator/vars/0"] = np.zeros(2, np.uint32)
        file["layers/locally_connected2d/vars/0"] = random.normal(size=(6, 8, 3))
        file["layers/locally_connected2d/vars/1"] = random.normal(size=(2, 3, 3))
    said = Said()
    run = lnet.import_weights("n.weights.h5", lnet.compile("n.lnet"), "run", None, said)
    found = run.network().params
    assert {role: found[f"bn.{role}"][0] for role in roles} == dict(zip(roles, [1, 2, 3, 4], strict=False))
    assert said[0] == f"{len(roles) + 2} of {len(roles) + 2} parameters are from 'n.weights.h5':"
    assert not any("is not used" in line for line in said)


def test_keras_lists_many_names_in_parts(folder):
    with h5py.File("many.h5", "w") as file:
        file.attrs["layer_names0"], file.attrs["layer_names1"] = [b"a", b"b"], [b"c"]
        for layer in "abc":
            parts = {"weight_names0": [b"kernel:0"], "weight_names1": [b"bias:0"]}
            file.create_group(layer).attrs.update(parts)
            for name in ("kernel:0", "bias:0"):
                file[f"{layer}/{name}"] = np.zeros(2)
    found = open_weights(Path("many.h5"))
    assert [*found.arrays] == [f"{layer}/{role}" for layer in "abc" for role in ("kernel", "bias")]


SIZES = {
    "first.weight": (1, 1, 2, 2, 2, 3),
    "first.bias": (1, 1, 3),
    "mine.weight": (2, 3, 3, 2, 3, 2),
    "mine.bias": (2, 3, 2),
    "out.weight": (12, 4),
    "out.bias": (4,),
}


@pytest.mark.parametrize("prefix", ["module.", "net/", "params/net."])
def test_names_may_all_begin_with_something_more(folder, prefix):
    """In another order than the layers'."""
    arrays = {name: np.random.default_rng(4).normal(size=size) for name, size in SIZES.items()}
    np.savez("old.npz", **{prefix + name: arrays[name] for name in reversed(arrays)})
    found = lnet.import_weights("old.npz", network(), "run").network().params
    for name, value in arrays.items():
        np.testing.assert_array_equal(found[name], value.astype(np.float32))


def test_names_may_have_slashes_and_dots(folder):
    arrays = {name: np.random.default_rng(4).normal(size=size) for name, size in SIZES.items()}
    np.savez("old.npz", **{f"a/{name.replace('first', 'other')}": value for name, value in arrays.items()})
    found = lnet.import_weights("old.npz", network(), "run").network().params
    np.testing.assert_array_equal(found["first.weight"], arrays["first.weight"].astype(np.float32))
    np.testing.assert_array_equal(found["out.bias"], arrays["out.bias"].astype(np.float32))


def test_safetensors_of_other_programs_may_be_bfloat16(folder):
    value = np.arange(4).astype(jnp.bfloat16)
    header = {"out.bias": {"dtype": "BF16", "shape": [4], "data_offsets": [0, 8]}}
    write_safetensors("old.safetensors", header, value.view(np.uint16).tobytes())
    found = lnet.import_weights("old.safetensors", network(), "run").network().params
    np.testing.assert_array_equal(found["out.bias"], np.arange(4))
    header["out.bias"]["dtype"] = "F8_E4M3"
    write_safetensors("old.safetensors", header, bytes(8))
    with pytest.raises(lnet.LnetError, match=r"E756.*\n.*'out.bias' has the type F8_E4M3, expected one of"):
        lnet.import_weights("old.safetensors", network(), "other")


def write_safetensors(path, header, data):
    text = json.dumps(header).encode()
    Path(path).write_bytes(len(text).to_bytes(8, "little") + text + data)


def tensor(key, shape, kind="FloatStorage"):
    """The pickled place of a contiguous array in a PyTorch file, as an object for `StatePickler`."""
    return key, shape, kind


class StatePickler(pickle._Pickler):
    """Writes what `torch.save` writes of tensors, without PyTorch."""

    def save(self, found, save_persistent_id=True):
        if not (isinstance(found, tuple) and len(found) == 3 and str(found[2]).endswith("Storage")):
            return super().save(found, save_persistent_id)
        key, shape, kind = found
        self.write(b"ctorch._utils\n_rebuild_tensor_v2\n")
        strides = tuple(int(np.prod(shape[n + 1 :])) for n in range(len(shape)))
        self.write(b"((")
        super().save("storage")
        self.write(f"ctorch\n{kind}\n".encode())
        for part in (key, "cpu", int(np.prod(shape))):
            super().save(part)
        self.write(b"tQ")
        for part in (0, shape, strides, False, {}):
            super().save(part)
        self.write(b"tR")
        return None


def write_state(path, state, data, order=None):
    file = io.BytesIO()
    StatePickler(file, 2).dump(state)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", file.getvalue())
        for key, value in data.items():
            archive.writestr(f"a/data/{key}", value.tobytes())
        if order is not None:
            archive.writestr("a/byteorder", order)


@pytest.mark.parametrize(("order", "kind"), [("little", "<f4"), ("big", ">f4"), (None, "<f4")])
def test_pytorch_files_of_either_byte_order(folder, order, kind):
    write_state("old.pt", {"out.bias": tensor("0", (4,))}, {"0": np.arange(4).astype(kind)}, order)
    found = lnet.import_weights("old.pt", network(), "run").network().params
    np.testing.assert_array_equal(found["out.bias"], np.arange(4))


def test_a_pytorch_checkpoint_with_an_optimiser_and_an_empty_buffer(folder):
    """Of one parameter, the optimiser's state has arrays in one place, too."""
    state = {
        "model": {"out.bias": tensor("0", (4,)), "out.empty": tensor("1", (0, 3))},
        "optimizer": {"state": {0: {"exp_avg": tensor("2", (4,))}}, "param_groups": [{"lr": 0.1}]},
    }
    data = {"0": np.arange(4, dtype=np.float32), "1": np.zeros(0), "2": np.ones(4, np.float32)}
    write_state("old.pt", state, data)
    found = lnet.import_weights("old.pt", network(), "run").network().params
    np.testing.assert_array_equal(found["out.bias"], np.arange(4))


def write_complex(path):
    np.savez(path, **{"out.bias": np.array([1j, 0, 0, 0])})


def write_words(path):
    np.savez(path, **{"out.bias": np.array(["a", "b", "c", "d"])})


@pytest.mark.parametrize("write", [write_complex, write_words])
def test_weights_are_real_numbers_E756(folder, write):
    write("old.npz")
    with pytest.raises(lnet.LnetError, match=r"'out.bias' holds .*\n.*expected real numbers"):
        lnet.import_weights("old.npz", network(), "run")


def test_a_mapping_is_for_files(folder):
    imported("own.keras", network())
    (folder / "map").write_text("")
    with pytest.raises(lnet.LnetError, match="'run' is not a file"):
        train(directory="other", start="run", mapping="map")
    assert "name it with '--from'" in lnetc("run", "own.lnet", "--mapping", "map", status=2).output


def test_a_state_dict_in_the_order_of_axes_of_lnet(folder):
    """As exported networks have it; E757 where PyTorch's order fits, too."""
    shape = (2, 3, 3, 2, 3, 2)
    weight = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    write_state("own.pt", {"mine.weight": tensor("0", shape)}, {"0": weight})
    found = lnet.import_weights("own.pt", network(), "run").network().params
    np.testing.assert_array_equal(found["mine.weight"], weight)
    text = "network n { image: input(5x5x3); area[2]: local(3, 3, of = image); s: add(area); q: l2() }"
    plan, shape = lnet.compile(lnet.parse(text)), (3, 3, 3, 3, 3, 3)
    write_state("own.pt", {"area.1.weight": tensor("0", shape)}, {"0": np.ones(shape, np.float32)})
    with pytest.raises(
        lnet.LnetError, match=r"E757: 'area.1.weight' of 'own.pt' is 'area\[1\].weight' in several"
    ):
        lnet.import_weights("own.pt", plan, "other")
