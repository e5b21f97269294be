"""What the analyses of a large sheet hold, and how that grows with images: python benchmarks/analyses.py

The first layer of All-TNN (48x48 positions of 64 maps), untrained, on 1,000 random images in 100 labels: the peak of a
process that makes one analysis. What each image adds to it is measured on a small network and many small images, where it
can be seen; the last figure is the sum for 100,000 images.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image
from timing import machine

import lnet
from lnet.runtime.engine.network import initial_params
from lnet.runtime.store.checkpoint import Checkpoint
from lnet.runtime.store.run import create_run

LARGE = """
network large {
    image: input(150x150x3)
    V1:    local(7, maps = 8x8, stride = 3, bias = true, act = relu)
    pool:  maxpool(2, stride = 2)
    class: dense(100)
    learn: cross_entropy()
}
train { data = frames("images", labels = folder, normalize = symmetric); batch = 20 }
"""
SMALL = """
network small {
    image: input(16x16x3)
    V1:    local(7, maps = 2x2, stride = 3, bias = true, act = relu)
    class: dense(100)
    learn: cross_entropy()
}
train { data = frames("images", labels = folder, normalize = symmetric); batch = 200 }
"""
LABELS = 100
COUNTS = (1_000, 5_000, 20_000)
MANY = 100_000
ANALYSES = {
    "sheet": 'lnet.sheet_view(run, "V1", data)',
    "sheet, one untrained": 'lnet.sheet_view(run, "V1", data, untrained=1)',
    "rsa by labels": 'lnet.rsa(run, ["V1", "class"], data)',
    "places 2x2": "lnet.places(run, data, 2)",
}


def main() -> None:
    print(machine())
    print(
        f"48x48 positions of 64 maps, {LABELS} labels, 1,000 images: peak of the process; growth; at {MANY:,} images"
    )
    with TemporaryDirectory() as folder:
        place = Path(folder)
        large, small = (furnish(place / name, text) for name, text in (("large", LARGE), ("small", SMALL)))
        sets = [write(place / f"set-{count}", count) for count in COUNTS]
        for name, call in ANALYSES.items():
            held = peak(large, sets[0], call)
            slope = np.polyfit(COUNTS, [peak(small, data, call) for data in sets], 1)[0]
            expected = held + max(slope, 0) * (MANY - COUNTS[0])
            print(
                f"{name}: {held / 1e9:.2f} GB; {slope / 1e3:.2f} kB an image; {expected / 1e9:.2f} GB",
                flush=True,
            )


def furnish(place: Path, network: str) -> Path:
    """Make a run of an untrained network."""
    plan = lnet.compile(lnet.parse(network))
    classes = [f"{k:02}" for k in range(LABELS)]
    data = {"base": str(place), "images": LABELS, "classes": classes, "in_memory": False}
    run = create_run(place, plan, data, {})
    run.checkpoints.save(Checkpoint(0, initial_params(plan.graph, 0), {}))
    return place


def write(folder: Path, count: int) -> Path:
    """Write random images in folders of their labels."""
    rng = np.random.default_rng(0)
    for number in range(count):
        place = folder / f"{number % LABELS:02}" / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        coarse = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((32, 32)).save(place)
    return folder


def peak(run: Path, data: Path, call: str) -> int:
    """Return the most bytes that a process held that made one analysis."""
    program = f"""import lnet
run, data = lnet.open_run({str(run)!r}), {str(data)!r}
{call}
lines = open("/proc/self/status", encoding="ascii").read().splitlines()
print(next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return 1024 * int(done.stdout.split()[-1])


if __name__ == "__main__":
    main()
