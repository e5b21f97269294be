"""Training on arrays that are no images, with targets: the numbers of a computation in numpy, and what is refused."""

import shutil

import h5py
import numpy as np
import pytest
import zarr
from commands import lnetc

import lnet
from lnet.dsl.diagnostics import LnetError
from lnet.runtime.analysis.report.settings import settings
from lnet.runtime.data import array_sets
from lnet.runtime.data.columns import open_columns
from lnet.runtime.engine.network import initial_params

N = 12
RNG = np.random.default_rng(3)
X = RNG.normal(size=(N, 3, 2, 4)) * 3
Y = RNG.normal(size=(N, 5))
Z = RNG.normal(size=(N, 3, 2, 4)).astype(np.float16)
K = np.arange(N) % 3
SETS = {"x": X, "y": Y, "z": Z, "k": K}

FILE = """
network n {
    image: input(3x2x4)
    y:     target(5)
    z:     target(3x2x4)
    d:     dense(5, bias = false)
    a:     mean_squared_error(d, target = y)
    same:  cosine_error(image, target = z)
}

train { data = arrays("PATH", targets = ["y", "z"]); batch = 12; steps = 4; update = sgd(rate = 0.1); checkpoint = 2 }
"""
CLASSES = """
network n {
    image: input(3x2x4)
    d:     dense(UNITS)
    a:     cross_entropy()
}

train { data = arrays("set.npz", labels = "k"OPTIONS); batch = 4; steps = 2 }
"""


def descended(weight, x, y, steps):
    """Gradient descent on the mean squared error of `x W`, in float64."""
    weight = np.array(weight, float)
    for _ in range(steps):
        weight -= 0.1 * 2 * x.T @ (x @ weight - y) / y.size
    return weight


def write(folder, name):
    path = folder / name
    if name == "set.npz":
        np.savez(path, **SETS)
    elif name == "packed.npz":
        np.savez_compressed(path, **SETS)
    elif name == "set":
        path.mkdir()
        for array, values in SETS.items():
            np.save(path / f"{array}.npy", np.asfortranarray(values))
    elif name == "set.h5":
        with h5py.File(path, "w") as file:
            for array, values in SETS.items():
                file[array] = values
    else:
        store = zarr.storage.ZipStore(str(path), mode="w") if name.endswith(".zip") else str(path)
        group = zarr.open_group(store, mode="w")
        for array, values in SETS.items():
            group.create_array(array, data=values)
        if name.endswith(".zip"):
            store.close()
    return path


def plan_of(folder, name="set.npz", text=FILE):
    file = folder / "n.lnet"
    file.write_text(text.replace("PATH", name))
    return lnet.compile(file)


@pytest.fixture
def plan(tmp_path):
    write(tmp_path, "set.npz")
    return plan_of(tmp_path)


def refusal(run):
    with pytest.raises(LnetError) as caught:
        run()
    return str(caught.value)


@pytest.mark.parametrize("name", ["set.npz", "packed.npz", "set", "set.h5", "set.zarr", "set.zarr.zip"])
def test_a_run_on_arrays_of_every_format_is_what_numpy_computes(tmp_path, name):
    write(tmp_path, name)
    plan = plan_of(tmp_path, name)
    run = lnet.train(plan, directory=tmp_path / "run")
    begun = np.asarray(initial_params(plan.graph, 0)["d.weight"])
    expected = descended(begun, X.reshape(N, -1), Y, 4)
    np.testing.assert_allclose(run.network().params["d.weight"], expected, rtol=2e-5, atol=2e-6)
    first = next(event for event in run.events() if event.name == "step")
    x, z = X.reshape(N, -1), Z.reshape(N, -1).astype(float)
    cosine = (x * z).sum(1) / np.sqrt(((x * x).sum(1) + 1e-8) * ((z * z).sum(1) + 1e-8))
    assert first.objectives["same"] == pytest.approx(1 - cosine.mean(), rel=1e-5)
    assert first.objectives["a"] == pytest.approx(((x @ begun - Y) ** 2).mean(), rel=1e-5)
    assert run.info["data"]["images"] == N
    assert run.info["data"]["digest"]
    assert run.images().contents.sentence(plan).startswith(f"n.lnet: 12 samples in '{name}', 12 a step")
    np.testing.assert_array_equal(
        run.samples(N).images.sum(), X.astype(np.float32)[run.samples(N).places].sum()
    )


