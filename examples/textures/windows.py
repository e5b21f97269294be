"""Cut labelled windows out of three photographs of textures: FOLDER/CLASS/STRIP-NUMBER.png, for `lnetc probe`.

A photograph gives 16 strips; windows of one strip overlap, so that the strip is their source.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import skimage
from PIL import Image

CLASSES = ("brick", "grass", "gravel")
STRIPS, WINDOWS, SIZE = 16, 12, 32


def main(target: Path) -> None:
    rng = np.random.default_rng(0)
    for name in CLASSES:
        photograph = Image.open(Path(skimage.__file__).parent / "data" / f"{name}.png")
        (target / name).mkdir(parents=True, exist_ok=True)
        for strip in range(STRIPS):
            for number, left in enumerate(rng.integers(0, photograph.width - SIZE, WINDOWS)):
                corner = int(left), strip * photograph.height // STRIPS
                window = photograph.crop((*corner, corner[0] + SIZE, corner[1] + SIZE))
                window.save(target / name / f"{strip}-{number}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
