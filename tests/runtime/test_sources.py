"""Where images lie: what counts as one, what an archive leaves when it is unpacked, and what is said of all else."""

import bz2
import errno
import gzip
import io
import os
import stat
import subprocess
import tarfile
import zipfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lnet
from lnet.compiler.core.shapes import Size
from lnet.compiler.settings import Frames
from lnet.dsl.diagnostics import LnetError
from lnet.runtime.data import Kept, open_frames
from lnet.runtime.training.progress import Silent

PLAIN = Frames("pics", Size(4, 4), crop="center", flip=False, normalize="none")


def png(grey=9, size=(4, 4)):
    file = io.BytesIO()
    Image.fromarray(np.full(size, grey, np.uint8)).save(file, "PNG")
    return file.getvalue()


def write(folder, *names, data=None):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(png() if data is None else data)
    return folder


def opened(base, path="pics", **how):
    return open_frames(replace(PLAIN, path=path), 1, base, 0, **how)


def greys(dataset):
    """Return the grey of each image by its name."""
    places = range(dataset.count)
    return {dataset.names[p]: round(float(dataset.at([p]).images.mean()) * 255) for p in places}


def refusal(base, path):
    with pytest.raises(LnetError) as caught:
        opened(base, path)
    return str(caught.value)


def add(archive, name, data=None, **fields):
    info = tarfile.TarInfo(name)
    info.size = len(data or b"")
    for field, value in fields.items():
        setattr(info, field, value)
    archive.addfile(info, io.BytesIO(data or b""))


# --- what counts as an image -----------------------------------------------------------------------------

HIDDEN = (
    ".hidden.png",
    "cat/._0.png",
    ".ipynb_checkpoints/0-checkpoint.png",
    "cat/.thumbs/0.png",
    "__MACOSX/cat/0.png",
)


def pack(folder, kind):
    """Return the path of a folder that is packed."""
    if kind == "folder":
        return folder.name
    if kind == "tar":
        with tarfile.open(f"{folder}.tar", "w") as archive:
            archive.add(folder, ".")
    else:
        with zipfile.ZipFile(f"{folder}.zip", "w") as archive:
            for path in sorted(folder.rglob("*")):
                archive.write(path, path.relative_to(folder))
    return f"{folder.name}.{kind}"


@pytest.mark.parametrize("kind", ["folder", "tar", "zip"])
def test_hidden_files_and_folders_are_no_images_and_no_classes(tmp_path, kind):
    write(tmp_path / "pics", "cat/0.png", "dog/1.png", *HIDDEN)
    dataset = open_frames(replace(PLAIN, path=pack(tmp_path / "pics", kind), labels="folder"), 1, tmp_path, 0)
    assert [name.removeprefix("./") for name in dataset.names] == ["cat/0.png", "dog/1.png"]
    assert dataset.classes == ("cat", "dog")
    assert dataset.contents.ignored == {}


def test_a_folder_that_is_hidden_itself_may_be_named(tmp_path):
    assert opened(write(tmp_path, ".data/pics/0.png"), ".data/pics").count == 1
    assert opened(tmp_path, ".data/*/*.png").count == 1


@pytest.mark.parametrize("kind", ["folder", "tar", "zip"])
def test_files_that_are_no_images_are_counted(tmp_path, kind):
    write(tmp_path / "pics", "a/0.PNG", "a/x.raw", "b/y.RAW", "b/z.txt", "noext")
    path = pack(tmp_path / "pics", kind)
    assert str(opened(tmp_path, path).contents) == (
        f"1 image in '{path}' (4 files ignored: 2 .raw, 1 without a suffix, 1 .txt)"
    )


def test_what_pillow_reads_counts(tmp_path):
    (tmp_path / "pics").mkdir()
    picture = Image.fromarray(np.full((4, 4, 3), 90, np.uint8))
    picture.save(tmp_path / "pics" / "a.jfif", "JPEG")
    names = ["a.jfif"]
    if ".avif" in Image.registered_extensions():
        picture.save(tmp_path / "pics" / "b.avif")
        names.append("b.avif")
    write(tmp_path, "pics/c.heic")
    dataset = opened(tmp_path)
    assert list(dataset.names) == names
    assert dataset.contents.ignored == {".heic": 1}
    assert all(abs(grey - 90) <= 2 for grey in greys(dataset).values())


