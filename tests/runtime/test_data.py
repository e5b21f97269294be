"""Images: every kind of source, the order, the windows, and every way in which data can be wrong."""

import io
import tarfile
from dataclasses import replace
from functools import partial

import av
import numpy as np
import pytest
from PIL import Image

from lnet.compiler.core.shapes import Size
from lnet.compiler.settings import Frames
from lnet.dsl.diagnostics import LnetError
from lnet.runtime.data import Readout, check_labels, feed, open_frames, order_classes
from lnet.runtime.data.dataset import Dataset

PLAIN = Frames("images", Size(6, 6), crop="center", flip=False, normalize="none")


def picture(number, rows=8, columns=9, mode="RGB"):
    rng = np.random.default_rng(number)
    shape = (rows, columns) if mode == "L" else (rows, columns, len(mode))
    return Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8), mode)


def png(image):
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def folder_of(tmp_path, count=5):
    folder = tmp_path / "images"
    for number in range(count):
        inside = folder / ("cat" if number % 2 else "dog")
        inside.mkdir(parents=True, exist_ok=True)
        picture(number).save(inside / f"{number}.png")
    (folder / "notes.txt").write_text("no image")
    return folder


def opened(base, frames=PLAIN, channels=3, seed=0):
    return open_frames(frames, channels, base, seed)


def everything(dataset):
    return np.concatenate([batch.images for batch in dataset.ordered(2)])


# --- sources ---------------------------------------------------------------------------------------------


def test_a_folder_a_tar_and_an_array_hold_the_same_images(tmp_path):
    folder = folder_of(tmp_path)
    expected = np.stack([np.asarray(picture(n))[1:7, 1:7] / 255 for n in (1, 3, 0, 2, 4)])
    np.testing.assert_allclose(everything(opened(tmp_path)), expected, atol=1e-6)

    with tarfile.open(tmp_path / "images.tar", "w") as archive:
        archive.add(folder, "images")
    np.testing.assert_allclose(
        everything(opened(tmp_path, replace(PLAIN, path="images.tar"))), expected, atol=1e-6
    )

    arrays = np.stack([np.asarray(picture(n)) for n in (1, 3, 0, 2, 4)])
    np.save(tmp_path / "images.npy", arrays)
    np.savez(
        tmp_path / "images.npz", images=arrays.astype(np.float32) / 255, labels=np.array([1, 1, 0, 0, 0])
    )
    np.testing.assert_allclose(
        everything(opened(tmp_path, replace(PLAIN, path="images.npy"))), expected, atol=1e-6
    )
    labelled = opened(tmp_path, replace(PLAIN, path="images.npz"))
    np.testing.assert_allclose(everything(labelled), expected, atol=1e-6)
    assert labelled.classes == ("0", "1")
    np.testing.assert_array_equal(next(labelled.ordered(5)).labels, [1, 1, 0, 0, 0])


def test_a_pattern_names_several_sources(tmp_path):
    folder_of(tmp_path)
    assert opened(tmp_path, replace(PLAIN, path="images/c*")).count == 2
    assert opened(tmp_path, replace(PLAIN, path="images/**/*.png")).count == 5


def test_a_video(tmp_path):
    frames = [np.full((16, 16, 3), 10 + 20 * number, np.uint8) for number in range(8)]
    with av.open(str(tmp_path / "clip.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 16
        for array in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(array, format="rgb24")))
        container.mux(stream.encode())
    dataset = opened(tmp_path, replace(PLAIN, path="clip.mp4"))
    found = everything(dataset)
    assert dataset.count == len(found) == 8
    np.testing.assert_allclose(found.mean((1, 2, 3)) * 255, [10 + 20 * n for n in range(8)], atol=6)


def test_a_video_without_pyav(tmp_path, monkeypatch):
    (tmp_path / "clip.mp4").write_bytes(b"")
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(LnetError, match=r"E709.*PyAV") as caught:
        opened(tmp_path, replace(PLAIN, path="clip.mp4"))
    assert "pip install 'lnetc[video]'" in str(caught.value)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "I;16", "F", "CMYK"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_kind_of_pixel(tmp_path, mode, channels):
    folder = tmp_path / "images"
    folder.mkdir()
    source = picture(1)
    if mode == "I;16":
        Image.fromarray(np.asarray(picture(1, mode="L")).astype(np.uint16) * 257).save(folder / "a.png")
    elif mode == "F":
        Image.fromarray(np.asarray(picture(1, mode="L")).astype(np.float32) / 255).save(folder / "a.tiff")
    else:
        source.convert(mode).save(folder / ("a.tiff" if mode == "CMYK" else "a.png"))
    (batch,) = opened(tmp_path, channels=channels).ordered(4)
    assert batch.images.shape == (1, 6, 6, channels)
    assert 0 <= batch.images.min() < batch.images.max() <= 1


