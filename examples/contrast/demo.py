"""Learn from two views of unlabelled pieces of three photographs; then tell textures apart by ten labels for each."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import skimage
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console

import lnet
from lnet.cli.progress import reporter_for

HERE = Path(__file__).parent
CLASSES = ("brick", "grass", "gravel")
SIZE, LABELLED, DRAWS = 64, 10, 100

Array = NDArray[Any]


def main() -> None:
    console = Console()
    cut_photographs()
    plan = lnet.compile(HERE / "model.lnet")
    run = lnet.train(plan, reporter=reporter_for(console))
    ways: dict[str, Callable[[Array], Array]] = {
        "pixels": lambda images: images,
        "untrained": lambda images: lnet.Network(plan)(images)["told"],
        "trained": lambda images: run.network()(images)["told"],
    }
    pieces = pieces_of(run, "images"), pieces_of(run, "unseen")
    found = ", ".join(f"{name} {accuracy(seen, *pieces):.0%}" for name, seen in ways.items())
    console.print(
        f"pieces of the right halves told apart: {found} (by chance: {1 / len(CLASSES):.0%})", highlight=False
    )


def cut_photographs() -> None:
    """Put pieces of the left halves into `images/CLASS`, those of the right halves into `unseen/CLASS`."""
    for name in CLASSES:
        photograph = Image.open(Path(skimage.__file__).parent / "data" / f"{name}.png")
        for half in ("images", "unseen"):
            shutil.rmtree(HERE / half / name, ignore_errors=True)
            (HERE / half / name).mkdir(parents=True)
        for top in range(0, photograph.height, SIZE):
            for left in range(0, photograph.width, SIZE):
                half = "images" if left < photograph.width // 2 else "unseen"
                piece = photograph.crop((left, top, left + SIZE, top + SIZE))
                piece.save(HERE / half / name / f"{top}-{left}.png")


def pieces_of(run: lnet.Run, half: str) -> tuple[Array, Array]:
    """Return the central windows of pieces, as the network sees them, and the numbers of their classes."""
    images = run.images(HERE / half)
    batch = images.at(range(images.count))
    return batch.images, np.array([CLASSES.index(Path(name).parts[0]) for name in batch.names])


def accuracy(
    seen: Callable[[Array], Array], known: tuple[Array, Array], unseen: tuple[Array, Array]
) -> float:
    """Return how many unseen pieces are nearest to the mean of known ones of their texture, `LABELLED` drawn of each."""
    left, right = (seen(images).reshape(len(images), -1) for images, _ in (known, unseen))
    rng, found = np.random.default_rng(0), []
    for _ in range(DRAWS):
        drawn = (
            rng.choice(np.flatnonzero(known[1] == k), LABELLED, replace=False) for k in range(len(CLASSES))
        )
        means = np.stack([left[places].mean(0) for places in drawn])
        nearest = ((right[:, None] - means) ** 2).sum(2).argmin(1)
        found.append(np.mean(nearest == unseen[1]))
    return float(np.mean(found))


if __name__ == "__main__":
    main()
