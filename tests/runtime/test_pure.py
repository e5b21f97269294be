"""`net.apply` and `net.loss_fn` under JAX's transformations, for the example of every kind of layer and objective."""

import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from PIL import Image
from quickly import quickly
from test_every_kind import program

import lnet
from lnet.compiler.objectives import OBJECTIVE_KINDS
from lnet.compiler.ops import LAYER_KINDS
from lnet.compiler.pipeline import compile_text
from lnet.dsl.diagnostics import LnetError
from lnet.runtime.engine.evaluate import batch_first, batch_last, layer_values

STEP = 1e-6
"""Of finite differences, in float64."""


def given(kind):
    """A network with the example of a kind, its parameters, a direction among them, and a batch."""
    graph = compile_text(program(kind))
    net, rng = lnet.Network(graph), np.random.default_rng(3)
    params = {name: value + 0.1 * rng.normal(size=value.shape) for name, value in net.params.items()}
    constant = {p.name for p in net.graph.parameters if p.momentum is not None}
    along = {name: (name not in constant) * rng.normal(size=value.shape) for name, value in params.items()}
    sheet = net.graph.input.sheet
    batch = {
        "images": rng.normal(size=(4, sheet.height, sheet.width, sheet.maps)),
        "labels": np.array([0, 2, 1, 2]),
        "targets": {
            layer.path: rng.normal(size=(4, layer.sheet.height, layer.sheet.width, layer.sheet.maps))
            for layer in net.graph.targets
        },
    }
    return net, params, along, batch


def moved(params, along, step):
    return {name: value + step * along[name] for name, value in params.items()}


def close(found, expected, bound=1e-5):
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        scale = max(1.0, np.abs(other).max())
        np.testing.assert_allclose(one, other, rtol=0, atol=bound * scale)


@pytest.mark.parametrize("kind", [*LAYER_KINDS, *OBJECTIVE_KINDS])
def test_what_a_kind_computes_is_differentiated_twice_forwards_and_mapped(kind):
    """Against differences of values and of gradients; native kernels, as on any processor that they are written for."""
    with jax.enable_x64(True):
        net, params, along, batch = given(kind)
        images = batch["images"]

        gradient, other = jax.grad(net.loss_fn), moved(params, along, 0.3)

        def both(params):
            return net.apply(params, images), gradient(params, batch)

        @quickly
        def found(params):
            return {
                "values": jax.jvp(lambda p: net.apply(p, images), (params,), (along,)),
                "gradients": jax.jvp(lambda p: gradient(p, batch), (params,), (along,)),
                "mapped": jax.vmap(both)(jax.tree.map(lambda a, b: jnp.stack([a, b]), params, other)),
                "alone": both(other),
                "after": tuple(both(moved(params, along, step)) for step in (STEP, -STEP)),
            }

        all_ = found(params)
        (up, rise), (down, fall) = all_["after"]
        slope = jax.tree.map(lambda a, b: (a - b) / (2 * STEP), up, down)
        close(all_["values"][1], slope)
        close(all_["gradients"][1], jax.tree.map(lambda a, b: (a - b) / (2 * STEP), rise, fall), 1e-4)
        close(jax.tree.map(lambda a: a[1], all_["mapped"]), all_["alone"], 1e-9)
        reference = quickly(lambda p: layer_values(net.graph, p, batch_last(jnp.asarray(images))))(params)
        close(all_["values"][0], {path: batch_first(value) for path, value in reference.items()}, 1e-9)


TEXT = """
network n {
    image: input(8x8x1)
    f: local(3, 4, bias = true); norm: batchnorm(); drop: dropout(0.3); p: l2pool(2); c: dense(3)
    learn: cross_entropy(c)
}
train { data = frames("set", labels = folder); update = sgd(0.1, momentum = 0.9); batch = 6; steps = 4; seed = 5 }
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Four steps on images in folders of three classes."""
    folder, rng = tmp_path_factory.mktemp("pure"), np.random.default_rng(0)
    for number in range(24):
        (folder / "set" / "abc"[number % 3]).mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "set" / "abc"[number % 3] / f"{number}.png")
    (folder / "n.lnet").write_text(TEXT)
    return lnet.train(lnet.compile(folder / "n.lnet"), directory=folder / "run")


def trained(net, images, rule, gradients):
    """Parameters after four steps of a loop of one's own."""

    @jax.jit
    def step(params, state, batch, number):
        (_, running), found = gradients(params, batch, 6 * number + jnp.arange(6), number)
        updates, state = rule.update(found, state)
        return optax.apply_updates(params, updates) | running, state

    params = {name: jnp.asarray(value) for name, value in net.params.items()}
    state = rule.init(params)
    for number in range(4):
        seen = images.batch(6 * number, 6)
        params, state = step(params, state, {"images": seen.images, "labels": seen.labels}, number)
    return params


