"""Distorted images, and the responses of neurons whose invariance is known."""

import numpy as np
import pytest

import lnet
from lnet.compiler.core.shapes import Size
from lnet.compiler.settings import Frames
from lnet.runtime.analysis.distort import Distortion, distort
from lnet.runtime.data.pixels import as_seen
from lnet.runtime.store.checkpoint import Checkpoint

FRAMES = Frames("", Size(8, 8), crop="resize", normalize="none")


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


# --- distortions -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(8, 8, 3), (20, 31, 1), (5, 6, 3)])
def test_no_distortion_is_none(shape):
    pixels = noise(*shape)
    found = as_seen([distort(pixels, Distortion(), FRAMES)], FRAMES, "float32")
    np.testing.assert_array_equal(found, as_seen([pixels], FRAMES, "float32"))


def test_what_comes_in_is_the_edge():
    pixels = noise(8, 8, 3)
    moved = distort(pixels, Distortion(right=2, down=-1), FRAMES)
    expected = np.pad(pixels, ((0, 1), (2, 0), (0, 0)), mode="edge")[1:, :-2]
    np.testing.assert_array_equal(moved, expected)


def test_a_larger_image_is_moved_by_pixels_of_the_input():
    pixels = noise(16, 16, 1)
    moved = distort(pixels, Distortion(down=1.5), FRAMES)
    np.testing.assert_array_equal(moved[3:], pixels[:-3])
    assert moved.shape == pixels.shape


def test_a_quarter_turn_is_counter_clockwise():
    pixels = noise(9, 9, 3)
    turned = distort(pixels, Distortion(degrees=90), FRAMES)
    np.testing.assert_allclose(turned.astype(int), np.rot90(pixels), atol=1)


def test_scaling_keeps_the_middle():
    rows, columns = np.mgrid[:33, :33] - 16.0
    blob = np.exp(-(rows**2 + 2 * columns**2) / 50)[..., None].astype(np.float32)
    for scale in (0.5, 2.0):
        expected = np.exp(-(rows**2 + 2 * columns**2) / scale**2 / 50)[..., None]
        np.testing.assert_allclose(distort(blob, Distortion(scale=scale), FRAMES), expected, atol=0.02)


def test_far_away_there_is_only_the_edge():
    pixels = noise(8, 8, 1)
    np.testing.assert_array_equal(distort(pixels, Distortion(right=50), FRAMES)[:, 0], pixels[:, 0])
    assert (distort(pixels, Distortion(right=50), FRAMES) == pixels[:, :1]).all()


# --- invariance ------------------------------------------------------------------------------------------

TEXT = """network n { image: input(8x8x1); f: local(8, 2); q: l2(f) }
train { data = frames("set.npz", normalize = none); batch = 2; steps = 1 }
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Map 0 sees the mean of the image, map 1 its column 4; positives are upright bars in that column."""
    folder = tmp_path_factory.mktemp("invariance")
    bars, dark = np.zeros((12, 8, 8, 1), np.float32), np.zeros((5, 8, 8, 1), np.float32)
    bars[:, :, 4] = np.linspace(0.5, 1, 12)[:, None, None]
    labels = ["bar"] * 12 + ["distractor"] * 5
    np.savez(folder / "set.npz", images=np.concatenate([bars, dark]), labels=labels)
    (folder / "n.lnet").write_text(TEXT)
    run = lnet.train(lnet.compile(folder / "n.lnet"), directory=folder / "run")
    weight = np.zeros((1, 1, 8, 8, 1, 2), np.float32)
    weight[..., 0] = 1 / 64
    weight[0, 0, :, 4, 0, 1] = 1 / 8
    run.checkpoints.save(Checkpoint(2, {"f.weight": weight}, {}))
    return run


def curves(found):
    return {curve.distortion: dict(zip(curve.amounts, curve.mean, strict=True)) for curve in found.curves}


def test_a_neuron_that_looks_at_one_column(run):
    found = lnet.invariance(run, "f[0, 0, 1]", run.directory.parent / "set.npz")
    assert (found.label, len(found.positives), found.distractor) == ("bar", 10, 0)
    mean = curves(found)
    assert mean["moved right"][0] == pytest.approx(1)
    assert mean["moved right"][2] == mean["moved right"][-2] == pytest.approx(0, abs=1e-6)
    assert list(mean["moved down"].values()) == pytest.approx([1] * 13)
    assert mean["turned"][90] == pytest.approx(1 / 8)
    assert all(len(curve.responses) == 13 and len(curve.responses[0]) == 10 for curve in found.curves)


def test_scaled_by_the_distractors(run):
    """Dark bars on white, beside white: the mean falls, so the scale is turned over, and 0 is where the bar leaves."""
    folder = run.directory.parent
    with np.load(folder / "set.npz") as file:
        np.savez(folder / "dark.npz", images=1 - file["images"], labels=file["labels"])
    found = lnet.invariance(run, "f[0, 0, 0]", folder / "dark.npz", count=3)
    assert found.distractor == pytest.approx(1)
    assert found.undistorted < 1
    mean = curves(found)
    assert mean["moved right"][-2] == pytest.approx(1, rel=1e-5)  # in the picture still
    assert mean["scaled"][1.5] > 1.3 > 0.7 > mean["scaled"][0.5]
    assert mean["turned"][90] == pytest.approx(1, rel=1e-5)


def test_positives_are_drawn_by_lot(run):
    data = run.directory.parent / "set.npz"
    first, again, other = (lnet.invariance(run, "f[0,0,1]", data, seed=seed) for seed in (1, 1, 2))
    assert first.positives == again.positives != other.positives
    assert len(set(first.positives)) == 10
    assert lnet.invariance(run, "f[0,0,1]", data, count=50).positives != first.positives
    assert sorted(lnet.invariance(run, "f[0,0,1]", data, count=50).positives) == sorted(
        f"set.npz[{n}]" for n in range(12)
    )


def test_no_positive_is_no_number_of_positives(run):
    with pytest.raises(lnet.LnetError, match="E780"):
        lnet.invariance(run, "f[0,0,1]", run.directory.parent / "set.npz", count=0)
