"""Images that are not the same everywhere: no step is ever trained on a mixture of them, and none in silence."""

import os
import signal
import threading

import numpy as np
import pytest
from made_events import tile
from PIL import Image
from processes import PROGRAM, Watching, cluster, plan_of
from test_failures import process_of

import lnet
from lnet import LnetError
from lnet.runtime.cluster.actors.seen import SeenImages
from lnet.runtime.cluster.transport.inbox import Address, Mailbox, OtherImages
from lnet.runtime.data.checksums import Checksums

LONG = 10**6


def furnish(folder):
    """Six bitmaps of one size, which no image of another makes larger."""
    folder.mkdir()
    rng = np.random.default_rng(1)
    for number in range(6):
        Image.fromarray(rng.integers(0, 256, (18, 18), dtype=np.uint8)).save(folder / f"{number}.bmp")
    return folder


def replace(path):
    """Put another image of the same size into the place of one."""
    kept = path.stat().st_size
    Image.fromarray(np.full((18, 18), 9, np.uint8)).save(path)
    assert path.stat().st_size == kept


def address_of(client, name):
    (address,) = (a for a, w in client.scheduler_info(n_workers=-1)["workers"].items() if w["name"] == name)
    return address


def read_otherwise(name):
    """In a worker: read other bytes of an image, as from a disk of its own."""
    from lnet.runtime.data import files

    real = files.read_file
    files.read_file = lambda path: real(path)[:-1] + b"\x7f" if path.name == name else real(path)


def see_otherwise(name):
    """In a worker: see a file of another size."""
    from lnet.runtime.data import files, indexes

    real = files.stat_of
    files.stat_of = lambda path: (7, 0) if path.name == name else real(path)
    indexes.stat_of = files.stat_of


def test_tiles_that_read_different_images_end_the_run_E715(tmp_path):
    images = furnish(tmp_path / "images")
    with cluster(2) as client:
        client.run(read_otherwise, "3.bmp", workers=[address_of(client, "worker-1")])
        with pytest.raises(LnetError) as caught:
            lnet.train(plan_of(workers=2, steps=LONG), images, directory=tmp_path / "run", client=client)
    text = str(caught.value)
    assert "error E715: tile " in text
    assert "read different images in batch " in text
    assert (
        "'3.bmp' on worker-1 is not what this command reads" in text
        or "worker-0 reads what this command reads" in text
    )
    events = lnet.open_run(tmp_path / "run").events()
    assert events[-1].name == "failed"
    first = next(n for n, name in enumerate(_order(tmp_path, 400)) if name == "3.bmp") // 4
    assert len([event for event in events if event.name == "step"]) <= first


def _order(tmp_path, count):
    return lnet.open_run(tmp_path / "run").samples(count).names


def test_a_worker_that_sees_other_files_is_named_before_the_first_step(tmp_path):
    images = furnish(tmp_path / "images")
    with cluster(2) as client:
        client.run(see_otherwise, "2.bmp", workers=[address_of(client, "worker-1")])
        with pytest.raises(LnetError) as caught:
            lnet.train(plan_of(workers=2, steps=LONG), images, directory=tmp_path / "run", client=client)
    text = str(caught.value)
    assert "error E761: worker-1 (tcp://" in text
    assert "cannot open the images of the run" in text
    assert "the first that differs: '2.bmp' has 7 bytes, and had " in text


def test_workers_read_many_images_through_the_index_of_the_command(tmp_path, monkeypatch):
    """All but an image that is excluded; a name that no image has is said."""
    images = furnish(tmp_path / "images")
    monkeypatch.setattr("lnet.runtime.data.order.MANY", 4)
    (tmp_path / "left-out.txt").write_text("5.bmp\n9.bmp\n")
    program = PROGRAM.replace('"none"', f'"none", exclude = "{tmp_path / "left-out.txt"}"')
    plan = plan_of(workers=2, steps=3, program=program)
    alone = lnet.train(plan, images, directory=tmp_path / "alone")
    with cluster(2) as client:
        run = lnet.train(plan, images, directory=tmp_path / "run", client=client)
        for found in (alone, run):
            warnings = [event.message for event in found.events() if event.name == "warning"]
            assert warnings == ["'9.bmp' is to be excluded, but there is no such image"]
        assert run.info["data"]["order"] == 2
        assert (tmp_path / "run" / run.info["data"]["index"]).exists()
        for name, value in alone.checkpoint().params.items():
            np.testing.assert_allclose(run.checkpoint().params[name], value, atol=1e-5)
        client.run(see_otherwise, "2.bmp", workers=[address_of(client, "worker-1")])
        with pytest.raises(LnetError) as caught:
            lnet.train(plan_of(workers=2, steps=LONG), images, directory=tmp_path / "other", client=client)
    text = str(caught.value)
    assert "error E761: worker-1 (tcp://" in text
    assert "the first that differs: '2.bmp' has 7 bytes, and had " in text


