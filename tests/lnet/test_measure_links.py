"""The constants of links, solved from steps: what the measured plans were predicted to take comes out again."""

from math import inf
from pathlib import Path

import pytest

from lnet.compiler.cut.cluster_spec import Worker
from lnet.dsl.diagnostics import LnetError
from lnet.links import LinkTest, links_toml

PAIR = Worker("a", "host"), Worker("b", "host")
OVERHEAD, LATENCY, BANDWIDTH, COPIES = 4e-3, 2e-4, 5e8, 3e8


@pytest.fixture(scope="module")
def links():
    return LinkTest(None, PAIR, Path())


@pytest.fixture(scope="module")
def seconds(links):
    known = OVERHEAD, LATENCY, 1 / BANDWIDTH, 1 / COPIES
    return [sum(a * b for a, b in zip(factors, known, strict=True)) for factors in links.factors]


def test_constants_are_solved_from_the_medians_of_runs(links, seconds):
    links.seconds = [[value, value, 10 * value] for value in seconds]
    found = links.solve()
    assert found.overhead == pytest.approx(OVERHEAD)
    assert found.link.latency == pytest.approx(LATENCY)
    assert found.link.bandwidth == pytest.approx(BANDWIDTH)
    assert found.copies == pytest.approx(COPIES)
    assert "overhead = 0.004 " in links_toml({"within": found})


def test_copies_that_do_not_show_beside_the_link_take_no_time(links, seconds):
    """On a quiet machine, what two tiles exchanged took a little less for each byte than what replicas fetched."""
    links.seconds = [[0.0193], [0.0560], [0.1224], [0.0727]]
    found = links.solve()
    assert found.copies == inf
    assert found.overhead == pytest.approx(0.0131, rel=0.01)
    assert found.link.bandwidth == pytest.approx(1.21e8, rel=0.01)
    assert "copies   = inf " in links_toml({"within": found})


def test_workers_that_were_too_busy_are_measured_again(links, seconds):
    links.seconds = [[value] for value in (2 * seconds[1], *seconds[1:])]  # one tile took longer than two
    with pytest.raises(LnetError, match=r"E761.*'a' and 'b' were too busy"):
        links.solve()