def test_a_loop_of_ones_own_trains_as_lnet_does(run):
    """Dropout, running values and all: the samples of a step are those that the run has."""
    net = lnet.Network(run.plan)
    found = trained(
        net, run.images(), optax.sgd(0.1, momentum=0.9), jax.value_and_grad(net.training_loss, has_aux=True)
    )
    for name, value in run.network().params.items():
        assert np.abs(value - net.params[name]).max() > 1e-4, name
        np.testing.assert_allclose(found[name], value, rtol=2e-5, atol=2e-6, err_msg=name)


DEVICES = """
import sys
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import AxisType, PartitionSpec as P
import lnet
from lnet.compiler.pipeline import compile_text

net = lnet.Network(compile_text(sys.argv[1]))
params = dict(net.params)
images = np.random.default_rng(1).normal(size=(8, 8, 8, 1)).astype(np.float32)
batch = {"images": images, "labels": np.arange(8) % 3}
mesh = jax.make_mesh((2,), ("part",), axis_types=(AxisType.Auto,))

def shared(params, batch):
    return jax.lax.pmean(net.loss_fn(params, batch), "part")

divided = jax.shard_map(shared, mesh=mesh, in_specs=(P(), P("part")), out_specs=P())
for name, found in jax.jit(jax.grad(divided))(params, batch).items():
    expected = jax.grad(net.loss_fn)(params, batch)[name]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6, err_msg=name)
print(len(jax.devices()), "devices")
"""


def test_two_devices_take_half_of_a_batch_each():
    """In a process of its own, whose processor JAX takes for two devices."""
    env = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    env["PYTHONPATH"] = os.pathsep.join(sys.path)
    command = [sys.executable, "-c", DEVICES, TEXT]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.stdout == "2 devices\n", done.stderr


def test_the_programs_of_the_document(tmp_path, monkeypatch):
    """All of them, one after the other, Equinox's and Flax's too."""
    text = (Path(__file__).parents[2] / "docs" / "jax.md").read_text()
    monkeypatch.chdir(tmp_path)
    Path("first.lnet").write_text(
        "network n { image: input(8x8x1); filter: local(3, 4); pool: l2pool(2); learn: rica() }"
    )
    rng = np.random.default_rng(2)
    images = jnp.asarray(rng.normal(size=(5, 8, 8, 1)), jnp.float32)
    net = lnet.Network(lnet.compile("first.lnet"))
    direction = {
        name: jnp.asarray(rng.normal(size=value.shape), jnp.float32) for name, value in net.params.items()
    }
    names = {"images": images, "direction": direction, "params_of_seeds": (dict(net.params), direction)}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(block, names)
    assert names["of_each_image"]["filter.weight"].shape == (5, 6, 6, 3, 3, 1, 4)
    np.testing.assert_allclose(
        names["ensemble"]["filter"][1], net.apply(direction, images)["filter"], rtol=1e-4, atol=1e-4
    )
    close(names["gradients"].params, jax.grad(net.loss_fn)(names["params"], images), 1e-4)
    before = names["module"].loss(images)
    assert names["train"](names["module"], names["optimizer"], images) == pytest.approx(
        float(before), rel=1e-4
    )
    assert names["module"].loss(images) < before


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p, b: (without(p, "f.bias"), b), "error E720: the parameter 'f.bias' is missing"),
        (
            lambda p, b: (p | {"f.bias": np.ones(3)}, b),
            "error E720: 'f.bias' has the shape (6, 6, 4), found (3,)",
        ),
        (lambda p, b: (p, b["images"]), "error E716: the objective 'learn' needs labels"),
        (
            lambda p, b: (p, b | {"images": np.ones((4, 8, 8))}),
            "error E716: expected images [batch, 8, 8, 1]",
        ),
        (lambda p, b: (p, without(b, "images")), "error E716: expected images [batch, 8, 8, 1]"),
        (
            lambda p, b: (p, b | {"label": 3}),
            "error E716: a batch has 'images', 'labels' and 'targets', found 'label'",
        ),
    ],
)
def test_a_batch_or_parameters_that_do_not_fit(change, message):
    net = lnet.Network(compile_text(TEXT))
    params, batch = change(dict(net.params), {"images": np.ones((4, 8, 8, 1)), "labels": np.zeros(4, int)})
    with pytest.raises(LnetError) as caught:
        jax.jit(net.loss_fn)(params, batch)
    assert str(caught.value).startswith(message)


def without(mapping, name):
    return {key: value for key, value in mapping.items() if key != name}


def test_an_unknown_layer_and_numbers_that_jax_does_not_compute_with():
    net = lnet.Network(compile_text(TEXT))
    with pytest.raises(LnetError, match="there is no layer 'g'"):
        net.apply(dict(net.params), np.ones((1, 8, 8, 1)), ["g"])
    assert list(net.apply(dict(net.params), np.ones((1, 8, 8, 1)), ["p"])) == ["p"]
    wide = lnet.Network(compile_text(TEXT.replace("seed = 5", "precision = float64")))
    with pytest.raises(LnetError, match="the network computes in float64, which is disabled in JAX"):
        wide.apply(dict(wide.params), np.ones((1, 8, 8, 1)))