@pytest.mark.parametrize(
    ("change", "first"),
    [
        (
            lambda images: (images / "3b.bmp").write_bytes((images / "0.bmp").read_bytes()),
            "'3b.bmp' was not among them",
        ),
        (lambda images: (images / "4.bmp").unlink(), "'4.bmp', image 5 of the run, is missing"),
        (
            lambda images: (images / "4.bmp").rename(images / "6.bmp"),
            "'4.bmp', image 5 of the run, is missing",
        ),
        (lambda images: replace(images / "4.bmp"), "the image '4.bmp' in '"),
    ],
    ids=["added", "removed", "renamed", "replaced"],
)
def test_a_worker_that_comes_back_to_other_images_is_left_out(tmp_path, change, first):
    images = furnish(tmp_path / "images")
    with cluster(2) as client:

        def strike():
            change(images)
            os.kill(process_of(client, "worker-1"), signal.SIGKILL)

        watching = Watching(at={40: strike})
        watching.until = lambda: any("is left out" in text for text in watching.messages)
        with pytest.raises(lnet.Interrupted):
            lnet.train(
                plan_of(workers=2, steps=LONG),
                images,
                directory=tmp_path / "run",
                client=client,
                reporter=watching,
            )
    (said,) = [text for text in watching.messages if "is left out" in text]
    assert said.startswith("worker-1 (tcp://")
    assert first in said
    (event,) = [event for event in lnet.open_run(tmp_path / "run").events() if event.name == "left out"]
    assert "images" in event.message or "image" in event.message


def test_arrays_of_other_images_are_never_used():
    inbox = Mailbox()
    address = Address(0, 1, 2, 0, "values 0", 0, 1, images=5)
    inbox.put(address, ["theirs"])
    assert inbox.take(Address(0, 1, 2, 0, "values 0", 0, 1, images=5), lambda: False) == ["theirs"]
    inbox.put(address, ["theirs"])
    with pytest.raises(OtherImages):
        inbox.take(Address(0, 1, 2, 0, "values 0", 0, 1, images=6), threading.Event().is_set)


class Samples:
    def __init__(self):
        self.checksums, self.catalog = Checksums(4), Catalog()


class Catalog:
    def shown(self, place):
        return "abcd"[place]


def take(seen, number, batch, images, read=()):
    return seen.take(tile(tile=number, batch=batch, images=images, read=read), f"w-{number}")


def test_tiles_without_anything_to_exchange_are_compared_by_the_command():
    seen = SeenImages(Samples())
    assert take(seen, 0, 7, "aa") is None
    assert take(seen, 1, 7, "aa") is None
    assert take(seen, 0, 8, "bb") is None
    error = take(seen, 1, 8, "cc")
    assert (
        "E715: tile 0 of replica 0 on w-0 and tile 1 of replica 0 on w-1 read different images in batch 8"
        in str(error)
    )


def test_an_image_that_two_replicas_read_differently_ends_the_run():
    seen = SeenImages(Samples())
    assert take(seen, 0, 1, "aa", ((2, 99), (3, 50))) is None
    assert take(seen, 0, 2, "bb", ((2, 99),)) is None
    assert "E748: the image 'c' has changed since it was first read" in str(
        take(seen, 0, 3, "cc", ((2, 98),))
    )
    assert seen.samples.checksums.take_fresh() == [(2, 99), (3, 50)]
