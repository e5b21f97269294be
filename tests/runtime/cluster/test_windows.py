"""Images that a group of tiles decodes together: each once, and every tile has the window that it would have cut itself."""

from collections import Counter
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from processes import images as pictures

from lnet.compiler.core.shapes import Size
from lnet.compiler.cut import decoding
from lnet.compiler.cut.schedule import schedule
from lnet.compiler.pipeline import Layout, compile_source
from lnet.dsl.diagnostics import Collector, LnetError
from lnet.dsl.source import Source
from lnet.runtime.cluster.actors import windows
from lnet.runtime.cluster.actors.images import Images
from lnet.runtime.cluster.actors.numerics import Differs
from lnet.runtime.cluster.actors.validator import PayloadValidator
from lnet.runtime.cluster.actors.windows import EXCHANGE, Windows
from lnet.runtime.cluster.config import RunConfig
from lnet.runtime.cluster.protocol.events import RoleId
from lnet.runtime.cluster.protocol.instructions import Compute
from lnet.runtime.cluster.protocol.updates import Update
from lnet.runtime.cluster.protocol.wire import Malformed
from lnet.runtime.cluster.transport.inbox import Address, Cancelled, Mailbox
from lnet.runtime.data import open_frames
from lnet.runtime.data.checksums import UNREAD
from lnet.runtime.engine.exchanges import exchanges

TILES = Size(2, 3)
BATCH = 10
PROGRAM = """
network small { image: input(16x16x1); filter: local(5, maps = 3); pool: l2pool(3); learn: l2(of = pool) }
train { data = frames("FOLDER", crop = random, flip = true, labels = folder); batch = 10; steps = 9 }
"""


@pytest.fixture
def groups_of_three(monkeypatch):
    monkeypatch.setattr(decoding, "MOST", 4)
    assert [list(group) for group in decoding.groups_of(6)] == [[0, 1, 2], [3, 4, 5]]


@pytest.fixture
def folder(tmp_path):
    """Images in two classes, one of which cannot be decoded."""
    for number, pixels in enumerate(pictures(count=25, size=20)):
        where = tmp_path / "ab"[number % 2]
        where.mkdir(exist_ok=True)
        Image.fromarray((255 * pixels[..., 0]).astype(np.uint8)).save(where / f"{number:02d}.png")
    (tmp_path / "a" / "04.png").write_bytes(b"none")
    return tmp_path


def config_of(folder, shared=True, program=PROGRAM):
    source = Source(program.replace("FOLDER", str(folder)), "small.lnet")
    plan = compile_source(source, {}, Collector(source), Layout(workers=6, tiles=TILES))
    where = str(folder)
    return RunConfig("run", plan.to_json(), where, where, None, workers=6, capacity=1, shared=shared)


class Group:
    """The tiles of a replica, each in a process of its own, and what they send each other."""

    def __init__(self, config):
        self.config, self.sent, self.decoded = config, [], Counter()
        self.inboxes = [Mailbox() for _ in range(6)]
        self.images = [Images(config) for _ in range(6)]
        self.windows = [
            Windows(config, images, inbox, self.send)
            for images, inbox in zip(self.images, self.inboxes, strict=True)
        ]
        for tile, images in enumerate(self.images):
            images.dataset._usable = partial(self.count, tile, images.dataset._usable)

    def count(self, tile, usable, number):
        self.decoded[number] += 1
        return usable(number)

    def send(self, role, to, address, arrays):
        self.sent.append((address, arrays))
        self.inboxes[int(to)].put(address, arrays)

    def compute(self, tile, batch, generation=1):
        role = RoleId("tile", 0, tile, serial=1)
        peers = tuple(map(str, range(6)))
        return Compute(role, generation, peers, Update(0, batch), 0, batch, True, True, False)

    def step(self, batch, ahead=(), generation=1):
        """Compute a step: every tile says what it needs, then takes its window."""
        computes = [self.compute(tile, batch, generation) for tile in range(6)]
        for tile, compute in enumerate(computes):
            self.windows[tile].expect(compute, (batch, *ahead))
        return [
            self.windows[tile].take(compute, compute.batch, lambda: False)
            for tile, compute in enumerate(computes)
        ]

    def close(self):
        for images in self.images:
            images.close()


@pytest.fixture
def group(folder, groups_of_three):
    found = Group(config_of(folder))
    yield found
    found.close()


def alone(config):
    """The batches as a process reads them that decodes everything."""
    graph = config.plan.graph
    return open_frames(graph.training.data, 1, Path(config.base), graph.training.seed)


