"""What test_devices.py runs in a process of its own, whose processor JAX takes for four devices."""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from commands import lnetc
from test_every_kind import MADE, OBJECTIVE_KINDS, compile_text, program

import lnet
from lnet.runtime.engine.evaluate import batch_last
from lnet.runtime.engine.network import initial_params
from lnet.runtime.engine.updates import update_rule
from lnet.runtime.kernels.choose import made
from lnet.runtime.kernels.devices import ONE, Devices
from lnet.runtime.kernels.gpu import tiles
from lnet.runtime.kernels.mode import sample_numbers
from lnet.runtime.training.trainer import training_step
from lnet.runtime.training.tune import products

ROWS = 8


def steps(graph, devices, choices=None):
    """Parameters and terms after two steps."""
    rule, sheet = update_rule(graph), graph.input.sheet
    rng = np.random.default_rng(0)
    images = rng.normal(size=(ROWS, sheet.height, sheet.width, sheet.maps)).astype(np.float32)
    labels = rng.integers(0, 3, ROWS)
    params = devices.everywhere(initial_params(graph, 0))
    state = devices.everywhere(rule.init(params))
    step = training_step(graph, rule, choices or {}, devices)
    for number in range(2):
        samples = devices.divided(sample_numbers(number * ROWS, ROWS), 1)
        given = batch_last(jnp.asarray(devices.divided(images))), jnp.asarray(devices.divided(labels)), {}
        params, state, terms, fine = step(params, state, *given, samples, jnp.asarray(number))
        assert fine
    assert all(value.sharding.is_fully_replicated for value in params.values())
    return {**params, **terms}


def close(found, expected, about):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-5, err_msg=f"{about}: {name}")


def kinds():
    """Whatever a network computes, and by the programs of a GPU."""
    for kind in (*MADE, *OBJECTIVE_KINDS):
        graph = compile_text(program(kind)).graph
        close(steps(graph, Devices.first(4)), steps(graph, ONE), kind)
    graph = compile_text(program("local") + f"; train {{ batch = {ROWS} }}").graph
    gathered = {product: next(tiles.choices(product)) for *_, product in products(graph, 4)}
    with made(gathered):
        close(steps(graph, Devices.first(4), gathered), steps(graph, ONE), "gathered")


def losses(run):
    return {(event.name, event.step): event.loss for event in run.events() if hasattr(event, "loss")}


def runs(folder):
    """A whole run: batches in parts, validation, a checkpoint, and going on with fewer devices."""
    file = folder / "n.lnet"
    data = 'frames("set.npz", labels = folder)'
    file.write_text(f"""
    network n {{ image: input(9x8x1); a: local(3, 2, bias = true); n: batchnorm(); v: dense(2); y: cross_entropy() }}
    train {{ data = {data}; validation = {data}; validate_every = 2; batch = 8; accumulate = 2; steps = 4; checkpoint = 2 }}
    """)
    rng = np.random.default_rng(1)
    np.savez(folder / "set.npz", images=rng.random((30, 9, 8, 1)), labels=list("ab" * 15))
    plan = lnet.compile(file)
    one = lnet.train(plan, directory=folder / "one")
    lnet.train(plan, directory=folder / "four", devices=4, steps=2)
    four = lnet.resume(folder / "four", steps=4, devices=2)
    close(dict(four.network().params), dict(one.network().params), "parameters")
    close(losses(four), losses(one), "losses")
    assert all("batch 2," in name for name in four.info["kernels"])
    assert all("batch 8," in name for name in one.info["kernels"])
    said = lnetc("resume", folder / "four", "--devices", 2, "--steps", 6, "--dry-run").output
    assert "2 devices (cpu), each with 4 of a batch's 8 rows" in said


if __name__ == "__main__":
    assert len(jax.devices()) == 4
    kinds() if sys.argv[1] == "kinds" else runs(Path(sys.argv[2]))
    print("done")
