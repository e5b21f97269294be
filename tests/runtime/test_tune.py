"""Choices measured on a machine: what is kept, what is passed over, and that a run keeps to its own."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

import lnet
from lnet.runtime.kernels.choose import choices, choose, made, portable, predicted
from lnet.runtime.kernels.explain import products
from lnet.runtime.training import tune

TEXT = """
network small { image: input(12x12x1); filter: local(4, 3); pool: l2pool(2); learn: rica() }
train { batch = 8; steps = 6; checkpoint = 2; update = sgd(rate = 0.001) }
"""


@pytest.fixture
def plan(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "small.lnet").write_text(TEXT)
    return lnet.compile(tmp_path / "small.lnet")


def distinct(plan):
    return list(dict.fromkeys(product for _, _, product in products(plan.graph)))


def slowest(product):
    """A choice that the cost model would not make."""
    return max(choices(product), key=lambda choice: choice.milliseconds)


def keep_others(plan):
    """Write choices down as if they had been measured here."""
    for product in distinct(plan):
        tune._keep(product, replace(slowest(product), milliseconds=1.0, measured=True))


def files(tmp_path):
    return sorted((tmp_path / "cache" / "lnet" / "kernels").iterdir())


def test_what_is_measured_is_kept(plan, tmp_path):
    measured = lnet.tune(plan)
    assert list(measured) == distinct(plan)
    assert all(choice.measured and choice.milliseconds > 0 for choice in measured.values())
    assert tune.kept(plan.graph) == measured
    assert len(files(tmp_path)) == len(measured) == 3


def test_a_likely_choice_is_measured_by_running_it(plan, monkeypatch):
    """The clock is made up: the choice that it says is fastest is the one that is returned."""
    product = distinct(plan)[0]
    wanted = [c for c in choices(product) if c.milliseconds <= tune.LIKELY * predicted(product).milliseconds][
        -1
    ]
    monkeypatch.setattr(tune, "_compiled", lambda product, choice, arrays: choice)
    times = lambda choice, arrays: 1.0 if choice == wanted else 100.0  # noqa: E731
    monkeypatch.setattr(tune, "_milliseconds", times)
    assert tune.measure(product) == replace(wanted, milliseconds=1.0, measured=True)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "[]",
        lambda text: "null",
        lambda text: text.replace('"milliseconds": 1.0', '"milliseconds": "soon"'),
        lambda text: text.replace('"form": "', '"form": "no '),
        lambda text: text.replace('"shape": [', '"shape": [7, '),
        lambda text: text.replace('"jax": "', '"jax": "0.'),
        lambda text: text.replace('"cores": ', '"cores": 9'),
        lambda text: text.replace("batch 8", "batch 9"),
    ],
)
def test_a_file_that_is_damaged_or_about_something_else_is_as_good_as_none(plan, tmp_path, spoil):
    keep_others(plan)
    assert len(tune.kept(plan.graph)) == 3
    for path in files(tmp_path):
        assert spoil(path.read_text()) != path.read_text()
        path.write_text(spoil(path.read_text()))
    assert tune.kept(plan.graph) == {}


def test_another_machine_or_batch_has_choices_of_its_own(plan, monkeypatch, tmp_path):
    keep_others(plan)
    assert tune.kept(lnet.compile(tmp_path / "small.lnet", set={"train.batch": 9}).graph) == {}
    here = tune._here()
    monkeypatch.setattr(tune, "_here", lambda: {**here, "node": "another"})
    assert tune.kept(plan.graph) == {}


def test_a_reader_never_sees_half_a_file(plan):
    product = distinct(plan)[0]
    several = [replace(choice, milliseconds=1.0, measured=True) for choice in choices(product)]
    tune._keep(product, several[0])
    with ThreadPoolExecutor(4) as pool:
        writes = [pool.submit(tune._keep, product, choice) for choice in several * 8]
        while not all(write.done() for write in writes):
            assert tune.kept(plan.graph)[product] in several
    for write in writes:
        write.result()


def test_choices_hold_where_they_are_made_and_nowhere_else(plan):
    product = distinct(plan)[0]
    other = slowest(product)
    assert choose(product) == predicted(product) != other
    with made({product: other}):
        assert choose(product) == other
    assert choose(product) == predicted(product)


def test_a_run_keeps_to_its_choices_whatever_is_measured_later(plan, tmp_path):
    """Another tile is another order of sums: a run that took new choices when resumed would end with other bits.

    Products of XLA, that is: those written for this processor have one order of sums whatever their blocks.
    """
    images = np.random.default_rng(0).random((8, 12, 12, 1), np.float32)

    def weights(run):
        return run.network().params["filter.weight"]

    with portable():
        whole = weights(lnet.train(plan, images, directory=tmp_path / "a"))
        lnet.train(plan, images, steps=2, directory=tmp_path / "b")
        keep_others(plan)
        resumed = lnet.resume(tmp_path / "b", images, steps=6)
        np.testing.assert_array_equal(weights(resumed), whole)
        tuned = lnet.train(plan, images, directory=tmp_path / "c")
        assert (weights(tuned) != whole).any()
        np.testing.assert_allclose(weights(tuned), whole, atol=1e-4)
        recorded = json.loads((tmp_path / "c" / "run.json").read_text())["kernels"]
        assert tune.choices_from(plan.graph, recorded) == tune.kept(plan.graph)
