"""Twenty steps in tiles are twenty steps of the whole network: in double precision, element by element."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from test_shard import joined, whole

from lnet.compiler.partition import partition
from lnet.compiler.pipeline import compile_text
from lnet.compiler.shapes import Size
from lnet.runtime.evaluate import total_loss
from lnet.runtime.lockstep import run_tiles
from lnet.runtime.shard import Shard

EXAMPLES = Path(__file__).parents[2] / "examples"
SMALLER = {
    "catface": {"200x200x3": "33x33x1", "field = 18": "field = 3", "maps = 8": "maps = 2"},
    "conv_vs_local": {"32x32x3": "16x16x1", "maps = 8": "maps = 3", "sharing = none": "sharing = tile(2)"},
    "photographs": {
        "64x64x3": "60x60x1",
        "field = 10": "field = 8",
        "maps = 12": "maps = 2",
        "maps = 16": "maps = 2",
    },
    "sheet": {"64x64x1": "40x40x1"},
    "textures": {"48x48x1": "30x30x1", "maps = 8": "maps = 2"},
}
"""The networks of the examples with fewer positions and maps, all else as it stands: compiling is what takes time."""

CASES = [
    ("catface", Size(1, 4)),
    ("conv_vs_local", Size(3, 2)),
    ("photographs", Size(1, 2)),
    ("sheet", Size(2, 2)),
    ("textures", Size(3, 1)),
]


def test_every_example_is_there():
    assert {path.parent.name for path in EXAMPLES.glob("*/model.lnet")} == set(SMALLER)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "grid"), CASES, ids=[f"{name}-{grid}" for name, grid in CASES])
def test_twenty_steps(name, grid):
    text = (EXAMPLES / name / "model.lnet").read_text()
    for before, after in SMALLER[name].items():
        assert before in text
        text = text.replace(before, after)
    graph = compile_text(text).graph
    with jax.enable_x64(True):
        params, images, labels = whole(graph)
        labels = labels if any(o.term.needs_labels for o in graph.objectives) else None
        apart = train(in_tiles(graph, grid), params, images, labels)
        together = train(jax.jit(in_one(graph)), params, images, labels)
    for path, value in together.items():
        np.testing.assert_allclose(apart[path], value, rtol=1e-8, atol=1e-12, err_msg=path)
    assert any(np.abs(value - params[path]).max() > 0.01 for path, value in together.items())


def train(gradients, params, images, labels, steps=20):
    rule = optax.adagrad(0.01, initial_accumulator_value=0.1)
    state = rule.init(params)
    for step in range(steps):
        updates, state = rule.update(gradients(params, jnp.roll(images, step, axis=1), labels), state)
        params = optax.apply_updates(params, updates)
    return params


def in_one(graph):
    def gradients(params, images, labels):
        return jax.grad(lambda p: total_loss(graph, p, images, labels)[0])(params)

    return gradients


def in_tiles(graph, grid):
    cut = partition(graph, grid)
    shards = [Shard(graph, cut, tile) for tile in range(cut.count)]

    def gradients(params, images, labels):
        found, _ = run_tiles(shards, [shard.owned(params) for shard in shards], images, labels)
        return {name: jnp.asarray(value) for name, value in joined(shards, found, params).items()}

    return gradients