def test_transparency_is_over_black(tmp_path):
    (tmp_path / "images").mkdir()
    Image.fromarray(np.full((8, 8, 4), (200, 100, 50, 0), np.uint8)).save(tmp_path / "images" / "a.png")
    assert everything(opened(tmp_path)).max() == 0


# --- windows and order -----------------------------------------------------------------------------------


def test_small_images_are_enlarged_until_they_cover_the_window(tmp_path):
    (tmp_path / "images").mkdir()
    picture(1, rows=3, columns=5).save(tmp_path / "images" / "a.png")
    assert everything(opened(tmp_path)).shape == (1, 6, 6, 3)


def test_resize_scales_the_short_side(tmp_path):
    (tmp_path / "images").mkdir()
    half = np.zeros((60, 90, 3), np.uint8)
    half[:, 45:] = 255
    Image.fromarray(half).save(tmp_path / "images" / "a.png")
    (image,) = everything(opened(tmp_path, replace(PLAIN, crop="resize")))
    np.testing.assert_allclose(image[:, 0], 0, atol=0.1)
    np.testing.assert_allclose(image[:, -1], 1, atol=0.1)


def test_normalisation_is_the_documented_one(tmp_path):
    folder_of(tmp_path)
    plain, normal = (everything(opened(tmp_path, replace(PLAIN, normalize=how))) for how in ("none", "image"))
    mean, deviation = plain.mean((1, 2, 3), keepdims=True), plain.std((1, 2, 3), keepdims=True)
    np.testing.assert_allclose(normal, (plain - mean) / (deviation + 0.05), atol=1e-5)


RANDOM = replace(PLAIN, crop="random", flip=True)


def test_a_sample_depends_on_seed_and_number_alone(tmp_path):
    folder_of(tmp_path)
    whole = opened(tmp_path, RANDOM).batch(0, 23)
    for first, count in ((0, 5), (4, 7), (20, 3)):
        part = opened(tmp_path, RANDOM).batch(first, count)
        np.testing.assert_array_equal(part.images, whole.images[first : first + count])
        assert part.names == whole.names[first : first + count]
    assert not np.array_equal(opened(tmp_path, RANDOM, seed=1).batch(0, 23).images, whole.images)


def test_every_pass_shows_every_image_once_in_an_order_of_its_own(tmp_path):
    folder_of(tmp_path)
    names = opened(tmp_path, RANDOM).batch(0, 20).names
    passes = [names[i : i + 5] for i in range(0, 20, 5)]
    assert all(sorted(p) == sorted(passes[0]) for p in passes)
    assert len(set(passes)) > 1


def test_half_of_the_images_are_mirrored(tmp_path):
    folder_of(tmp_path, 1)
    frames = replace(PLAIN, flip=True)
    batch = opened(tmp_path, frames).batch(0, 200).images
    plain = opened(tmp_path).batch(0, 1).images[0]
    mirrored = sum(np.array_equal(image, plain[:, ::-1]) for image in batch)
    upright = sum(np.array_equal(image, plain) for image in batch)
    assert mirrored + upright == 200
    assert 70 < mirrored < 130


def test_the_feed_keeps_the_order_and_decodes_ahead(tmp_path):
    folder_of(tmp_path)
    dataset = opened(tmp_path, RANDOM)
    with feed(dataset, 2, 6, 4) as batches:
        found = [batch.images for batch in batches]
    np.testing.assert_array_equal(np.concatenate(found), dataset.batch(8, 16).images)


def test_without_room_in_memory_the_images_are_the_same(tmp_path):
    folder_of(tmp_path)
    little = open_frames(RANDOM, 3, tmp_path, 0, cache_bytes=0)
    np.testing.assert_array_equal(little.batch(0, 12).images, opened(tmp_path, RANDOM).batch(0, 12).images)


# --- what is wrong with data -----------------------------------------------------------------------------