def test_arrays_given_in_python_train_alike(tmp_path, plan):
    class Items:
        def __len__(self):
            return N

        def __getitem__(self, number):
            return {"x": X[number], "y": Y[number], "z": Z[number]}

    expected = lnet.train(plan, directory=tmp_path / "file").network().params["d.weight"]
    given = {"arrays": lnet.Arrays(X.reshape(N, -1), targets={"y": Y, "z": Z}), "items": Items()}
    for name, data in given.items():
        run = lnet.train(plan, data=data, directory=tmp_path / name, steps=2)
        assert "it is needed again" in refusal(lambda run=run: lnet.resume(run.directory, steps=4))
        run = lnet.resume(run.directory, data=data, steps=4)
        np.testing.assert_array_equal(run.network().params["d.weight"], expected)
    net = run.network()
    assert set(net(lnet.prepare(X.reshape(N, -1), net))) == {"image", "d"}
    loss = net.loss(lnet.prepare(X, net), targets={"y": Y, "z": Z})
    assert loss < next(event for event in run.events() if event.name == "step").loss
    assert "give targets={'y': array}" in refusal(lambda: net.loss(lnet.prepare(X, net)))
    assert "expected the targets of the network, 'y', 'z', found 'y'" in refusal(
        lambda: net.loss(X, targets={"y": Y})
    )
    assert "expected [12, 1, 1, 5] as the target 'y'" in refusal(
        lambda: net.loss(X, targets={"y": Y[:, :4], "z": Z})
    )
    assert "'y' is a target" in refusal(lambda: net["y[0, 0, 0]"])


def test_a_run_is_resumed_on_the_same_arrays_alone(tmp_path, plan):
    run = lnet.train(plan, directory=tmp_path / "run", steps=2)
    whole = lnet.train(plan, directory=tmp_path / "whole").network().params["d.weight"]
    moved = tmp_path / "moved.npz"
    shutil.copy(tmp_path / "set.npz", moved)
    resumed = lnet.resume(run.directory, data=moved, steps=4)
    np.testing.assert_array_equal(resumed.network().params["d.weight"], whole)
    np.savez(moved, **{**SETS, "y": Y + 1})
    assert "has changed since it was first read" in refusal(
        lambda: lnet.resume(run.directory, data=moved, steps=6)
    )
    np.savez(moved, x=X[:5], y=Y[:5], z=Z[:5])
    assert "started on 12 images, and now there are 5" in refusal(
        lambda: lnet.resume(run.directory, data=moved, steps=6)
    )


def with_value(value):
    changed = X.copy()
    changed[[4, 7], 1, 1, 0] = value
    return changed


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": X * 1j}, "the array 'x' in 'set.npz' holds complex128"),
        ({"x": np.full(X.shape, "a")}, "the array 'x' in 'set.npz' holds <U1"),
        ({"x": with_value(np.nan)}, "the array 'x' in 'set.npz' has 2 values that no finite float32 holds\n = note: the first is in sample 4"),
        ({"x": with_value(1e39)}, "has 2 values that no finite float32 holds"),
        ({"z": np.full(Z.shape, np.inf)}, "the array 'z' in 'set.npz' has 288 values that no finite float32 holds\n = note: the first is in sample 0"),
        ({"x": X[:, :2]}, "the array 'x' in 'set.npz' has the shape [12, 2, 2, 4]\n = note: expected [n, 3, 2, 4], or fewer axes with 24 values a sample in the same order"),
        ({"x": X.transpose(0, 3, 1, 2)}, "hint: put the maps last: x.transpose(0, 2, 3, 1)"),
        ({"y": Y[:, :4]}, "the array 'y' in 'set.npz' has the shape [12, 4]"),
        ({"y": Y[:4]}, "has 12 samples, and the array 'y' in 'set.npz' 4"),
        ({"x": X[:0], "y": Y[:0], "z": Z[:0]}, "E702: there are no images in 'set.npz'"),
        ({"y": None}, "there is no array 'y' in 'set.npz'\n = note: its arrays are 'x', 'z', 'k'"),
        ({"x": np.array([{}] * N)}, "it holds Python objects, which are never read"),
    ],
)  # fmt: skip
def test_unfit_arrays_are_refused_with_their_number_and_place(tmp_path, arrays, message):
    np.savez(tmp_path / "set.npz", **{name: a for name, a in {**SETS, **arrays}.items() if a is not None})
    plan = plan_of(tmp_path)
    assert message in refusal(lambda: lnet.train(plan, directory=tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_values_of_large_arrays_are_looked_at_when_they_are_read(tmp_path, plan, monkeypatch):
    monkeypatch.setattr(array_sets, "SCANNED", 100)
    np.savez(tmp_path / "set.npz", **{**SETS, "x": with_value(np.nan)})
    message = refusal(lambda: lnet.train(plan, directory=tmp_path / "run"))
    assert "the array 'x' in 'set.npz' has values that no finite float32 holds" in message


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.npz", "E701: there is no file or folder 'missing.npz'"),
        ("torn.npy:x", 'hint: name the array beside the file: arrays("torn.npy", values = "x")'),
        ("n.lnet", "E702: 'n.lnet' holds no arrays"),
        (
            "torn.npy",
            "E703: 'torn.npy' cannot be read as arrays\n = note: ValueError: it ends within an array",
        ),
    ],
)
def test_paths_without_arrays_are_refused(tmp_path, name, message):
    np.save(tmp_path / "torn.npy", X)
    data = (tmp_path / "torn.npy").read_bytes()
    (tmp_path / "torn.npy").write_bytes(data[:-8])
    plan = plan_of(tmp_path, name)
    assert message in refusal(lambda: lnet.train(plan, directory=tmp_path / "run"))


