"""Put the photographs that scikit-image carries into a folder: python collect.py FOLDER."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import skimage

PHOTOGRAPHS = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "coffee.png",
    "coins.png",
    "grass.png",
    "gravel.png",
    "motorcycle_left.png",
    "motorcycle_right.png",
    "rocket.jpg",
)
UNSEEN = "chelsea.png"


def collect(folder: Path, names: tuple[str, ...] = PHOTOGRAPHS) -> None:
    """Copy photographs into a folder, which is made if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copyfile(Path(skimage.__file__).parent / "data" / name, folder / name)


if __name__ == "__main__":
    collect(Path(sys.argv[1]))
    print(f"{len(PHOTOGRAPHS)} photographs are in '{sys.argv[1]}'")
