"""Which tiles decode images together: by what that costs, never more than 16, and shown by explain."""

import pytest

import lnet
from lnet.compiler.cut.decoding import MOST, decoding, group_of, groups_of, processes_of
from lnet.compiler.plan.explain import explain_data

CATFACE = "examples/catface/model.lnet"


@pytest.mark.parametrize("tiles", [1, 2, 15, 16, 17, 33, 169, 1024])
def test_groups_are_all_tiles_and_as_few_and_equal_as_can_be(tiles):
    groups = groups_of(tiles)
    assert [tile for group in groups for tile in group] == list(range(tiles))
    assert len(groups) == -(-tiles // MOST)
    assert max(map(len, groups)) - min(map(len, groups)) <= 1
    for group in groups:
        assert all(group_of(tile, tiles) == group for tile in group)


def plan_of(size, batch=20, workers=4):
    source = f"network n {{ image: input({size}x{size}x3); f: local(3, 2, stride = 2); q: l2() }} train {{ batch = {batch} }}"
    return lnet.compile(lnet.parse(source), workers=workers)


def cost_of(plan, processes=None):
    return decoding(plan.graph, plan.partition, processes or processes_of(plan.placement))


def test_large_images_are_shared_and_small_ones_are_not():
    large, small = plan_of(128), plan_of(8)
    assert cost_of(large).shared
    assert not cost_of(small).shared
    assert (cost_of(large).times, cost_of(small).times) == (1, 4)
    assert "images: all 4 tiles decode each once and send each other windows" in large.explain()
    assert "images: each of 4 workers decodes all of them" in small.explain()


def test_one_process_decodes_its_images_alone():
    plan = plan_of(128)
    assert not cost_of(plan, processes=1).shared
    assert not cost_of(plan_of(128, workers=1)).shared
    assert "images: " not in plan_of(128, workers=1).explain()


def test_the_published_network_decodes_each_image_eleven_times():
    """That is once in each of ceil(169 / 16) groups, where every tile decoded it before."""
    data = explain_data(lnet.compile(CATFACE, workers=845))["decoding"]
    assert data["shared"]
    assert data["times"] == len(data["groups"]) == 11
    assert data["together"] < data["alone"] / 2
