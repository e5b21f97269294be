"""The index of many images: python benchmarks/index.py [--members N] [--folder FOLDER]

An archive of 100,000 generated members of 10 KB, in the page cache: how fast it is indexed, against `tarfile`, which lists
it, and against reading it once. An archive of N smaller members (a million): the same, the index's bytes an image, and how
long a process takes to open it and how much memory of its own that is, against a list in memory. Ten million images are
extrapolated for the making, and measured for the opening, of an index that is written without an archive.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time

from timing import machine

from lnet.compiler.core.shapes import Size
from lnet.compiler.settings import Frames
from lnet.runtime.data.dataset import requested
from lnet.runtime.data.index_file import BLOCK, Source, Writer
from lnet.runtime.data.indexes import make_index
from lnet.runtime.data.members import Members

LARGE, LARGE_BYTES, SMALL_BYTES, GOAL = 100_000, 10_000, 400, 10_000_000
OPEN = """
import sys
from time import perf_counter
from lnet.compiler.core.shapes import Size
from lnet.compiler.settings import Frames
from lnet.runtime.data import Kept, dataset, indexes, open_frames

def private():
    lines = open("/proc/self/smaps_rollup").read().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024

path, index = sys.argv[1:]
kept = Kept(index=index or None)
indexes.find_index = lambda *_: None
if index:
    indexes._true_index = lambda path, request: indexes.read_index(path, request.place.reads)
before, began = private(), perf_counter()
images = open_frames(Frames(path, Size(8, 8), labels="folder"), 1, dataset.Path("/"), 0, kept=kept)
opened = perf_counter() - began
for number in range(10_000):
    place = dataset.image_at(images.order, 0, 0, number, images.count)
    images.names[place], images.catalog.labelled([place])
drawn = perf_counter() - began - opened
print(opened, private() - before, 1e6 * drawn / 10_000)
"""


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--members", type=int, default=1_000_000)
    options.add_argument(
        "--folder", help="where the archives are written (2.2 GB), by default among temporary files"
    )
    chosen = options.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory(dir=chosen.folder) as work:
        for count, size in ((LARGE, LARGE_BYTES), (chosen.members, SMALL_BYTES)):
            path = Path(work) / f"{count}.tar"
            write_archive(path, count, size)
            compare(path, count, size)
            path.unlink()
        index = Path(work) / "forged.index"
        (Path(work) / "empty").mkdir()
        forge(index, GOAL)
        print_opening(f"{GOAL:,} images", Path(work) / "empty", index)


def write_archive(path: Path, count: int, size: int) -> None:
    body = bytes(-(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE)
    with open(path, "wb") as file:
        for number in range(count):
            info = tarfile.TarInfo(name_of(number))
            info.size = size
            file.write(info.tobuf() + body)
        file.write(bytes(2 * tarfile.BLOCKSIZE))


def name_of(number: int) -> str:
    """Return a name such as ImageNet has: of a class, and of an image in it."""
    return f"train/n{number * 7919 % 21841:08d}/n{number * 7919 % 21841:08d}_{number}.JPEG"


def compare(path: Path, count: int, size: int) -> None:
    """Print how long it takes to index, list and read an archive, and to open its index."""
    request = requested(Frames(str(path), Size(8, 8), labels="folder"), 1, Path("/"))
    read = timed(lambda: read_through(path))
    indexed = timed(lambda: make_index(request, request.beside))
    listed = timed(lambda: list_members(path))
    index = make_index(request, request.beside)
    print(f"\n{count:,} members of {size:,} bytes, {path.stat().st_size / 1e9:.1f} GB")
    print("                 seconds   of the processor   members a second   against tarfile")
    for what, (clock, processor) in (("reading", read), ("lnetc index", indexed), ("tarfile", listed)):
        ratio = f"{listed[1] / processor:.1f} x"
        print(f"{what:14} {clock:9.2f} {processor:18.2f} {count / processor:18,.0f} {ratio:>17}")
    print(f"the index: {index.path.stat().st_size / count:.0f} bytes an image")
    print(f"ten million images: {indexed[1] * GOAL / count:,.0f} s of a processor, extrapolated")
    print_opening("through the index", path, index.path)
    print_opening("in memory", path, None)
    index.path.unlink()


def timed(call: Callable[[], object]) -> tuple[float, float]:
    clock, processor = perf_counter(), process_time()
    call()
    return perf_counter() - clock, process_time() - processor


def read_through(path: Path) -> None:
    with open(path, "rb", buffering=0) as file:
        while file.read(2**20):
            pass


def list_members(path: Path) -> None:
    with tarfile.open(path) as archive:
        for _ in archive:
            archive.members = []  # type: ignore[attr-defined]


def print_opening(what: str, path: Path, index: Path | None) -> None:
    """Print what it costs a process of its own to open images."""
    command = [sys.executable, "-c", OPEN, str(path), "" if index is None else str(index)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, memory, each = map(float, done.stdout.split())
    print(f"opened {what}: {seconds:.2f} s, {memory:,.1f} MB of its own, {each:.1f} us to find an image")


def forge(path: Path, count: int) -> None:
    """Write an index of images that lie nowhere."""
    with open(path, "wb") as file:
        writer = Writer(file)
        for first in range(0, count, BLOCK):
            numbers = range(first, min(first + BLOCK, count))
            members = Members()
            members.extend(map(name_of, numbers), [10_000] * len(numbers), numbers)
            labels = [name.split("/")[1] for name in members.names]
            writer.add(members, labels, [0] * len(numbers), 0)
        writer.finish(
            request={},
            kinds={"archive": 1},
            ignored={},
            excluded=0,
            unmatched=[],
            sources=[Source("tar", "none.tar")],
            watched=[],
        )


if __name__ == "__main__":
    main()
