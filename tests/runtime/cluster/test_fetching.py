"""When a tile fetches parameters."""

from types import SimpleNamespace

import pytest

from lnet.runtime.cluster.protocol.replica import _must_fetch


@pytest.mark.parametrize(
    ("fetched", "step", "must"),
    [(-1, 0, True), (-1, 4, True), (3, 4, False), (3, 5, False), (3, 6, True), (6, 6, False), (0, 1, False)],
)
def test_parameters_are_fetched_every_third_step_and_by_those_who_have_none(fetched, step, must):
    tile = SimpleNamespace(fetched=fetched, spec=SimpleNamespace(fetch=3))
    assert _must_fetch(tile, step) is must