def assert_windows(found, batch, config):
    whole = alone(config).batch(batch * BATCH, BATCH)
    for tile, mine in enumerate(found):
        image = schedule(config.plan.graph, config.plan.partition, tile).image
        rows, columns = image.rows, image.columns
        wanted = whole.images[:, rows.start : rows.stop, columns.start : columns.stop]
        np.testing.assert_array_equal(mine.images, wanted)
        np.testing.assert_array_equal(mine.labels, whole.labels)
        assert (mine.names, mine.sum) == (whole.names, whole.sum)


def test_every_tile_has_its_window_and_each_image_is_decoded_once_a_group(group):
    for batch in range(4):
        assert_windows(group.step(batch), batch, group.config)
    assert group.decoded == dict.fromkeys(range(40), 2)


def test_without_groups_every_tile_decodes_every_image(folder):
    found = Group(config_of(folder, shared=False))
    for batch in range(2):
        assert_windows(found.step(batch), batch, found.config)
    assert found.decoded == dict.fromkeys(range(20), 6)
    assert not found.sent
    found.close()


def test_both_views_come_from_the_tile_that_decodes_an_image(folder, groups_of_three):
    found = Group(config_of(folder, program=PROGRAM.replace("flip = true", "flip = true, views = 2")))
    for batch in range(2):
        assert_windows(found.step(batch), batch, found.config)
    assert found.decoded == dict.fromkeys(range(20), 2)
    validator = PayloadValidator(found.config, None, None)
    for address, arrays in found.sent:
        validator.check_exchange(address, arrays)
    # Of the last two senders, the later one has no image that is in the batch twice.
    ordered = sorted(found.sent, key=lambda each: (each[0].number, each[0].sender))
    sent = [(address, arrays) for address, arrays in ordered if address.receiver == 0][-2:]
    address, (_window, record) = sent[1]
    found.images[0].dataset.checksums._known[record[-1, 0]] += 1
    for each in sent:
        found.inboxes[0].put(*each)
    with pytest.raises(Differs) as caught:
        found.windows[0].take(found.compute(0, address.number), address.number, lambda: False)
    assert caught.value.other == address.sender
    found.close()


def test_windows_in_another_order_are_noticed(group):
    """The control: what is compared above is the place of each image in the batch, too."""
    real = group.inboxes[0].put
    group.inboxes[0].put = lambda address, arrays: real(address, [arrays[0][::-1], arrays[1]])
    found = group.step(0)
    with pytest.raises(AssertionError):
        assert_windows(found, 0, group.config)


def test_windows_are_sent_ahead_and_once(group):
    assert_windows(group.step(0, ahead=(1, 2)), 0, group.config)
    for images in group.images:
        images.pool.submit(int).result()
    assert Counter(address.number for address, _ in group.sent) == {0: 12, 1: 12, 2: 12}
    assert_windows(group.step(1, ahead=(2,)), 1, group.config)
    for images in group.images:
        images.pool.submit(int).result()
    assert len(group.sent) == 36
    assert group.decoded == dict.fromkeys(range(30), 2)


@pytest.mark.parametrize("generation", [1, 2], ids=["cancelled", "a new generation"])
def test_what_was_sent_ahead_is_sent_again_after_a_loss_and_not_decoded_again(group, generation):
    group.step(0, ahead=(1, 2))
    for tile, inbox in enumerate(group.inboxes):
        inbox.clear()
        if generation == 1:
            group.windows[tile].cancel(RoleId("tile", 0, tile, serial=1))
    assert_windows(group.step(1, ahead=(2,), generation=generation), 1, group.config)
    assert group.decoded == dict.fromkeys(range(30), 2)


def test_a_tile_waits_for_its_group_until_it_is_cancelled(group):
    compute = group.compute(0, 0)
    group.windows[0].expect(compute, (0,))
    with pytest.raises(Cancelled):
        group.windows[0].take(compute, compute.batch, lambda: True)


def test_corrupt_images_and_what_was_read_first_are_known_to_the_first_group(group):
    for batch in range(3):
        group.step(batch)
    first = [image for images in group.images[:3] for image in images.newly_read()]
    assert len(dict(first)) == 25
    skipped = {note for images in group.images[:3] for note in images.newly_skipped()}
    assert len(skipped) == 1
    assert "a/04.png" in skipped.pop()


def test_every_tile_knows_what_its_group_has_read(group, folder):
    for batch in range(3):
        group.step(batch)
    Image.fromarray(np.zeros((20, 20), np.uint8)).save(folder / "a" / "00.png")
    for images in group.images:
        known = [images.dataset.checksums[place] for place in range(25)]
        assert known.count(UNREAD) <= 1, "it knows all that can be decoded"
        with pytest.raises(LnetError, match=r"E748: the image 'a/00.png' in '.*' has changed since"):
            images.dataset.check(0)