def test_a_run_that_began_before_lists_files_as_it_did(tmp_path):
    write(tmp_path / "pics", "cat/0.png", *HIDDEN)
    write(tmp_path / "pics", "a.jfif")
    assert opened(tmp_path, kept=Kept(listing=1)).count == 1 + len(HIDDEN)
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for _ in range(2):
            add(archive, "a.png", png())
        add(archive, "b.png", type=tarfile.LNKTYPE, linkname="a.png")
    assert opened(tmp_path, "a.tar", kept=Kept(listing=1)).count == 2


def test_an_excluded_name_may_have_some_of_its_folders(tmp_path):
    write(tmp_path, *(f"pics/{name}" for name in ("x/cat/0.png", "x/dog/0.png", "y/cat/1.png")))
    (tmp_path / "bad.txt").write_text("cat/0.png\nx/dog/0.png\nog/0.png\n")
    dataset = open_frames(replace(PLAIN, exclude="bad.txt"), 1, tmp_path, 0)
    assert (dataset.names, dataset.unmatched) == (("y/cat/1.png",), ("og/0.png",))
    assert dataset.contents.excluded == 2


# --- folders ---------------------------------------------------------------------------------------------


def test_links_are_followed_and_loops_end(tmp_path):
    write(tmp_path, "elsewhere/0.png", "pics/dog/1.png")
    (tmp_path / "pics" / "cat").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "pics" / "dog" / "up").symlink_to("..")
    (tmp_path / "pics" / "self.png").symlink_to("self.png")
    (tmp_path / "pics" / "gone.png").symlink_to("nowhere.png")
    dataset = opened(tmp_path)
    assert list(dataset.names) == ["cat/0.png", "dog/1.png", "gone.png", "self.png"]
    assert [dataset.decodable(place) for place in range(4)] == [True, True, False, False]
    assert dataset.skipped["gone.png"] == f"it cannot be read: {os.strerror(errno.ENOENT)}"
    assert dataset.skipped["self.png"] == f"it cannot be read: {os.strerror(errno.ELOOP)}"


def test_what_cannot_be_read_now_is_no_corrupt_image(tmp_path, monkeypatch):
    write(tmp_path, "pics/0.png", "pics/1.png")
    dataset = opened(tmp_path)
    read = Path.read_bytes

    def failing(path):
        if path.name == "1.png":
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", failing)
    with pytest.raises(LnetError, match=r"E703: '.*1\.png' cannot be read") as caught:
        dataset.batch(0, 2)
    assert os.strerror(errno.EMFILE) in str(caught.value)
    assert dataset.skipped == {}


def test_names_that_are_no_text(tmp_path):
    write(tmp_path, "pics/naïve 名 #1.png")
    raw = os.path.join(os.fsencode(tmp_path), b"pics", b"\xff.png")
    with open(raw, "wb") as file:
        file.write(b"nothing")
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(tmp_path / "pics", "pics")
    for path in ("pics", "a.tar"):
        dataset = opened(tmp_path, path)
        assert [dataset.decodable(place) for place in range(2)] == [True, False]


def test_a_place_with_the_characters_of_patterns_in_its_name(tmp_path):
    write(tmp_path, "[x]*/pics/0.png", "[x]*/pics/1.png")
    assert opened(tmp_path / "[x]*", "pics/*.png").count == 2
    assert opened(tmp_path, "[x]*/pics").count == 2


@pytest.mark.parametrize("name", ["a.tar", "a.zip", "a.npy", "a.mp4", "pics"])
def test_what_the_system_does_not_let_a_process_read_is_not_damaged(tmp_path, name, monkeypatch):
    archive_of(tmp_path / "a.tar")
    write(tmp_path, "a.zip", "a.npy", "a.mp4", "pics/0.png")

    def denied(path, *how, **named):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr("builtins.open", denied)
    monkeypatch.setattr("os.scandir", denied)
    error = refusal(tmp_path, name)
    monkeypatch.undo()
    assert f"E703: '{tmp_path / name}' cannot be read" in error
    assert os.strerror(errno.EACCES) in error


# --- archives --------------------------------------------------------------------------------------------


