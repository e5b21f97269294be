"""What failures leave of a predicted speed, against the formula written out by hand."""

from dataclasses import replace
from math import exp, factorial

import pytest

import lnet
from lnet.compiler.cut.cluster_spec import read_cluster_spec, read_rates
from lnet.compiler.predict.best import best_layout, comparison_text
from lnet.compiler.predict.explain_time import predict, time_data, time_text
from lnet.compiler.predict.goodput import CONFIRMED, PER_HOURS, UNDISTURBED, Failures, _beyond

NETWORK = """
network n {{ image: input(8x10x1); f: local(3, 2); g: local(3, 2); out: l2(); }}
train {{ data = frames("x"); batch = 10; update = adagrad(rate = 0.1); replicas = {replicas}; {more} }}
"""
RATES = """
[links]
between = {{ latency = 1e-3, bandwidth = {bandwidth} }}
within = {{ latency = 1e-3, bandwidth = {bandwidth} }}
overhead = 0
copies = inf
[[hosts]]
name = "h"
count = {hosts}
workers = {workers}
[rates]
layers = {{ local = 1e5 }}
updates = 1e7
images = inf
source = "a test"
"""
SILENCE, REPAIR = 5.0, 300.0


def described(tmp_path, hosts, workers=1, bandwidth=1e5):
    spec = tmp_path / "cluster.toml"
    spec.write_text(RATES.format(hosts=hosts, workers=workers, bandwidth=bandwidth))
    return spec


def predicted(
    tmp_path, rate, replicas=2, tiles="1x2", hosts=4, more="", repair=0.0, bandwidth=1e5, workers=1
):
    spec = described(tmp_path, hosts, workers, bandwidth)
    module = lnet.parse(NETWORK.format(replicas=replicas, more=more))
    plan = lnet.compile(module, tiles=tiles, cluster_spec=spec, shards_per_tile=1)
    return predict(plan, read_rates(spec), Failures(rate, repair, SILENCE))


def test_no_failures_leave_all(tmp_path):
    found = predicted(tmp_path, 0)
    assert found.goodput == UNDISTURBED
    assert found.useful == found.images_a_second


def standing(found, seconds, hosts):
    return found.goodput.standing == pytest.approx(1 / (1 + 100 / PER_HOURS * hosts * seconds))


def test_a_lost_server_stops_everybody_and_a_lost_tile_its_replica(tmp_path):
    """Four machines with a tile each: two have primaries, and two the standbys; three more have nothing."""
    found = predicted(tmp_path, 100, hosts=7)
    primary = (CONFIRMED + SILENCE) / 2
    standby = (CONFIRMED / 2 + SILENCE) / 2
    assert standing(found, (2 * primary + 2 * standby) / 7, 7)


def test_with_a_bound_of_staleness_a_lost_tile_stops_everybody(tmp_path):
    found = predicted(tmp_path, 100, hosts=7, more="staleness = 0")
    assert standing(found, 4 * (CONFIRMED + SILENCE) / 2 / 7, 7)


def test_a_machine_that_falls_silent_takes_all_of_its_workers(tmp_path):
    """Two machines of two workers: each has both tiles of a replica, or a part of both, and servers."""
    found = predicted(tmp_path, 100, hosts=2, workers=2)
    placement = found.plan.placement
    primaries = set(placement.servers)
    ended = sum(CONFIRMED * (1 if worker in primaries else 0.5) for worker in range(4)) / 4
    assert standing(found, (ended + SILENCE) / 2, 2)


def test_primaries_that_have_moved_send_their_parameters_to_their_tiles(tmp_path):
    found = predicted(tmp_path, 1, replicas=1, tiles="1x2", hosts=2, bandwidth=1e3)
    swapped = replace(found.plan.placement, servers=found.plan.placement.servers[::-1])
    moved = predict(replace(found.plan, placement=swapped), found.rates)
    assert found.goodput.moved == pytest.approx(found.time.seconds / moved.time.seconds)
    assert found.goodput.moved < 0.9


@pytest.mark.parametrize("spares", [0, 1, 3])
@pytest.mark.parametrize("expected", [0.1, 2.0, 30.0])
def test_how_many_are_missing_beyond_the_spares(spares, expected):
    chances = [exp(-expected) * expected**n / factorial(n) for n in range(120)]
    by_hand = sum(max(0, n - spares) * chance for n, chance in enumerate(chances))
    assert _beyond(spares, expected) == pytest.approx(by_hand, rel=1e-9)


def test_so_many_failures_that_chances_underflow():
    assert _beyond(3, 2000.0) == 1997


def test_a_spare_keeps_the_speed_while_a_machine_is_missing(tmp_path):
    without = predicted(tmp_path, 100, repair=REPAIR, bandwidth=1e8).goodput
    with_one = predicted(tmp_path, 100, hosts=5, repair=REPAIR, bandwidth=1e8).goodput
    missing = 4 * 100 / PER_HOURS * REPAIR
    slowed = 1 - exp(-missing / 2)
    assert 1 - without.staffed == pytest.approx(
        slowed * 0.5, rel=0.2
    )  # nearly half as fast: arithmetic dominates
    assert 1 - with_one.staffed < 0.1 * (1 - without.staffed)


def test_text_and_data_say_the_same(tmp_path):
    found = predicted(tmp_path, 100, repair=REPAIR)
    data = time_data(found)
    assert data["goodput"]["share"] == pytest.approx(found.useful / data["images_a_second"])
    assert data["failures"] == {"rate": 100, "repair": REPAIR, "silence": SILENCE}
    text = time_text(found)
    assert (
        f"with 100 failures of a machine in 1,000 hours, each repaired after 300 s: goodput {data['goodput']['share']:.3f}"
        in text
    )
    assert "goodput" not in time_data(predict(found.plan, found.rates))
    assert "failures" not in time_text(predict(found.plan, found.rates))


def test_layouts_are_compared_by_what_failures_leave_of_them(tmp_path):
    spec = described(tmp_path, 7, bandwidth=1e6)
    plan = lnet.compile(lnet.parse(NETWORK.format(replicas=1, more="")), tiles="1x1")
    failures = Failures(2000, REPAIR, SILENCE)
    found = best_layout(plan, read_cluster_spec(spec), read_rates(spec), failures=failures)
    assert list(found.all) == sorted(found.all, key=lambda each: -each.useful)
    assert list(found.all) != sorted(found.all, key=lambda each: -each.images_a_second)
    assert found.best.useful >= 0.95 * found.all[0].useful
    text = comparison_text(found)
    assert "under failures: 2,000 of a machine in 1,000 hours, each repaired after 300 s" in text
    assert f"{found.best.useful:,.4g}" in text
    assert "failures" not in comparison_text(best_layout(plan, read_cluster_spec(spec), read_rates(spec)))
