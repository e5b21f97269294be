"""Runs on a cluster are validated as in one process, whoever dies meanwhile."""

import os
import re
import signal
from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest
from processes import Watching, cluster, process_of

import lnet
from lnet.runtime.process.precision import computing_in
from lnet.runtime.store.events import Validated
from lnet.runtime.training.validation import Validator, open_validation

pytestmark = pytest.mark.slow

TEXT = """
network n {
    image: input(4x5x2)
    y:     target(2)
    V1:    local(3, maps = 2, act = relu, of = image)
    norm:  batchnorm(0.9)                # tiles exchange its totals, beside values of single images
    drop:  dropout(0.3)
    t:     tanh(of = V1)
    near:  l2pool(1x2)
    k:     dense(3)
    class: cross_entropy()
    z:     dense(2, of = drop)
    fit:   mean_squared_error(target = y, weight = between(0, 2, 0, 20))
    small: weight_l2([V1, k], weight = 0.01)
}
train {
    data = arrays("seen.npz", labels = "k", targets = "y"); validation = arrays("unseen.npz")
    validate_every = 4; keep_best = loss; steps = 18; batch = 8; checkpoint = 7; update = adam(0.01)
    precision = float64
}
"""
STEPS = [4, 8, 12, 16, 18]
"""At which a run of 18 steps is validated."""


def arrays(count, seed):
    rng = np.random.default_rng(seed)
    k = np.array(["cat", "dog", "eel"])[np.arange(count) % 3]
    x = rng.normal(size=(count, 4, 5, 2))
    x[:, :, :, 0] += np.arange(count)[:, None, None] % 3
    return {"x": x, "k": k, "y": x[:, 0, :2, 0] - x[:, 1, :2, 1]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("validated")
    np.savez(folder / "seen.npz", **arrays(50, 1))
    np.savez(folder / "unseen.npz", **arrays(21, 2))
    (folder / "n.lnet").write_text(TEXT)
    return folder


@pytest.fixture(scope="module")
def client():
    with cluster(2) as client:
        yield client


def plan(folder, workers, tiles, shards_per_tile=None, **settings):
    return lnet.compile(
        folder / "n.lnet",
        workers=workers,
        tiles=tiles,
        shards_per_tile=shards_per_tile,
        set={f"train.{name}": value for name, value in settings.items()},
    )


def of(run):
    return [event for event in run.events() if isinstance(event, Validated)]


def assert_best(run, folder):
    """The best are those of the least loss, and have it in one process; nothing of others is left."""
    least = min((event for event in of(run) if event.best), key=lambda event: event.loss)
    assert least.loss == min(event.loss for event in of(run))
    best, graph = lnet.open_run(run.directory / "best").checkpoint(), run.plan.graph.validated
    assert (best.step, best.update) == (least.step, {})
    images = open_validation(graph, None, folder, 0, run.kept)
    with computing_in("float64"):
        params = {name: jnp.asarray(value) for name, value in best.params.items()}
        found = Validator(graph, images, {}, lambda: False).validate(best.step, params)
    assert found.images == least.images
    assert found.loss == pytest.approx(least.loss, rel=1e-11)
    assert found.accuracies == pytest.approx(least.accuracies)
    assert len(list((run.directory / "best").iterdir())) == 1


def test_tiles_find_what_one_process_finds_and_go_on_where_they_were(folder, client, tmp_path):
    """Two tiles of two shards each, stopped on the way, against one process."""
    cut = plan(folder, 2, "1x2", 2, staleness=0)
    stop = partial(signal.raise_signal, signal.SIGINT)
    with pytest.raises(lnet.Interrupted):
        lnet.train(cut, directory=tmp_path / "a", client=client, reporter=Watching({9: stop}))
    before = [event.step for event in of(lnet.open_run(tmp_path / "a"))]
    watching = Watching()
    run = lnet.resume(tmp_path / "a", client=client, reporter=watching)
    assert before[:2] == STEPS[:2]
    assert [event.step for event in watching.logged("validation")] == STEPS[len(before) :]
    whole = lnet.train(cut, directory=tmp_path / "b")
    for mine, other in zip(of(run), of(whole), strict=True):
        assert (mine.step, mine.images, mine.best) == (other.step, other.images, other.best)
        assert mine.terms == pytest.approx(other.terms, rel=1e-9)
        assert mine.accuracies == pytest.approx(other.accuracies)
    assert_best(run, folder)
    assert_best(whole, folder)
    said = "validation: 21 samples in 'unseen.npz', after every 4 steps and the last"
    assert said in watching.messages
    assert any(text.startswith("validation at step 18: loss ") for text in watching.messages)


def test_a_worker_killed_while_it_validates_loses_no_validation(folder, client, tmp_path):
    """Two replicas of two tiles, asynchronous; one of those that validate ends."""

    def kill():
        (name,) = re.findall(r"replica 0 is computed by (\S+),", "\n".join(watching.messages))[-1:]
        os.kill(process_of(client, name), signal.SIGKILL)

    watching = Watching(on={"validates the parameters after step 4": kill})
    cut = plan(folder, 4, "1x2", replicas=2, batch=4)
    run = lnet.train(cut, directory=tmp_path / "a", client=client, reporter=watching)
    steps = [event.step for event in of(run)]
    assert watching.told("validates the parameters after step 4") > 1
    assert steps == sorted(set(steps))
    assert {4, 18} <= set(steps) <= set(STEPS)
    assert not {"lost", "rollback"} & {event.name for event in run.events()}
    assert run.events()[-1].name == "done"
    assert_best(run, folder)