def test_a_corrupt_image_is_skipped_and_counted(tmp_path):
    folder = folder_of(tmp_path)
    data = png(picture(9))
    (folder / "cat" / "1.png").write_bytes(data[: len(data) // 2])
    (folder / "dog" / "0.png").write_bytes(b"")
    dataset = opened(tmp_path, RANDOM)
    batch = dataset.batch(0, 20)
    assert set(dataset.skipped) == {"cat/1.png", "dog/0.png"}
    assert set(batch.names) == {"cat/3.png", "dog/2.png", "dog/4.png"}


def test_a_corrupt_image_leaves_those_of_its_name_in_other_sources(tmp_path):
    for name, bad in (("a", "dog/0.png"), ("b", "cat/1.png")):
        damaged = folder_of(tmp_path / name, 3) / bad
        damaged.write_bytes(damaged.read_bytes()[:40])
    early, late = (opened(tmp_path, replace(RANDOM, path="[ab]/images")) for _ in range(2))
    assert sum(early.decodable(place) for place in range(6)) == 4
    assert (early.count, len(early.skipped)) == (6, 2)
    late.batch(6, 6)
    np.testing.assert_array_equal(late.batch(0, 6).images, early.batch(0, 6).images)


def test_whatever_a_damaged_image_makes_its_decoder_raise_costs_that_image_alone(tmp_path, monkeypatch):
    def damaged(image):
        raise TypeError("bad operand type for abs(): 'str'")

    folder_of(tmp_path)
    monkeypatch.setattr("lnet.runtime.data.pixels.ImageOps.exif_transpose", damaged)
    dataset = opened(tmp_path, PLAIN)
    assert not dataset.decodable(0)
    assert dataset.skipped == {dataset.names[0]: "bad operand type for abs(): 'str'"}


@pytest.mark.parametrize("labels", [np.array(1), np.eye(4)])
def test_labels_of_another_shape(tmp_path, labels):
    np.savez(tmp_path / "a.npz", images=np.zeros((4, 4, 4, 3), np.uint8), labels=labels)
    refused(tmp_path, "E704", "a.npz' have the shape", replace(PLAIN, path="a.npz"))


def test_labels_that_are_bytes(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.zeros((2, 4, 4, 3), np.uint8), labels=np.array([b"face", b"cat"]))
    assert opened(tmp_path, replace(PLAIN, path="a.npz")).classes == ("cat", "face")


def test_a_damaged_archive_of_arrays(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.zeros((9, 4, 4, 3), np.uint8))
    whole = (tmp_path / "a.npz").read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:300] + b"!" + whole[301:]):
        (tmp_path / "a.npz").write_bytes(damaged)
        refused(tmp_path, "E703", "a.npz' cannot be read as arrays", replace(PLAIN, path="a.npz"))


def test_when_all_are_corrupt(tmp_path):
    folder = folder_of(tmp_path, 2)
    for path in folder.rglob("*.png"):
        path.write_bytes(b"\x89PNG")
    with pytest.raises(LnetError, match="E706: none of the 2 images in 'images' can be decoded"):
        opened(tmp_path, RANDOM).batch(0, 4)


def test_labels_are_the_names_of_folders(tmp_path):
    folder_of(tmp_path)
    dataset = opened(tmp_path, replace(PLAIN, labels="folder"))
    assert dataset.classes == ("cat", "dog")
    batch = next(dataset.ordered(5))
    assert [dataset.classes[label] for label in batch.labels] == [name.split("/")[0] for name in batch.names]


def test_excluded_names(tmp_path):
    folder_of(tmp_path)
    (tmp_path / "bad.txt").write_text("cat/1.png  # a reason\n\n2.png\nnone.png\n")
    dataset = opened(tmp_path, replace(PLAIN, exclude="bad.txt"))
    assert dataset.count == 3
    assert dataset.unmatched == ("none.png",)
    (tmp_path / "bad.txt").write_text("cat/1.png\n", encoding="utf-8-sig")
    assert opened(tmp_path, replace(PLAIN, exclude="bad.txt")).count == dataset.count + 1


def refused(tmp_path, code, message, frames=PLAIN, channels=3):
    with pytest.raises(LnetError) as caught:
        opened(tmp_path, frames, channels).batch(0, 1)
    assert caught.value.diagnostics[0].code == code
    assert message in str(caught.value)


def test_missing_images(tmp_path):
    refused(tmp_path, "E701", "there is no file or folder 'images'")
    refused(tmp_path, "E701", "nothing matches the pattern '*.jpg'", replace(PLAIN, path="*.jpg"))


def test_empty_sources(tmp_path):
    (tmp_path / "images").mkdir()
    refused(tmp_path, "E702", "there are no images in 'images'")
    with tarfile.open(tmp_path / "a.tar", "w"):
        pass
    refused(tmp_path, "E702", "there are no images in 'a.tar'", replace(PLAIN, path="a.tar"))
    np.save(tmp_path / "a.npy", np.zeros((0, 4, 4, 3), np.uint8))
    refused(tmp_path, "E702", "there are no images in 'a.npy'", replace(PLAIN, path="a.npy"))
    (tmp_path / "a.doc").write_text("")
    refused(tmp_path, "E702", "is neither a folder nor an image", replace(PLAIN, path="a.doc"))


