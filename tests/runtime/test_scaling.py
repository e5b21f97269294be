"""Training in float16 with a scale of the loss. There it is refused on processors, which round operands all the same."""

import jax.numpy as jnp
import numpy as np
import pytest

import lnet
from lnet.compiler.pipeline import compile_text
from lnet.runtime.engine import scaling
from lnet.runtime.engine.network import initial_params
from lnet.runtime.training import start
from lnet.runtime.training.trainer import batch_sums

TEXT = """
network n { image: input(7x6x1); a: local(3, 2, bias = true); d: dense(3); q: l2(weight = %s); r: l1(of = a, weight = %s) }
train { data = frames("none", normalize = none, flip = false); batch = 6; steps = 5; checkpoint = 2
        update = sgd(rate = 0.0001, momentum = 0.5); precision = %s }
"""


def plan_of(weight=1.0, other=0.0, precision="float16"):
    return compile_text(TEXT % (weight, other, precision))


@pytest.fixture
def on_gpu(monkeypatch):
    monkeypatch.setattr(start, "has_float16", lambda: True)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).random((6, 7, 6, 1), np.float32)


def notes(run):
    return [
        event.message for event in run.events() if event.name == "warning" and "left out" in event.message
    ]


def gradients_of(plan, images, scale):
    params = initial_params(plan.graph, 0)
    rows = jnp.moveaxis(jnp.asarray(images), 0, -1)
    found, _, _ = batch_sums(plan.graph)(params, None, rows, None, None, None, scale=scale)
    return found


@pytest.mark.parametrize("cluster", [False, True])
def test_it_is_for_one_process_on_a_gpu_E751(cluster, images, tmp_path):
    where = "the workers of a cluster" if cluster else "this machine computes on its processor"
    with pytest.raises(lnet.LnetError, match=f"E751: .* and {where}") as found:
        lnet.train(plan_of(), images, directory=tmp_path / "run", client=object() if cluster else None)
    assert "--set train.precision=bfloat16" in str(found.value)
    assert not (tmp_path / "run").exists()


def test_gradients_too_small_for_float16_are_those_of_float32(images):
    """Of gradients of 1e-7 nothing is left, unless the loss is scaled."""
    wanted = gradients_of(plan_of(2e-6, precision="float32"), images, None)
    lost = gradients_of(plan_of(2e-6), images, None)
    found = gradients_of(plan_of(2e-6), images, jnp.float32(2**15))
    for name, value in wanted.items():
        np.testing.assert_allclose(
            found[name], value, rtol=0.02, atol=0.01 * np.abs(value).max(), err_msg=name
        )
        assert np.abs(value).max() > 0, name
    assert not np.any(lost["a.weight"])


def test_updates_whose_gradients_overflow_are_left_out_and_the_others_are_those_of_float32(
    on_gpu, images, tmp_path
):
    """A batch of all images has the same gradients at every step, so that steps left out take none of a run."""
    run = lnet.train(plan_of(4.0, 4.0), images, directory=tmp_path / "run")
    state = run.checkpoint().update
    left_out = int(state["left_out"])
    assert 0 < left_out < 5
    assert (state["scale"], state["good"]) == (2.0 ** (15 - left_out), 5 - left_out)
    assert len(notes(run)) == left_out
    assert f"({left_out} so far)" in notes(run)[-1]
    alone = lnet.train(plan_of(4.0, 4.0, "float32"), images, steps=5 - left_out, directory=tmp_path / "alone")
    begun = lnet.Network(run.plan).params
    for name, value in alone.network().params.items():
        moved = np.linalg.norm(value - begun[name])
        assert np.linalg.norm(run.network().params[name] - value) < 0.01 * moved, name
    first = lnet.train(plan_of(4.0, 4.0), images, steps=2, directory=tmp_path / "first")
    again = lnet.resume(first.directory, images, steps=5).checkpoint()
    for name, value in (run.checkpoint().params | state).items():
        np.testing.assert_array_equal((again.params | again.update)[name], value, err_msg=name)


def test_the_scale_is_doubled_after_so_many_good_updates(on_gpu, images, tmp_path, monkeypatch):
    assert scaling.ENOUGH == 2000
    monkeypatch.setattr(scaling, "ENOUGH", 2)
    state = lnet.train(plan_of(0.001), images, directory=tmp_path / "run").checkpoint().update
    assert (state["scale"], state["good"], state["left_out"]) == (2.0**17, 1, 0)


def test_a_gradient_that_overflows_without_a_scale_ends_the_run_E730(on_gpu, images, tmp_path, monkeypatch):
    monkeypatch.setattr(scaling, "FIRST", 2.0)
    with pytest.raises(lnet.LnetError, match=r"E730: step 2: the gradient of '.*' is not finite"):
        lnet.train(plan_of(1e7, 1e7), images, directory=tmp_path / "run")
    run = lnet.open_run(tmp_path / "run")
    assert notes(run) == [
        "step 1: a gradient is not finite in float16, and its update is left out (1 so far); the loss is scaled by 1 from "
        "here on"
    ]
    assert run.checkpoint().step == 1
