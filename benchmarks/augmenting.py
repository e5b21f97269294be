"""Augmented views of images against Pillow's, made one at a time as torchvision does: python benchmarks/augmenting.py

Both crop, scale, mirror, brighten, change contrast and saturation, and make one in five grey. The images are in memory;
one thread, two views of each, milliseconds of an image.
"""

from __future__ import annotations

import argparse
import math
import random
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance
from timing import machine, medians

from lnet.compiler.augmentations import Brightness, Contrasts, Grey, Saturation, Zoom
from lnet.compiler.core.shapes import Size
from lnet.compiler.settings import Frames
from lnet.runtime.data.dataset import open_frames

FROM, ASPECT, BY, GREY = 0.25, 4 / 3, 0.4, 0.2
AUGMENT = Zoom(FROM, aspect=ASPECT), Brightness(BY / 2), Contrasts(BY), Saturation(BY), Grey(GREY)
IMAGES = 512


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 64, 224], help="rows and columns")
    asked = parser.parse_args()
    print(machine())
    print(f"{'pixels':>8} {'lnet':>8} {'Pillow':>8} {'ratio':>6}")
    for size in asked.sizes:
        ours, theirs = measured(size)
        print(f"{f'{size}x{size}':>8} {ours:8.3f} {theirs:8.3f} {theirs / ours:6.1f}")


def measured(size: int) -> tuple[float, float]:
    """Return milliseconds of an image of so many rows and columns: lnet's, Pillow's."""
    images = np.random.default_rng(0).integers(0, 256, (IMAGES, size, size, 3), np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "images.npy", images)
        frames = Frames("images.npy", Size(size, size), normalize="symmetric", views=2, augment=AUGMENT)
        data = open_frames(frames, 3, Path(folder), 0)
        batch = max(8, 2**20 // images[0].size)
        ways = {
            "lnet": lambda: data.batch(0, batch).images,
            "Pillow": lambda: by_pillow(images[:batch], size),
        }
        ours, theirs = medians(ways).values()
    return ours / batch, theirs / batch


def by_pillow(images: NDArray[np.uint8], size: int) -> NDArray[np.float32]:
    views = [view(Image.fromarray(image), size) for image in images for _ in range(2)]
    return np.stack(views).astype(np.float32) / np.float32(127.5) - 1


def view(image: Image.Image, size: int) -> NDArray[Any]:
    area = image.width * image.height * random.uniform(FROM, 1)
    aspect = math.exp(random.uniform(-1, 1) * math.log(ASPECT))
    width, height = min(math.sqrt(area * aspect), size), min(math.sqrt(area / aspect), size)
    left, top = random.uniform(0, size - width), random.uniform(0, size - height)
    image = image.resize((size, size), Image.Resampling.BILINEAR, (left, top, left + width, top + height))
    if random.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    image = ImageEnhance.Brightness(image).enhance(1 + random.uniform(-BY / 2, BY / 2))
    image = ImageEnhance.Contrast(image).enhance(1 + random.uniform(-BY, BY))
    image = ImageEnhance.Color(image).enhance(1 + random.uniform(-BY, BY))
    if random.random() < GREY:
        image = image.convert("L").convert("RGB")
    return np.asarray(image)


if __name__ == "__main__":
    main()
