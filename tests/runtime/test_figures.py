"""`normalize = dataset`: mean and deviation of each map, against numpy; who measures them, who keeps them, who uses them."""

import json

import av
import numpy as np
import pytest
from PIL import Image

import lnet
import lnet.runtime.training.beginning as beginning
from lnet.compiler.settings import DatasetFigures
from lnet.dsl.diagnostics import LnetError
from lnet.runtime.analysis.images import open_set
from lnet.runtime.analysis.probe.subjects import Neurons, Weights
from lnet.runtime.analysis.report.settings import settings
from lnet.runtime.data import figures
from lnet.runtime.data.order import image_at
from lnet.runtime.training.progress import Silent

TEXT = """
network n { image: input(6x5x3); f: local(3, 2); d: decode(f); e: squared_error(d, image) }
train {
    data = frames("images", crop = center, flip = false, normalize = dataset)
    batch = 4; steps = 2; checkpoint = 1; update = sgd(rate = 0.001)
}
"""
RNG = np.random.default_rng(1)


def write_images(folder, low, high):
    """Eight images of several sizes and one that is corrupt; of the third channel all pixels are the same."""
    folder.mkdir()
    for number in range(8):
        pixels = RNG.integers(low, high, (6 + number % 3, 5 + number % 2, 3), np.uint8)
        pixels[..., 2] = 51
        Image.fromarray(pixels).save(folder / f"{number}.png")
    (folder / "8.png").write_bytes(b"nothing")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run on few images, of which five were measured, and other images beside them."""
    folder = tmp_path_factory.mktemp("figures")
    write_images(folder / "images", 0, 120)
    write_images(folder / "others", 100, 256)
    (folder / "n.lnet").write_text(TEXT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "MOST", 5)
        run = lnet.train(lnet.compile(folder / "n.lnet"), directory=folder / "run")
    return folder, run


def of(images):
    """Mean and deviation of each map of images `[n, row, column, map]`, of a map that is the same everywhere 1."""
    deviation = images.astype(float).std((0, 1, 2))
    return DatasetFigures(
        tuple(images.astype(float).mean((0, 1, 2))), tuple(np.where(deviation < 1e-6, 1, deviation))
    )


def check(found, expected):
    np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-12)
    np.testing.assert_allclose(found.deviation, expected.deviation, rtol=1e-12)


def normalized(images, by):
    return (images.astype(float) - by.mean) / by.deviation


def figures_of(run):
    return run.plan.graph.training.data.normalize


def test_a_run_is_normalised_by_the_first_images_of_its_first_pass(made):
    run, plain = made[1], made[1].images(normalize="none")
    first = {image_at(plain.order, 0, 0, position, 9) for position in range(5)}
    check(figures_of(run), of(plain.at(first - {8}).images))
    assert figures_of(run).deviation[2] == 1
    assert json.loads((run.directory / "run.json").read_text())["data"]["normalize"] == {
        "mean": list(figures_of(run).mean),
        "deviation": list(figures_of(run).deviation),
    }
    raw = plain.batch(0, 4).images
    np.testing.assert_allclose(run.samples(4).images, normalized(raw, figures_of(run)), atol=1e-5)
    assert ("mean of each map", ", ".join(f"{mean:.4g}" for mean in figures_of(run).mean)) in settings(run)
    assert "normalize = dataset" in dict(settings(run))["data"]


def test_a_resumed_run_measures_nothing(made, tmp_path, monkeypatch):
    plan = lnet.compile(made[0] / "n.lnet")
    whole = lnet.train(plan, directory=tmp_path / "whole", steps=4)
    half = lnet.train(plan, directory=tmp_path / "half", steps=2)
    check(figures_of(whole), of(whole.images(normalize="none").at(range(8)).images))
    monkeypatch.setattr(beginning, "measure", None)
    resumed = lnet.resume(half.directory, steps=4)
    for name, value in whole.network().params.items():
        np.testing.assert_array_equal(resumed.network().params[name], value)


def test_other_images_are_normalised_as_those_of_the_run(made):
    folder, run = made
    by, net = figures_of(run), run.network()
    raw = RNG.integers(0, 256, (2, 6, 5, 3), np.uint8)
    np.testing.assert_allclose(lnet.prepare(raw, net), normalized(raw / 255, by), atol=1e-5)
    plain = run.images(folder / "others", normalize="none").at([0]).images
    for others in (open_set(run, folder / "others").dataset, run.images(folder / "others")):
        np.testing.assert_allclose(others.at([0]).images, normalized(plain, by), atol=1e-5)
    for weights in (Weights(run.directory, 2), Weights(run.directory, 2, seed=3)):
        probed = Neurons(weights, ("image",)).respond(plain)["image"]
        np.testing.assert_allclose(probed.T.reshape(plain.shape), normalized(plain, by), atol=1e-5)


class Heard(Silent):
    def __init__(self):
        self.messages = []

    def said(self, message):
        self.messages.append(message)


def test_what_begins_with_a_run_or_its_export_keeps_its_figures(made, tmp_path):
    folder, run = made
    plan = lnet.compile(folder / "n.lnet")
    for name in ("e.npz", "e.safetensors"):
        lnet.export(run.network(), tmp_path / name)
    for number, start in enumerate((run.directory, tmp_path / "e.npz", tmp_path / "e.safetensors")):
        heard = Heard()
        begun = lnet.train(
            plan, folder / "others", directory=tmp_path / str(number), start=start, reporter=heard
        )
        assert figures_of(begun) == figures_of(run)
        assert f"images are normalised by the mean and deviation that '{start}' has" in heard.messages
        if number:
            assert figures_of(lnet.import_weights(start, plan, tmp_path / f"i{number}")) == figures_of(run)
    anew = lnet.train(run.plan, folder / "others", directory=tmp_path / "anew")
    check(figures_of(anew), of(anew.images(normalize="none").at(range(8)).images))
    damaged = dict(np.load(tmp_path / "e.npz")) | {"normalize/deviation": np.zeros(3)}
    np.savez(tmp_path / "damaged.npz", **damaged)
    with pytest.raises(LnetError, match="its mean and deviation of each map of the data set are impossible"):
        lnet.import_weights(tmp_path / "damaged.npz", plan, tmp_path / "damaged")


def test_a_network_that_no_run_has_trained_has_no_figures(made):
    folder, _ = made
    with pytest.raises(LnetError, match="has no mean and deviation") as caught:
        lnet.prepare(np.zeros((1, 6, 5, 3)), lnet.Network(lnet.compile(folder / "n.lnet")))
    assert caught.value.diagnostics[0].code == "E719"


ARRAYS = """
network n { image: input(3x1x2); d: dense(1); e: l2(d) }
train { data = arrays("x.npy", normalize = dataset); batch = 3; steps = 1 }
"""


def test_arrays_are_measured_up_to_a_gigabyte_and_whatever_their_range(tmp_path, monkeypatch):
    x = RNG.normal(size=(9, 3, 1, 2)) * [2, 0] + [3000, 5]
    np.save(tmp_path / "x.npy", x)
    (tmp_path / "n.lnet").write_text(ARRAYS)
    plan = lnet.compile(tmp_path / "n.lnet")
    stored, given = (
        lnet.train(plan, data, directory=tmp_path / name)
        for name, data in {"file": None, "given": lnet.Arrays(x, normalize="dataset")}.items()
    )
    check(figures_of(stored), of(x.astype(np.float32)))
    assert figures_of(stored).deviation[1] == 1
    assert figures_of(given) == figures_of(stored)
    net = given.network()
    np.testing.assert_allclose(lnet.prepare(x, net), normalized(x, figures_of(given)), atol=1e-3)
    resumed = lnet.resume(given.directory, data=lnet.Arrays(x, normalize="dataset"), steps=2)
    np.testing.assert_allclose(resumed.network()(lnet.prepare(x, net))["image"].std(), 2**-0.5, rtol=0.2)
    monkeypatch.setattr(figures, "SCANNED", 4 * 4 * 6)
    few = lnet.train(plan, directory=tmp_path / "few")
    check(figures_of(few), of(few.images(normalize="none").batch(0, 4).images))
    with pytest.raises(LnetError, match="'normalize' must be 'none', 'image' or 'dataset', found 'all'"):
        lnet.Arrays(x, normalize="all")


def test_frames_of_a_video_are_measured(made, tmp_path):
    with av.open(str(tmp_path / "clip.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height = 32, 32
        for number in range(6):
            pixels = np.full((32, 32, 3), 40 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(stream.encode())
    run = lnet.train(lnet.compile(made[0] / "n.lnet"), tmp_path / "clip.mp4", directory=tmp_path / "run")
    check(figures_of(run), of(run.images(normalize="none").at(range(6)).images))