def test_windows_of_an_image_that_is_another_one_here_are_not_used(group):
    group.step(0)
    to_first = [(address, arrays) for address, arrays in group.sent if address.receiver == 0]
    for address, arrays in to_first:
        group.inboxes[0].put(address, arrays)
    sender, (_, record) = to_first[0][0].sender, to_first[0][1]
    group.images[0].dataset.checksums._known[record[0, 0]] += 1
    with pytest.raises(Differs) as caught:
        group.windows[0].take(group.compute(0, 0), 0, lambda: False)
    found = caught.value
    assert (found.tile, found.other, found.batch) == (0, sender, 0)
    assert found.names[sender] == group.images[0].dataset.names[record[0, 0]]


def test_what_no_tile_of_the_group_sends_is_refused(group):
    config = group.config
    group.step(0)
    validator = PayloadValidator(
        config, lambda tile: schedule(config.plan.graph, config.plan.partition, tile), None
    )
    for address, arrays in group.sent:
        validator.check_exchange(address, arrays)
        assert validator.most(address) == max(array.nbytes for array in arrays)
    address, (window, record) = group.sent[0]
    for wrong in (
        (window, record, record),
        (window[:-1], record),
        (window[:, 1:], record),
        (window.astype(np.float64), record),
        (window, record.astype(np.int32)),
        (window,),
    ):
        with pytest.raises(Malformed, match=f"'images' of tile {address.sender} must be float32"):
            validator.check_exchange(address, wrong)
    for sender, receiver in ((0, 0), (0, 3), (5, 1), (-1, 0), (6, 5)):
        with pytest.raises(Malformed, match="no such"):
            validator.check_exchange(Address(0, 1, 0, 0, EXCHANGE, sender, receiver), [window, record])
    with pytest.raises(Malformed, match="no such exchange"):
        PayloadValidator(replace(config, shared=False), None, None).check_exchange(address, [window, record])


VALIDATED = """
network n { image: input(8x8x1); f: local(3, 2); g: local(3, 1); q: l2(g) }
train { data = frames("none"); validation = frames("none"); batch = 4 }
"""


def test_a_batch_of_a_validation_may_be_smaller_and_not_larger():
    source = Source(VALIDATED, "n.lnet")
    plan = compile_source(source, {}, Collector(source), Layout(workers=2, tiles=Size(1, 2)))
    config = RunConfig("run", plan.to_json(), ".", ".", None, workers=2, capacity=1)
    validated = partial(schedule, plan.graph.validated, plan.partition)
    (sender, name), shapes = next(
        found
        for found in exchanges(plan.graph.validated, plan.partition, validated(0), 4).items()
        if found[0][1].startswith("values")
    )
    validator = PayloadValidator(config, None, validated)
    address = Address(0, 1, 1, 0, f"validation: {name}", sender, 0)
    for rows in range(7):
        arrays = [np.zeros((*shape[:-1], rows), np.float32) for shape in shapes]
        with nullcontext() if 0 < rows <= 4 else pytest.raises(Malformed, match=f"'validation: {name}' of"):
            validator.check_exchange(address, arrays)
    back = next(
        name for _, name in exchanges(plan.graph, plan.partition, validated(0), 4) if "gradients" in name
    )
    with pytest.raises(Malformed, match="no such exchange"):
        validator.check_exchange(replace(address, exchange=f"validation: {back}"), [])


def test_a_place_that_there_is_not_is_an_error(group):
    compute = group.compute(0, 0)
    group.windows[0].expect(compute, (0,))
    for sender in (1, 2):
        window, record = (
            np.zeros(shape, dtype) for shape, dtype in windows.expected(group.config, sender, 0)
        )
        group.inboxes[0].put(
            Address(0, 1, 0, 0, EXCHANGE, sender, 0), [window, record + np.array([99, 0, 0, 0], np.uint32)]
        )
    with pytest.raises(LnetError, match="another process has read image 100, and there are 25 here"):
        group.windows[0].take(compute, compute.batch, lambda: False)


def test_more_tiles_than_images_in_a_batch(folder):
    """Those that decode nothing wait for the others."""
    found = Group(config_of(folder, program=PROGRAM.replace("batch = 10", "batch = 4")))
    first, *others = found.step(0)
    assert all(mine.sum == first.sum for mine in others)
    assert found.decoded == dict.fromkeys(range(4), 1)
    assert {address.sender for address, _ in found.sent} == {0, 1, 2, 3}
    found.close()