def test_data_of_the_other_kind_are_refused(tmp_path, plan):
    assert "the network's targets are 'y', 'z', and those of the data are an array" in refusal(
        lambda: lnet.train(plan, data=lnet.Arrays(X, targets=Y), directory=tmp_path / "run")
    )
    beside = refusal(lambda: lnet.train(plan, data=lnet.Arrays(X), labels=K, directory=tmp_path / "run"))
    assert "'labels' stands beside lnet.Arrays" in beside
    images = lnet.compile(lnet.parse(FILE.partition("train")[0]))
    np.savez(tmp_path / "images.npz", images=np.zeros((4, 3, 2, 3)))
    assert "images come without targets" in refusal(
        lambda: lnet.train(images, data=tmp_path / "images.npz", directory=tmp_path / "run")
    )


def test_classes_of_arrays_are_those_of_labels(tmp_path):
    write(tmp_path, "set.npz")

    def run(units, options=""):
        plan = plan_of(tmp_path, text=CLASSES.replace("UNITS", units).replace("OPTIONS", options))
        return lnet.train(plan, directory=tmp_path / f"run-{units}-{len(options)}", steps=1)

    assert run("5").classes == ("0", "1", "2", "3", "4")
    assert "E710: '[2]' has the label 2, and the 2 values" in refusal(lambda: run("2"))
    (tmp_path / "names.txt").write_text("cat\ndog\nowl\nfox\n")
    named = run("4", ', classes = "names.txt"')
    assert named.classes == ("cat", "dog", "owl", "fox")
    batch = named.samples(N)
    np.testing.assert_array_equal(batch.labels, K[batch.places])
    np.savez(tmp_path / "set.npz", x=X, k=K - 1)
    assert "E710: '[0]' has the label '-1', which is not one of the 4 classes" in refusal(
        lambda: run("4", ',  classes = "names.txt"')
    )
    np.savez(tmp_path / "set.npz", x=X, k=np.array(["b", "c", "a"])[K])
    assert run("3").classes == ("a", "b", "c")


def test_plans_and_reports_say_what_is_trained_on(tmp_path, plan):
    plan.save(tmp_path / "n.plan")
    assert lnet.load_plan(tmp_path / "n.plan") == plan
    run = lnet.train(plan, directory=tmp_path / "run", steps=1)
    values = 'arrays(path = "set.npz", values = "x", labels = none, targets = ["y", "z"], normalize = none, classes = none)'
    assert dict(settings(run))["data"] == values


def test_rows_lie_in_place_where_the_format_allows(tmp_path):
    for name in ("set.npz", "set.h5", "set.zarr"):
        column = open_columns(write(tmp_path, name), name)["x"]
        assert not isinstance(column, np.ndarray)
        np.testing.assert_array_equal(column[5], X[5])
        np.testing.assert_array_equal(column[3:7], X[3:7])


def test_commands_that_show_images_refuse_runs_on_arrays(tmp_path, plan):
    run = lnet.train(plan, directory=tmp_path / "run", steps=1)
    assert "E783: 'probe' shows images" in refusal(lambda: lnet.probe(run, tmp_path / "set.npz"))
    assert "E783: 'invariance' shows images" in refusal(
        lambda: lnet.invariance(run, "d[0, 0, 0]", tmp_path / "set.npz")
    )
    assert "read without labels" in refusal(lambda: lnet.sheet_view(run, "d", tmp_path / "set.npz"))


def test_the_command_refuses_runs_on_arrays_that_learned_labels(tmp_path):
    np.savez(tmp_path / "tab.npz", x=np.ones((6, 4)), k=np.arange(6) % 3, y=np.ones((6, 2)))
    (tmp_path / "n.lnet").write_text(
        "network n { image: input(4x1x1); k: dense(3); learn: cross_entropy() }"
        'train { data = arrays("tab.npz", labels = "k"); batch = 2 }'
    )
    lnet.train(lnet.compile(tmp_path / "n.lnet"), directory=tmp_path / "run", steps=1)
    for more in ([], ["--label", "1"], ["--places", "2"]):
        said = lnetc("probe", tmp_path / "run", tmp_path / "tab.npz", *more, status=1).output
        assert "E783: 'probe' shows images" in said


def test_one_array_stands_for_no_other(tmp_path):
    """A lone `.npy` file has no name: it is what is read, and neither labels nor targets."""
    np.save(tmp_path / "x.npy", X)
    assert "E704: 'x.npy' is one array, and there is none for 'y'" in refusal(
        lambda: lnet.train(plan_of(tmp_path, "x.npy"), directory=tmp_path / "run")
    )


def test_ragged_lists_are_no_arrays(tmp_path, plan):
    ragged = [[1, 2], [1]]
    for data in (
        lnet.Arrays(ragged, targets={"y": Y, "z": Z}),
        lnet.Arrays(X, targets={"y": ragged, "z": Z}),
    ):
        assert "found no array" in refusal(
            lambda data=data: lnet.train(plan, data=data, directory=tmp_path / "run")
        )
    assert "found no array" in refusal(lambda: lnet.prepare(ragged, lnet.Network(plan)))
