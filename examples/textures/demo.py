"""Train on the left halves of three photographs of textures, then tell apart windows of the right halves."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import skimage
from PIL import Image
from rich.console import Console

import lnet
from lnet.cli.progress import reporter_for

HERE = Path(__file__).parent
CLASSES = ("brick", "grass", "gravel")
WINDOWS = 600


def main() -> None:
    console = Console()
    split_photographs()
    run = lnet.train(lnet.compile(HERE / "model.lnet"), reporter=reporter_for(console))
    right = f"{accuracy(run):.1%} of {WINDOWS} windows of the right halves"
    console.print(f"{right} are told apart (by chance: {1 / len(CLASSES):.1%})", highlight=False)


def split_photographs() -> None:
    """Put the left halves into `images/CLASS`, the right ones into `unseen/CLASS`."""
    for name in CLASSES:
        photograph = Image.open(Path(skimage.__file__).parent / "data" / f"{name}.png")
        middle = photograph.width // 2
        for half, left, right in (("images", 0, middle), ("unseen", middle, photograph.width)):
            folder = HERE / half / name
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            photograph.crop((left, 0, right, photograph.height)).save(folder / f"{half}.png")


def accuracy(run: lnet.Run) -> float:
    unseen = run.samples(WINDOWS, HERE / "unseen")
    scores = run.network()(unseen.images)["class"].reshape(WINDOWS, -1)
    return float(np.mean(scores.argmax(1) == unseen.labels))


if __name__ == "__main__":
    main()
