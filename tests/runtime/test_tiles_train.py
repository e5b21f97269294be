"""Twenty steps in tiles are twenty steps of the whole network: in double precision, element by element.

Every example in 3 and 4 tiles, or in 2 and 6; `make long` also takes the others. That no row of a halo may be missing,
and no owner count twice, is in test_shard.py; that numbers do not depend on where tiles are placed, in
cluster/test_cluster.py.
"""

import shutil
from functools import cache, partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import jax
import numpy as np
import optax
import pytest
from quickly import quickly
from test_shard import joined, whole

from lnet.compiler.core.shapes import Size
from lnet.compiler.cut.partition import partition
from lnet.compiler.pipeline import compile_plan
from lnet.runtime.engine.evaluate import total_loss
from lnet.runtime.engine.lockstep import run_tiles
from lnet.runtime.engine.shard import Shard

EXAMPLES = Path(__file__).parents[2] / "examples"
SMALLER = {
    "all_tnn": {
        "150x150x3": "13x13x3",
        "area(7, 8x8": "area(3, 2x1",
        "    V2:    area(3, 9x9, init = uniform(0.004344), smoothness = alpha / 10)\n": "",
        "    V3:    area(3, 9x9, init = uniform(0.004303), smoothness = alpha / 10)\n": "",
        "    pool3: maxpool(2, stride = 2)\n": "",
        "    V4:    area(3, 16x16, init = uniform(0.009756), smoothness = alpha / 10)\n": "",
        "    V5:    area(3, 16x16, init = uniform(0.008069), smoothness = alpha / 10)\n": "",
        "    pool5: maxpool(2, stride = 2)\n": "",
        "50x50": "2x3",
        ", stride = 3": "",
        ", stride = 2": "",
        "565": "5",
    },
    "catface": {
        "200x200x3": "22x22x1",
        "field = 18": "field = 2",
        "maps = 8": "maps = 2",
        "l2pool(5)": "l2pool(3)",
        "lcn(5,": "lcn(3,",
    },
    "conv_vs_local": {"32x32x3": "16x16x1", "maps = 8": "maps = 3", "sharing = none": "sharing = tile(2)"},
    "contrast": {"48x48x1": "30x30x1", "maps = 8": "maps = 2", "dense(16)": "dense(5)"},
    "faces": {
        "64x64x3": "58x58x1",
        "maps = 16": "maps = 2",
        "maps = 30": "maps = 4",
        "area[12]": "area[2]",
        "sparsity = 10": "sparsity = 1",
    },
    "photographs": {
        "64x64x3": "60x60x1",
        "field = 10": "field = 8",
        "maps = 12": "maps = 2",
        "maps = 16": "maps = 2",
    },
    "sheet": {"64x64x1": "40x40x1"},
    "textures": {"48x48x1": "30x30x1", "maps = 8": "maps = 2"},
}
"""The networks of the examples with fewer positions, maps and areas, all else as it stands."""

CUTS = {
    count: [Size(rows, count // rows) for rows in range(1, count + 1) if count % rows == 0]
    for count in (2, 3, 4, 6)
}
LONG = [(2, 6), (3, 4)]
"""The numbers of tiles of every other example that are left to `make long`."""
CASES = [
    pytest.param(
        name,
        grid := Random(f"{name} {count} 4").choice(cuts),
        id=f"{name}-{grid}",
        marks=[pytest.mark.long] if count in LONG[number % 2] else [],
    )
    for number, name in enumerate(SMALLER)
    for count, cuts in CUTS.items()
]
RULE = optax.adagrad(0.01, initial_accumulator_value=0.1)


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def test_every_example_is_there():
    """That of a plug-in is trained in tiles by tests/test_plugins.py, that with many classes by test_dense.py."""
    elsewhere = {"plugin", "imagenet22k"}
    assert {path.parent.name for path in EXAMPLES.glob("*/model.lnet")} == {*SMALLER, *elsewhere}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "grid"), CASES)
def test_twenty_steps(name, grid):
    params, *_ = example(name)
    apart = train(name, in_tiles(name, grid))
    for path, value in in_one(name).items():
        np.testing.assert_allclose(apart[path], value, rtol=1e-8, atol=1e-12, err_msg=path)
        assert np.isfinite(value).all()
    assert any(np.abs(value - params[path]).max() > 0.01 for path, value in apart.items())


@cache
def graph_of(name):
    text = (EXAMPLES / name / "model.lnet").read_text()
    for before, after in SMALLER[name].items():
        assert before in text
        text = text.replace(before, after)
    with TemporaryDirectory() as folder:
        path = Path(shutil.copytree(EXAMPLES / name, Path(folder) / name)) / "model.lnet"
        path.write_text(text)
        return compile_plan(path).graph


@cache
def example(name):
    """Parameters, images and labels."""
    graph = graph_of(name)
    params, images, labels = whole(graph)
    images = np.asarray(images)
    if any(o.term.compares_views for o in graph.objectives):
        images = np.stack([images, np.roll(images, 1, axis=0)], axis=-1).reshape(*images.shape[:3], -1)
    return params, images, labels if any(o.term.needs_labels for o in graph.objectives) else None


def train(name, gradients, steps=20):
    params, images, labels = example(name)
    state = RULE.init(params)
    for step in range(steps):
        found = gradients(params, np.roll(images, step, axis=1), labels)
        params, state = update(params, state, found)
    return params


@jax.jit
def update(params, state, gradients):
    updates, state = RULE.update(gradients, state)
    return optax.apply_updates(params, updates), state


@cache
def in_one(name):
    """Parameters after twenty steps of the whole network."""

    def loss(params, images, labels):
        return total_loss(graph_of(name), params, images, labels)[0]

    return train(name, quickly(jax.grad(loss)))


def in_tiles(name, grid):
    cut = partition(graph_of(name), grid)
    shards = [Shard(graph_of(name), cut, tile) for tile in range(cut.count)]
    step = quickly(partial(run_tiles, shards))

    def gradients(params, images, labels):
        found, _ = step([shard.owned(params) for shard in shards], images, labels)
        return joined(shards, found, params)

    return gradients
