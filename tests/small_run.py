"""A small network on six pictures: what tests train where it is the run that they look at."""

import numpy as np
from PIL import Image

import lnet

TEXT = """
stage sense(maps) { filter: local(3, maps); pool: l2pool(2); norm: lcn(3, floor = 0.1); learn: rica(sparsity = 0.3) }
network small { image: input(10x10x1); V1: sense(3); V2: sense(2) }
train {
    data = frames("images"); batch = 8; steps = 20; checkpoint = 5; keep = 2; seed = 7
    update = adam(rate = 0.01, schedule = cosine)
}
"""


def furnish(folder):
    """Put pictures and the program into a folder."""
    images = folder / "images"
    images.mkdir()
    rng = np.random.default_rng(0)
    for number in range(6):
        smooth = rng.normal(size=(4, 4)).repeat(5, 0).repeat(5, 1)
        Image.fromarray((127 + 50 * smooth).clip(0, 255).astype(np.uint8)).save(images / f"{number}.png")
    (folder / "small.lnet").write_text(TEXT)
    return folder


def empty(checkpoint):
    """Leave nothing in a checkpoint's shards: it is damaged."""
    for shard in checkpoint.glob("shard-*"):
        shard.write_bytes(b"")


def plan_of(folder, **settings):
    return lnet.compile(folder / "small.lnet", set={f"train.{k}": v for k, v in settings.items()})