def test_links_in_an_archive_are_what_they_lead_to(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        add(archive, "./a/0.png", png(10))
        add(archive, "b/hard.png", type=tarfile.LNKTYPE, linkname="a/0.png")
        add(archive, "b/soft.png", type=tarfile.SYMTYPE, linkname="../a/0.png")
        add(archive, "b/softer.png", type=tarfile.SYMTYPE, linkname="soft.png")
        add(archive, "b/loop.png", type=tarfile.SYMTYPE, linkname="loop.png")
        add(archive, "b/none.png", type=tarfile.LNKTYPE, linkname="none.png")
    dataset = opened(tmp_path, "a.tar")
    good = [name for place, name in enumerate(dataset.names) if dataset.decodable(place)]
    assert good == ["./a/0.png", "b/hard.png", "b/soft.png", "b/softer.png"]
    assert set(dataset.skipped) == {"a.tar/b/loop.png", "a.tar/b/none.png"}
    assert "link" in dataset.skipped["a.tar/b/none.png"]
    good = [dataset.names.index(name) for name in good]
    np.testing.assert_allclose(dataset.at(good).images, 10 / 255, atol=1e-6)


def test_of_several_members_of_one_name_the_last_counts(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        add(archive, "0.png", png(10))
        add(archive, "early.png", type=tarfile.LNKTYPE, linkname="0.png")
        add(archive, "./0.png", png(20))
    assert greys(opened(tmp_path, "a.tar")) == {"./0.png": 20, "early.png": 10}


def test_links_in_a_zip_archive(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/0.png", png(10))
        link = zipfile.ZipInfo("b/0.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "../a/0.png")
    assert greys(opened(tmp_path, "a.zip")) == {"a/0.png": 10, "b/0.png": 10}


def test_holes_in_a_sparse_member_are_zeros(tmp_path):
    """A bitmap whose middle is black, as `tar --sparse` stores it: the pieces beside the hole, one after the other."""
    pixels = np.zeros((64, 64), np.uint8)
    pixels[:8], pixels[-8:] = 50, 200
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "BMP")
    data = file.getvalue()
    front, back = 2048, len(data) - 512
    (tmp_path / "a.bmp").write_bytes(data)
    header = tarfile.TarInfo("a.bmp")
    header.type, header.size = tarfile.GNUTYPE_SPARSE, front + len(data) - back
    block = bytearray(header.tobuf(tarfile.GNU_FORMAT))
    for at, value in ((386, 0), (398, front), (410, back), (422, len(data) - back), (483, len(data))):
        block[at : at + 12] = b"%011o\0" % value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    assert not any(data[front:back])
    stored = data[:front] + data[back:]
    stored += b"\0" * (-len(stored) % 512)
    (tmp_path / "a.tar").write_bytes(bytes(block) + stored + b"\0" * 1024)
    dataset = opened(tmp_path, "a.tar")
    np.testing.assert_array_equal(dataset.original(0)[..., 0], pixels)


def archive_of(path, count=3):
    with tarfile.open(path, "w") as archive:
        for number in range(count):
            add(archive, f"{number}.png", png(number, (40, 40)))
    return path.read_bytes()


@pytest.mark.parametrize(
    ("name", "compress", "command"),
    [
        ("a.tar.gz", gzip.compress, "gunzip --keep 'PLACE/a.tar.gz'; then name 'a.tar'"),
        ("a.tgz", gzip.compress, "gunzip --keep 'PLACE/a.tgz'; then name 'a.tar'"),
        ("a.tar.bz2", bz2.compress, "bunzip2 --keep 'PLACE/a.tar.bz2'; then name 'a.tar'"),
        ("a.tar.zst", lambda data: b"\x28\xb5\x2f\xfd", "unzstd --keep 'PLACE/a.tar.zst'; then name 'a.tar'"),
        ("lying.tar", gzip.compress, "mv 'PLACE/lying.tar' 'PLACE/lying.tar.gz' && gunzip"),
        ("a.npy.gz", gzip.compress, "gunzip --keep 'PLACE/a.npy.gz'; then name 'a.npy'"),
    ],
)
def test_a_compressed_archive_says_how_it_is_unpacked(tmp_path, name, compress, command):
    (tmp_path / name).write_bytes(compress(archive_of(tmp_path / "whole.tar")))
    for path in (name, f"{name[:2]}*{name[2:]}"):
        error = refusal(tmp_path, path)
        assert f"E711: '{tmp_path / name}' is compressed" in error
        assert command.replace("PLACE", str(tmp_path)) in error


def test_an_archive_that_was_cut_off_says_so_wherever_it_was(tmp_path):
    whole = archive_of(tmp_path / "whole.tar")
    with tarfile.open(tmp_path / "whole.tar") as archive:
        second, third = archive.getmembers()[1:]
    for end in (second.offset, second.offset + 100, second.offset_data, second.offset_data + 9, third.offset):
        (tmp_path / "cut.tar").write_bytes(whole[:end])
        assert "E703: the archive" in (error := refusal(tmp_path, "cut.tar"))
        assert "cut.tar' ends early" in error


def test_an_archive_that_is_damaged_in_its_middle(tmp_path):
    data = bytearray(archive_of(tmp_path / "a.tar"))
    with tarfile.open(tmp_path / "a.tar") as archive:
        second = archive.getmembers()[1]
    data[second.offset + 10] ^= 255
    (tmp_path / "a.tar").write_bytes(data)
    error = refusal(tmp_path, "a.tar")
    assert "a.tar' is damaged" in error
    assert f"at byte {second.offset:,}" in error


def test_archives_one_after_the_other(tmp_path):
    data = archive_of(tmp_path / "a.tar")
    (tmp_path / "a.tar").write_bytes(data + data)
    error = refusal(tmp_path, "a.tar")
    assert "is several archives in one file, of which only the first would be read" in error
    assert "tar -A" in error


def test_a_zip_archive_that_is_cut_off_or_encrypted(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("0.png", png())
    whole = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(whole[: len(whole) // 2])
    assert "a.zip' ends early" in refusal(tmp_path, "a.zip")
    locked = bytearray(whole)
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        locked[whole.index(mark) + flags] |= 1
    (tmp_path / "a.zip").write_bytes(locked)
    error = refusal(tmp_path, "a.zip")
    assert "a.zip' is encrypted" in error
    assert "hint: unpack it" in error


def test_a_folder_without_images_is_that_of_the_archives_in_it(tmp_path):
    (tmp_path / "shards" / "deep").mkdir(parents=True)
    archive_of(tmp_path / "shards" / "b.tar")
    archive_of(tmp_path / "shards" / "deep" / "c.tar", 2)
    with zipfile.ZipFile(tmp_path / "shards" / "a.zip", "w") as archive:
        archive.writestr("9.png", png(9))
    write(tmp_path, "shards/.hidden.tar", "shards/note.txt")
    dataset = opened(tmp_path, "shards")
    assert dataset.names == ("9.png", "0.png", "1.png", "2.png", "0.png", "1.png")
    assert str(dataset.contents) == "6 images in 'shards' (3 archives; 1 file ignored: 1 .txt)"
    assert opened(tmp_path, "shards/**/*.tar").count == 5
    write(tmp_path, "shards/deep/0.png")
    assert str(opened(tmp_path, "shards").contents) == (
        "1 image in 'shards' (4 files ignored: 2 .tar, 1 .txt, 1 .zip)"
    )


def test_files_that_a_folder_does_not_stand_for_are_named_with_a_pattern(tmp_path):
    (tmp_path / "sets" / "deep").mkdir(parents=True)
    np.save(tmp_path / "sets" / "a.npy", np.zeros((3, 4, 4, 1), np.uint8))
    error = refusal(tmp_path, "sets")
    assert "E712: there are no images in 'sets', but files that may hold some: 1 .npy" in error
    assert "hint: name them with a pattern: 'sets/*.npy'" in error
    (tmp_path / "sets" / "a.npy").rename(tmp_path / "sets" / "deep" / "a.npy")
    assert "'sets/**/*.npy'" in refusal(tmp_path, "sets")
    assert opened(tmp_path, "sets/**/*.npy").count == 3
    write(tmp_path, "stores/a.zarr.zip", data=b"")
    assert "files that may hold some: 1 .zip" in refusal(tmp_path, "stores")


def test_the_command_that_unpacks_a_folder_does(tmp_path):
    (tmp_path / "my shards" / "deep").mkdir(parents=True)
    for name in ("a", "deep/b"):
        packed = gzip.compress(archive_of(tmp_path / "a.tar"))
        (tmp_path / "my shards" / f"{name}.tar.gz").write_bytes(packed)
    error = refusal(tmp_path, "my shards")
    assert "E711: there are no images in 'my shards', but compressed files: 2 .gz" in error
    command = error.partition("unpack them once: ")[2]
    subprocess.run(command, shell=True, cwd=tmp_path, check=True, capture_output=True)
    assert str(opened(tmp_path, "my shards").contents) == (
        "6 images in 'my shards' (2 archives; 2 files ignored: 2 .gz)"
    )


def test_an_archive_of_archives_is_unpacked_once(tmp_path):
    inner = archive_of(tmp_path / "a.tar")
    with tarfile.open(tmp_path / "nested.tar", "w") as archive:
        add(archive, "a.tar", inner)
    error = refusal(tmp_path, "nested.tar")
    assert "E712: there are no images in 'nested.tar', but files that may hold some: 1 .tar" in error
    assert "tar -xf 'nested.tar' -C 'nested'" in error


# --- what a run begins with ------------------------------------------------------------------------------

TEXT = """
network edges { image: input(4x4x1); code: local(2, 2); learn: l2() }
train { data = frames("pics"); batch = 2; steps = 7 }
"""


class Heard(Silent):
    def __init__(self):
        self.messages = []

    def said(self, message):
        self.messages.append(message)

    def started(self, step, steps):
        self.messages.append("started")


def begun(folder, data=None, text=TEXT):
    """Return what a run says before its first step, and what its log says of the data."""
    (folder / "edges.lnet").write_text(text)
    heard = Heard()
    directory = folder / f"run-{len(list(folder.glob('run-*')))}"
    run = lnet.train(lnet.compile(folder / "edges.lnet"), data, directory=directory, reporter=heard)
    (event,) = [event for event in run.events() if event.name == "data"]
    assert heard.messages[0] == event.message
    assert "started" in heard.messages
    return event


def test_a_run_begins_with_what_it_trains_on(tmp_path):
    write(tmp_path, *(f"pics/{number}.png" for number in range(5)), "pics/a.txt", "pics/b.pef", "pics/c.pef")
    event = begun(tmp_path)
    assert event.message == (
        "edges.lnet: 5 images in 'pics' (3 files ignored: 2 .pef, 1 .txt), 2 a step, 2.8 passes"
    )
    assert event.ignored == {".pef": 2, ".txt": 1}
    heard = Heard()
    lnet.resume(tmp_path / "run-0", steps=9, reporter=heard)
    changed, found = heard.messages[:2]
    assert changed == "from step 7 on: steps = 9, was 7"
    assert found == event.message.replace("2.8", "3.6")


def test_whatever_it_trains_on_has_its_name(tmp_path):
    archive_of(tmp_path / "a.tar")
    archive_of(tmp_path / "b.tar")
    np.save(tmp_path / "c.npy", np.zeros((7, 4, 4, 1), np.uint8))
    (tmp_path / "bad.txt").write_text("0.png\n")
    place = tmp_path.resolve()
    for data, said in (
        ("*.tar", f"6 images in '{place}/*.tar' (2 archives), 2 a step, 2.33 passes"),
        ("c.npy", f"7 images in '{place}/c.npy', 2 a step, 2 passes"),
        ("[ac].*", f"10 images in '{place}/[ac].*' (1 archive, 1 array file), 2 a step, 1.4 passes"),
    ):
        assert begun(tmp_path, tmp_path / data).message == f"edges.lnet: {said}"
    images = np.zeros((14, 4, 4, 1), np.float32)
    assert begun(tmp_path, images).message == "edges.lnet: 14 images in memory, 2 a step, 1 pass"
    text = TEXT.replace('"pics"', '"a.tar", exclude = "bad.txt"')
    assert begun(tmp_path, text=text).message == (
        "edges.lnet: 2 images in 'a.tar' (1 excluded), 2 a step, 7 passes"
    )


def test_the_frames_of_a_video_are_frames(tmp_path):
    import av

    for name in ("a", "b"):
        with av.open(str(tmp_path / f"{name}.mp4"), "w") as container:
            stream = container.add_stream("mpeg4", rate=10)
            stream.width = stream.height = 16
            for _ in range(4):
                frame = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    assert str(opened(tmp_path, "a.mp4").contents) == "4 frames in 'a.mp4'"
    assert str(opened(tmp_path, "?.mp4").contents) == "8 frames in '?.mp4' (2 videos)"
    for name, kind in (("a", "cat"), ("b", "dog")):
        (tmp_path / kind).mkdir()
        (tmp_path / f"{name}.mp4").rename(tmp_path / kind / f"{name}.mp4")
    dataset = open_frames(replace(PLAIN, path="*/*.mp4", labels="folder"), 1, tmp_path, 0)
    assert dataset.classes == ("cat", "dog")
    assert dataset.labels.tolist() == [0] * 4 + [1] * 4


@pytest.mark.parametrize("kind", ["tar", "zip", "npz"])
def test_a_damaged_file_costs_a_message_whatever_its_reader_makes_of_it(tmp_path, kind):
    write(tmp_path / "pics", "a/0.png", "a/1.png")
    if kind == "npz":
        np.savez(tmp_path / "pics.npz", images=np.zeros((2, 4, 4, 1), np.uint8), labels=np.arange(2))
    else:
        pack(tmp_path / "pics", kind)
    path = tmp_path / f"pics.{kind}"
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    for _ in range(150):
        data = bytearray(whole)
        for at in rng.integers(0, len(data), 4):
            data[at] = rng.choice([0, 32, 48, 255])
        path.write_bytes(data)
        with suppress(LnetError):
            dataset = open_frames(replace(PLAIN, path=path.name, labels="folder"), 1, tmp_path, 0)
            assert sum(map(dataset.decodable, range(dataset.count))) + len(dataset.skipped) == dataset.count
