"""How long a command takes until it has trained one step, the first time and the second: python benchmarks/start.py

Each time a process of its own, in a folder of caches that is empty at first: `lnetc run --steps 1` on random images.
Seconds on the clock, and of all processors.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
from PIL import Image
from timing import machine

SMALL = """
stage sense(maps) { filter: local(5, maps); pool: l2pool(3); norm: lcn(3, floor = 0.1); learn: rica(sparsity = 0.3) }
network small { image: input(32x32x1); V1: sense(4); V2: sense(4) }
train { batch = 20; update = adam(rate = 0.01) }
"""
ROUNDS = 3


def main() -> None:
    print(machine())
    photographs = Path(__file__).parents[1] / "examples" / "photographs" / "model.lnet"
    with tempfile.TemporaryDirectory() as work:
        small = Path(work) / "small.lnet"
        small.write_text(SMALL)
        _draw_images(Path(work) / "images")
        print(f"{'':24} first         second        second / first   (the best of {ROUNDS})")
        for name, model in (("two small stages", small), ("examples/photographs", photographs)):
            _compare(name, model, Path(work))


def _compare(name: str, model: Path, work: Path) -> None:
    first, second = [], []
    for number in range(ROUNDS):
        cache = work / f"cache-{model.parent.name}-{number}"
        first.append(_seconds(model, work, cache))
        second.append(_seconds(model, work, cache))
    for what, clock in (("on the clock", 0), ("of processors", 1)):
        before, after = min(times[clock] for times in first), min(times[clock] for times in second)
        print(f"{name:20} {before:9.2f} s {after:11.2f} s {after / before:15.2f}    {what}")


def _seconds(model: Path, work: Path, cache: Path) -> tuple[float, float]:
    """Return how long a command took, on the clock and of all processors."""
    command = [
        sys.executable,
        "-m",
        "lnet",
        "run",
        str(model),
        "--data",
        str(work / "images"),
        "--steps",
        "1",
    ]
    began, used = perf_counter(), _used()
    subprocess.run(
        command, cwd=work, env=os.environ | {"LNET_CACHE": str(cache)}, check=True, stdout=subprocess.DEVNULL
    )
    return perf_counter() - began, _used() - used


def _used() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


def _draw_images(folder: Path) -> None:
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(100):
        Image.fromarray(generator.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(
            folder / f"{number}.png"
        )


if __name__ == "__main__":
    main()
