"""The predicted time of a step, against the formula written out by hand."""

from math import inf

import pytest

import lnet
from lnet.compiler.core.shapes import Size
from lnet.compiler.cut.cluster_spec import read_cluster_spec, read_rates
from lnet.compiler.predict.best import EVERY, best_layout, comparison_text
from lnet.compiler.predict.explain_time import predict, time_data, time_text
from lnet.compiler.predict.stages import ParameterWork
from lnet.compiler.predict.step import Stage, step_time
from lnet.dsl.diagnostics import LnetError

# f is 6x8x2 and g is 4x6x2: 3*3*1*2 and 3*3*2*2 weights a position.
NETWORK = """
network n {{ image: input(8x10x1); f: local(3, 2); g: local(3, 2); out: l2(); }}
train {{ data = frames("x"); batch = 10; update = adagrad(rate = 0.1); replicas = {replicas}; {more} }}
"""
F, G = 6 * 8 * 18, 4 * 6 * 36
RATES = """
[links]
between = {{ latency = 1e-3, bandwidth = 1e5 }}
overhead = 0.25
copies = 5e5
[[hosts]]
name = "h"
count = {hosts}
[rates]
layers = {{ local = 1e5 }}
updates = 1e4
images = 1e3
source = "a test"
"""


def predicted(tmp_path, replicas=1, tiles="1x1", hosts=1, more=""):
    spec = tmp_path / "cluster.toml"
    spec.write_text(RATES.format(hosts=hosts))
    module = lnet.parse(NETWORK.format(replicas=replicas, more=more))
    return predict(lnet.compile(module, tiles=tiles, cluster_spec=spec), read_rates(spec))


def message(values):
    return 1e-3 + values * 4 / 1e5


def test_one_worker(tmp_path):
    found = predicted(tmp_path)
    kernels, updates = 10 * (F + G) / 1e5, (F + G) / 1e4
    assert found.time.path == pytest.approx(
        {"kernels": kernels, "halos": 0, "parameters": updates, "images": 10 / 1e3, "overhead": 0.25}
    )
    assert found.images_a_second == pytest.approx(10 / (kernels + updates + 0.01 + 0.25))
    assert found.time.waiting == pytest.approx(0)


def test_the_tiles_of_all_replicas_change_their_own_copies(tmp_path):
    spec = tmp_path / "cluster.toml"
    spec.write_text(RATES.format(hosts=8))
    module = lnet.parse(NETWORK.format(replicas=4, more="fetch = 5"))
    work = ParameterWork.of(lnet.compile(module, tiles="1x2", cluster_spec=spec), read_rates(spec))
    assert work.own == pytest.approx([(F + G) / 2 / 1e4] * 8)


def test_two_tiles(tmp_path):
    """Each computes half; a column of f goes each way, and its gradient comes back; each has the other's standby."""
    found = predicted(tmp_path, tiles="1x2", hosts=2)
    assert found.time.path == pytest.approx(
        {
            "kernels": 10 * (F + G) / 2 / 1e5,
            "halos": 2 * (message(10 * 6 * 2) + 10 * 6 * 2 * 4 / 5e5),
            "parameters": 2 * (F + G) / 2 / 1e4 + message((F + G) / 2),
            "images": 10 / 1e3,
            "overhead": 0.25,
        }
    )


@pytest.mark.parametrize(
    ("more", "updates", "own", "fetches", "pushes"),
    [("", 2, 0, 1, 1), ("staleness = 0", 1, 0, 1, 1), ("fetch = 4; push = 2", 1, 3 / 4, 1 / 4, 1 / 2)],
)
def test_two_replicas(tmp_path, more, updates, own, fetches, pushes):
    """Worker 0 holds the primary: it sends what the other fetches and the log, and receives what that pushes."""
    found = predicted(tmp_path, replicas=2, hosts=2, more=more)
    whole = message(F + G)
    sent, pushed = (fetches + 2 * pushes) * whole, pushes * whole
    assert found.time.spent["parameters"] == pytest.approx(
        [(updates + own) * (F + G) / 1e4 + sent, (updates + own) * (F + G) / 1e4 + max(sent, pushed)]
    )
    assert found.time.spent["kernels"] == pytest.approx([10 * (F + G) / 1e5] * 2)


def test_tiles_on_one_worker_take_turns_and_send_nothing(tmp_path):
    found = predicted(tmp_path, tiles="1x2")
    assert found.time.path["kernels"] == pytest.approx(10 * (F + G) / 1e5)
    assert found.time.path["halos"] == 0
    assert found.time.path["overhead"] == 0.5


def test_the_path_is_that_of_the_slowest_of_each_stage():
    time = step_time([Stage("kernels", (3, 1)), Stage("halos", (0, 2)), Stage("kernels", (1, 4))])
    assert time.path == {"kernels": 7, "halos": 2, "parameters": 0, "images": 0, "overhead": 0}
    assert time.seconds == 9
    assert time.bottleneck == "kernels"
    assert time.slowest["halos"] == 1
    assert time.waiting == 9 - 4.5 - 1


def test_text_and_data_say_the_same(tmp_path):
    found = predicted(tmp_path, tiles="1x2", hosts=2)
    data = time_data(found)
    assert sum(data["path"].values()) == pytest.approx(data["seconds"])
    assert sum(data["mean"].values()) == pytest.approx(data["seconds"])
    assert f"bottleneck: {data['bottleneck']}" in time_text(found)
    assert "rates: a test" in time_text(found)
    assert [worker["name"] for worker in data["workers"]] == ["h-0/0", "h-1/0"]


