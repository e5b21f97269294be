"""What shards read of a checkpoint when they load it: the bytes that they need, each of them checked, and little else."""

import hashlib
import io
from itertools import product

import numpy as np
import pytest

from lnet.compiler.core.shapes import Interval, Region, Rows, Size
from lnet.dsl.diagnostics import LnetError
from lnet.runtime.store import safetensors, shards
from lnet.runtime.store.blocks import BLOCK, CHECKSUMS
from lnet.runtime.store.checkpoints import CheckpointFolder
from lnet.runtime.store.safetensors import Damaged, open_arrays, write_arrays
from lnet.runtime.store.shards import opened, save_shard

SHAPES = {"V.weight": (40, 40, 10, 10, 3, 8), "V.bias": (40, 40, 8), "top.weight": (30, 50)}
"""Weights of positions, of which each has 9.6 kB, and weights that are dealt out by rows."""
WHOLE = {
    name: np.random.default_rng(7).normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()
}
LAYOUTS = [Size(1, 1), Size(3, 3), Size(4, 4)]


def line(size, index, count):
    return Interval(size * index // count, size * (index + 1) // count)


def regions(tiles, tile):
    """Where a tile's weights lie: those of positions as the sheet is cut, rows of the others dealt out in turn."""
    row, column = divmod(tile, tiles.columns)
    region = Region(line(40, row, tiles.rows), line(40, column, tiles.columns))
    count = tiles.rows * tiles.columns
    own = line(15, tile, count)
    halves = (own, Interval(15 + own.start, 15 + own.stop))
    rows = Rows((Interval(0, 30),) if count == 1 else tuple(half for half in halves if half.length))
    return {"V.weight": region, "V.bias": region, "top.weight": None if count == 1 else rows}


def part(array, region):
    if isinstance(region, Rows):
        return np.concatenate([array[:0], *(array[slice_of(rows)] for rows in region.intervals)])
    return array if region is None else array[slice_of(region.rows), slice_of(region.columns)]


def slice_of(interval):
    return slice(interval.start, interval.stop)


def count(tiles):
    return tiles.rows * tiles.columns


def saved(path, tiles):
    """A checkpoint of so many shards: each has its part of the parameters, twice that as state, and its own count."""
    digests = []
    for tile in range(count(tiles)):
        mine = regions(tiles, tile)
        params = {name: part(WHOLE[name], region) for name, region in mine.items()}
        update = {f"sum/{name}": 2 * value for name, value in params.items()} | {"count": np.int32(tile)}
        digests.append(save_shard(path, None, 1, tile, mine, params, update))
    return opened(CheckpointFolder(path, 1, SHAPES).commit(None, 1, 10, {"digests": digests, "torn": 0}))


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    return {tiles: saved(tmp_path_factory.mktemp("checkpoints"), tiles) for tiles in LAYOUTS}


class Counted(io.FileIO):
    """A file whose bytes are counted as the system gives them."""

    total = 0

    def read(self, size=-1):
        return self._counted(super().read(size))

    def readall(self):
        return self._counted(super().readall())

    def readinto(self, into):
        size = super().readinto(into)
        Counted.total += size
        return size

    def _counted(self, data):
        Counted.total += len(data)
        return data


@pytest.fixture
def counted(monkeypatch):
    monkeypatch.setattr(Counted, "total", 0)
    monkeypatch.setattr(
        safetensors, "open", lambda path, mode: io.BufferedReader(Counted(path)), raising=False
    )
    return lambda: Counted.total


def size_of(checkpoint):
    return sum(path.stat().st_size for path in checkpoint.files)


def load(checkpoint, tiles):
    """All shards of a layout load a checkpoint; yield what each has."""
    for tile in range(count(tiles)):
        yield checkpoint.read(regions(tiles, tile), SHAPES, first=tile)


@pytest.mark.parametrize(("old", "new"), list(product(LAYOUTS, LAYOUTS)), ids=str)
def test_all_shards_together_read_a_checkpoint_about_once(checkpoints, counted, old, new):
    for tile, (params, update) in enumerate(load(checkpoints[old], new)):
        mine = regions(new, tile)
        assert params.keys() == mine.keys()
        for name, region in mine.items():
            np.testing.assert_array_equal(params[name], part(WHOLE[name], region))
            np.testing.assert_array_equal(update[f"sum/{name}"], 2 * part(WHOLE[name], region))
        if old == new:
            assert update["count"] == tile, "the state of a shard is its own"
    ratio = counted() / size_of(checkpoints[old])
    assert 1 <= ratio < (1.1 if old == new else 2)


def older(path, arrays, metadata):
    """Write a shard in the format before, which has a digest of all its bytes and no checksums."""
    with open(path, "wb") as file:
        write_arrays(file, arrays, metadata)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_checkpoint_without_checksums_is_read_whole_by_shards_that_need_several_files(
    tmp_path, counted, monkeypatch
):
    """What the count is for: a run of another layout reads it many times over, and loads the same numbers."""
    monkeypatch.setattr(shards, "write_blocks", older)
    monkeypatch.setattr(shards, "FORMAT", "2")
    monkeypatch.setattr("lnet.runtime.store.checkpoints.FORMAT", "2")
    found = saved(tmp_path, Size(1, 1))
    for tile, (params, _) in enumerate(load(found, Size(3, 3))):
        np.testing.assert_array_equal(
            params["V.bias"], part(WHOLE["V.bias"], regions(Size(3, 3), tile)["V.bias"])
        )
    assert counted() > 8 * size_of(found)
    spoil(found.files[0], -1)
    with pytest.raises(Damaged, match="its digest does not match"):
        found.read(regions(Size(3, 3), 8), SHAPES)


def spoil(path, place):
    with open(path, "r+b") as file:
        file.seek(place, io.SEEK_END if place < 0 else io.SEEK_SET)
        byte = file.read(1)[0]
        file.seek(-1, io.SEEK_CUR)
        file.write(bytes([byte ^ 0x40]))


def place_of(path, name, row, column):
    """Where in a file the first byte of a position is."""
    with open_arrays(path) as file:
        dtype, shape, begin = file.places[name]
        return begin + dtype.itemsize * int(
            np.ravel_multi_index((row, column, *[0] * (len(shape) - 2)), shape)
        )


@pytest.fixture
def one(tmp_path):
    """A checkpoint of one shard, which four load."""
    return saved(tmp_path, Size(1, 1))


def damaged(checkpoint):
    """The shards of four that find a checkpoint damaged; the others load the right numbers."""
    tiles, found = Size(2, 2), []
    for tile in range(count(tiles)):
        mine = regions(tiles, tile)
        try:
            params, _ = checkpoint.read(mine, SHAPES, first=tile)
        except Damaged:
            found.append(tile)
        else:
            for name, region in mine.items():
                np.testing.assert_array_equal(params[name], part(WHOLE[name], region))
    return found


@pytest.mark.parametrize("name", ["params/V.weight", "update/sum/V.weight"])
@pytest.mark.parametrize(
    ("row", "column", "who"), [(0, 10, [0]), (19, 10, [0]), (0, 30, [1]), (30, 10, [2]), (39, 30, [3])]
)
def test_damage_is_found_by_who_reads_it(one, name, row, column, who):
    spoil(one.files[0], place_of(one.files[0], name, row, column))
    assert damaged(one) == who
    with pytest.raises(Damaged, match=f"the checksum of a part of '{name}' does not match"):
        one.check()


@pytest.mark.parametrize("what", ["length", "header", "its last byte", "checksums"])
def test_damage_to_what_says_where_things_are_is_found_by_all(one, what):
    (path,) = one.files
    with open_arrays(path) as file:
        begin = file.places[CHECKSUMS][2]
    spoil(path, {"length": 0, "header": 100, "its last byte": -1, "checksums": begin}[what])
    assert damaged(one) == [0, 1, 2, 3]


def test_a_block_lies_between_two_shards(one):
    """Both read it, and both find it damaged."""
    at = place_of(one.files[0], "params/V.weight", 0, 20)
    with open_arrays(one.files[0]) as file:
        begin = file.places["params/V.weight"][2]
    assert (at - begin) % BLOCK, "the parts do not meet where blocks do"
    spoil(one.files[0], at)
    assert damaged(one) == [0, 1]


def test_a_position_that_no_shard_has_is_missing(tmp_path):
    """Of two positions one is there: its count, one, is not that of all."""
    left = Region(Interval(0, 1), Interval(0, 1))
    params = {"W": np.ones((1, 1, 3), np.float32)}
    digest = save_shard(tmp_path, None, 1, 0, {"W": left}, params, {})
    shapes = {"W": (1, 2, 3)}
    folder = CheckpointFolder(tmp_path, 1, shapes)
    found = opened(folder.commit(None, 1, 10, {"digests": [digest], "torn": 0}))
    with pytest.raises(Damaged, match="part of 'params/W' is missing"):
        found.read({"W": None}, shapes)
    assert found.read({"W": left}, shapes)[0]["W"].tolist() == [[[1, 1, 1]]]
    with pytest.raises(LnetError, match="E742"):
        found.read({"W": left}, {"other": (1, 2, 3)})
