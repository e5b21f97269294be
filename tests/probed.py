"""A network whose weights were set by hand, and labelled images that one of its neurons is known to tell apart."""

import tarfile

import numpy as np
from PIL import Image

import lnet
from lnet.runtime.store.checkpoint import Checkpoint
from lnet.runtime.store.run import create_run

TEXT = """stage sense(maps) { filter: local(3, maps) }
network eyes { image: input(8x8x1); V1: sense(3); V2: sense(2) }
train { data = frames("train", normalize = none, crop = center, flip = false); batch = 30 }
"""
POSITIVES, NEGATIVES = 40, 60
BRIGHT = 36, 6
"""Positives and negatives whose pixel (3, 4) is bright: held against it, 36 + 54 of 100 are told rightly."""


def pictures():
    """Return noise `[n, 8, 8]` of which one pixel says more than all others, and which are positives."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (POSITIVES + NEGATIVES, 8, 8), dtype=np.uint8)
    positive = np.arange(len(images)) < POSITIVES
    images[:, 3, 4] = rng.integers(0, 60, len(images))
    bright = np.r_[: BRIGHT[0], POSITIVES : POSITIVES + BRIGHT[1]]
    images[bright, 3, 4] = rng.integers(200, 256, len(bright))
    return images, positive


def write(folder, images, positive, names=("face", "distractor")):
    for name in names:
        (folder / name).mkdir(parents=True)
    for number, (pixels, sought) in enumerate(zip(images, positive, strict=True)):
        Image.fromarray(pixels).save(folder / names[0 if sought else 1] / f"{number:03}.png")
    return folder


def furnish(folder):
    """Put a labelled set into a folder, as a folder and as an archive, training images, and a network."""
    images, positive = pictures()
    write(folder / "set", images, positive)
    write(folder / "train", images[:20], positive[:20])
    with tarfile.open(folder / "faces.tar", "w") as archive:
        archive.add(folder / "set", ".")
    (folder / "eyes.lnet").write_text(TEXT)
    return folder


def set_by_hand(place):
    """V1 passes pixel (3, 4) on as neuron [2, 3, 1], V2 the negative of that as [1, 2, 0]; all else is silent."""
    plan = lnet.compile(place / "eyes.lnet")
    params = {p.name: np.zeros(p.shape, np.float32) for p in plan.graph.parameters}
    params["V1.filter.weight"][2, 3, 1, 1, 0, 1] = 2.0
    params["V2.filter.weight"][1, 2, 1, 1, 1, 0] = -3.0
    data = {"base": str(place), "images": 20, "classes": None, "in_memory": False}
    run = create_run(place / "run", plan, data, {})
    run.checkpoints.save(Checkpoint(12, params, {}))
    return run


def row(probe, name, layer=None):
    (found,) = [r for r in probe.rows if name in (r.name, r.layer) and layer in (None, r.layer)]
    return found


def look(*arguments, **options):
    """Probe the network alone, which is quick."""
    return lnet.probe(*arguments, **options, baselines=False)