def test_what_is_a_comment_in_a_list_of_names(tmp_path):
    (tmp_path / "images").mkdir()
    for number, name in enumerate(("a #1.png", "b#2.png", "c.png")):
        picture(number).save(tmp_path / "images" / name)
    (tmp_path / "bad.txt").write_text("# all of these\nb#2.png\nc.png  # blurred\n")
    dataset = opened(tmp_path, replace(PLAIN, exclude="bad.txt"))
    assert (dataset.count, dataset.unmatched) == (1, ())


def test_everything_excluded(tmp_path):
    folder_of(tmp_path, 1)
    (tmp_path / "bad.txt").write_text("0.png")
    refused(tmp_path, "E702", "1 were excluded", replace(PLAIN, exclude="bad.txt"))


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("a.tar", "is not a readable tar archive"),
        ("a.npy", "cannot be read as arrays"),
        ("a.npz", "cannot be read as arrays"),
    ],
)
def test_unreadable_files(tmp_path, name, what):
    (tmp_path / name).write_bytes(b"nonsense" * 100)
    refused(tmp_path, "E703", what, replace(PLAIN, path=name))


def test_an_unreadable_video(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"nonsense" * 100)
    refused(tmp_path, "E703", "is not a readable video", replace(PLAIN, path="a.mp4"))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 8, 8), np.uint8), "has the shape [3, 8, 8]"),
        (np.zeros((3, 8, 8, 2), np.uint8), "has the shape [3, 8, 8, 2]"),
        (np.zeros((3, 8, 8, 3), np.int32), "holds int32"),
        (np.full((3, 8, 8, 3), 7.0), "has values from 7 to 7"),
        (np.full((3, 8, 8, 3), np.nan), "has values that are not finite"),
    ],
)
def test_arrays_that_hold_no_images(tmp_path, array, message):
    np.save(tmp_path / "a.npy", array)
    refused(tmp_path, "E704", message, replace(PLAIN, path="a.npy"))


def test_an_archive_of_arrays_that_is_unclear(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros(3), y=np.zeros(3))
    refused(
        tmp_path,
        "E704",
        "needs one array, or one named 'images'; found 'x', 'y'",
        replace(PLAIN, path="a.npz"),
    )
    np.savez(tmp_path / "a.npz", images=np.zeros((3, 8, 8, 3)), labels=np.zeros(2))
    refused(tmp_path, "E704", "has 3 images but 2 labels", replace(PLAIN, path="a.npz"))


def test_an_array_is_never_unpickled(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], object), allow_pickle=True)
    refused(tmp_path, "E703", "cannot be read as arrays", replace(PLAIN, path="a.npy"))


def test_other_numbers_of_channels(tmp_path):
    refused(tmp_path, "E705", "but the input has 2", channels=2)


def test_images_without_folders_have_no_labels(tmp_path):
    (tmp_path / "images").mkdir()
    picture(1).save(tmp_path / "images" / "a.png")
    refused(tmp_path, "E707", "'a.png' in 'images' is in none", replace(PLAIN, labels="folder"))


def test_an_unreadable_list_of_names(tmp_path):
    folder_of(tmp_path, 1)
    refused(tmp_path, "E708", "the list of names to exclude", replace(PLAIN, exclude="none.txt"))


def learned_by(tmp_path, *readouts, frames=PLAIN):
    dataset = open_frames(frames, 3, tmp_path, 0, classes=partial(order_classes, readouts=readouts))
    check_labels(dataset, readouts)
    return dataset


def test_classes_must_be_as_many_as_the_vector_is_long(tmp_path):
    folder_of(tmp_path)
    learned_by(tmp_path, Readout("q", 2, "top"), frames=replace(PLAIN, labels="folder"))
    with pytest.raises(
        LnetError, match="E710: the objective 'q' reads 3 values, but the images have 2 classes"
    ):
        learned_by(tmp_path, Readout("q", 3, "top"), frames=replace(PLAIN, labels="folder"))
    with pytest.raises(LnetError, match="E707: the objective 'q' needs labels"):
        learned_by(tmp_path, Readout("q", 2, "top"))


def test_errors_while_decoding_reach_the_trainer():
    class Broken(Dataset):
        def __init__(self):
            pass

        def batch(self, first, count):
            raise ValueError("broken")

    with feed(Broken(), 0, 3, 4) as batches, pytest.raises(ValueError, match="broken"):
        next(batches)