@pytest.mark.parametrize(
    ("lacking", "message"),
    [
        ("between = {{ latency = 1e-3, bandwidth = 1e5 }}", "how fast the links between hosts are"),
        ("layers = {{ local = 1e5 }}", "how many multiply-adds a worker does in a second in 'local' layers"),
        ("updates = 1e4", "how many parameters a worker updates in a second"),
        ("images = 1e3", "how many images a worker reads and decodes in a second"),
        ("overhead = 0.25", "how many seconds a step takes besides"),
        ("copies = 5e5", "how many bytes of halos a worker copies in a second"),
    ],
)
def test_an_unknown_constant_is_asked_for(tmp_path, monkeypatch, lacking, message):
    assert lacking in RATES
    monkeypatch.setitem(globals(), "RATES", RATES.replace(lacking, ""))
    with pytest.raises(LnetError, match=rf"E611.*{message}"):
        predicted(tmp_path, hosts=2, tiles="1x2")


@pytest.mark.parametrize("rate", ["0", "-1", "nan", '"fast"'])
def test_a_rate_that_cannot_be(tmp_path, monkeypatch, rate):
    monkeypatch.setitem(globals(), "RATES", RATES.replace("updates = 1e4", f"updates = {rate}"))
    with pytest.raises(LnetError, match="E604"):
        predicted(tmp_path)


def test_images_in_memory_cost_nothing(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "RATES", RATES.replace("images = 1e3", "images = inf"))
    found = predicted(tmp_path)
    assert found.rates.images == inf
    assert found.time.path["images"] == 0


# --- the best layout -----------------------------------------------------------------------------------------------


def compared(tmp_path, workers, more="", replicas=None, tiles=None, overrides=None):
    spec = tmp_path / "cluster.toml"
    spec.write_text(RATES.format(hosts=workers))
    module = lnet.parse(NETWORK.format(replicas=1, more=more))
    plan = lnet.compile(module, tiles="1x1", set=overrides or {})
    return best_layout(plan, read_cluster_spec(spec), read_rates(spec), replicas, tiles)


def test_the_best_layout_is_near_the_fastest_of_all(tmp_path):
    """Each is what a plan compiled for that layout would be predicted to be."""
    found = compared(tmp_path, 6)
    spec, text = tmp_path / "cluster.toml", NETWORK.format(replicas=1, more="")
    again = [
        predict(
            lnet.compile(
                lnet.parse(text),
                cluster_spec=spec,
                replicas=replicas,
                tiles=tiles,
                set={"train.fetch": fetch, "train.push": push},
            ),
            read_rates(spec),
        ).images_a_second
        for tiles, replicas in (("1x1", 6), ("1x2", 3), ("2x2", 1), ("2x3", 1))
        for fetch in EVERY
        for push in EVERY
    ]
    assert sorted(again) == pytest.approx(sorted(p.images_a_second for p in found.all))
    assert found.best.images_a_second >= 0.95 * max(again)


def test_gradients_are_no_older_than_speed_needs(tmp_path):
    best = compared(tmp_path, 2).best
    every = compared(tmp_path, 2).all
    enough = [p for p in every if p.images_a_second >= 0.95 * every[0].images_a_second]
    assert every[0].plan.graph.training.push == max(EVERY)
    age = lambda p: p.plan.graph.training.fetch + p.plan.graph.training.push  # noqa: E731
    assert age(best) == min(map(age, enough))


@pytest.mark.parametrize(
    ("asked", "layouts"),
    [
        ({"more": "staleness = 0"}, {(1, 1)}),
        ({"overrides": {"train.fetch": 3, "train.push": 2}}, {(3, 2)}),
        ({"overrides": {"train.fetch": 3}}, {(3, push) for push in EVERY}),
    ],
)
def test_fetch_and_push_stay_within_staleness_and_settings(tmp_path, asked, layouts):
    found = compared(tmp_path, 4, **asked)
    trainings = [p.plan.graph.training for p in found.all]
    assert {(training.fetch, training.push) for training in trainings} == layouts


def test_layouts_without_memory_are_left_out(tmp_path, monkeypatch):
    """A worker has room for the network in two tiles, not for all of it."""
    plain, enough = RATES, compared(tmp_path, 2).all
    whole, half = (max(w.memory for w in p.plan.workers) for p in enough if _kept(p.plan))
    monkeypatch.setitem(
        globals(), "RATES", plain.replace("[rates]", f"memory = {(whole + half) // 2}\n[rates]")
    )
    found = compared(tmp_path, 2)
    assert {str(p.plan.partition.tiles) for p in found.all} == {"1x2"}
    assert "without enough memory: 1x1" in comparison_text(found)
    monkeypatch.setitem(globals(), "RATES", plain.replace("[rates]", "memory = 1000\n[rates]"))
    with pytest.raises(LnetError, match=r"E603.*no layout of 2 workers"):
        compared(tmp_path, 2)


def _kept(plan):
    return (plan.graph.training.fetch, plan.graph.training.push) == (1, 1)


@pytest.mark.parametrize(
    "asked", [{"replicas": 3}, {"tiles": Size(1, 3)}, {"replicas": 2, "tiles": Size(1, 2)}]
)
def test_a_layout_that_is_given_needs_its_workers(tmp_path, asked):
    with pytest.raises(LnetError, match=r"E609: the layout needs at least \d workers, found 2"):
        compared(tmp_path, 2, **asked)


def test_replicas_and_tiles_that_are_given_stay(tmp_path):
    found = compared(tmp_path, 6, replicas=2, tiles=Size(1, 3))
    assert {(len(p.plan.placement.tiles), p.plan.partition.tiles) for p in found.all} == {(2, Size(1, 3))}
    assert "1x3     2 " in comparison_text(found)
