"""A run of a network with families: its items are named with brackets in every command."""

import json

import numpy as np
import pytest
from commands import lnetc
from PIL import Image

import lnet
from lnet.runtime.analysis.neurons import find_layers
from lnet.runtime.analysis.probe.subjects import probed_layers

TEXT = """
stage area(maps) { filter: local(3, maps); pool: l2pool(2); learn: rica() }
network small { image: input(8x8x3); area[2]: area(2, of = image); all: concat(area) }
train { data = frames("images"); batch = 4; steps = 2; checkpoint = 2 }
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("families")
    rng = np.random.default_rng(0)
    for place in ["images/0.png", "images/1.png"]:
        (folder / place).parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (9, 9, 3), dtype=np.uint8)).save(folder / place)
    (folder / "small.lnet").write_text(TEXT)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        lnetc("run", "small.lnet", "-d", "a")
        yield folder


def test_neurons_of_families_are_drawn_into_files_that_need_no_quotes(folder):
    out = lnetc("draw", "a", "area[1].pool[1, 2, 0]", "area[0].filter[0,0,1]", "--samples", 4).stdout
    assert "area[1].pool[1, 2, 0]: " in out
    names = [path.name for path in (folder / "a/pictures").iterdir()]
    assert "stimuli.area-1.pool-1-2-0.json" in names
    assert not [name for name in names if set(name) & set("[] ")]
    lnetc("sheet", "a", "area[1].filter")
    page = (folder / lnetc("report", "a").stdout.strip()).read_text()
    assert "area[1].pool[1, 2, 0]" in page
    for wrong in ("area[2].pool[0,0,0]", "area.pool[0,0,0]", "area[0,0,0]", "area[0][0]"):
        assert "error E720: " in lnetc("draw", "a", wrong, status=1).stderr
    said = lnetc("sheet", "a", "area", status=1).stderr
    assert "error E720: 'area' is a family: name one of its layers" in said
    assert "name one of its items, 'area[0]' ... 'area[1]'" in said


def test_parameters_and_activations_are_exported_by_their_paths(folder):
    lnetc("export", "a", "-o", "a.npz", "--activations", "images", "--layer", "area[1].pool")
    params = lnet.open_run("a").network().params
    assert "area[1].learn.decode" in params
    with np.load("a.npz") as file:
        np.testing.assert_array_equal(file["area[1].filter.weight"], params["area[1].filter.weight"])
        assert file["activations/area[1].pool"].shape == (2, 5, 5, 2)


def test_a_family_stands_for_its_items_where_layers_are_listed(folder):
    lnetc("export", "a", "-o", "b.npz", "--activations", "images", "--layer", "area", "--layer", "area[1]")
    with np.load("b.npz") as file:
        names = [name for name in file if name.startswith("activations/area") and not name.endswith(".axes")]
    assert names == ["activations/area[0].pool", "activations/area[1].pool"]
    graph = lnet.open_run("a").plan.graph
    assert probed_layers(graph, ["all", "area"]) == ("area[0].pool", "area[1].pool", "all")
    assert find_layers(graph, ["area", "area[0].filter"]) == (
        "area[0].pool",
        "area[1].pool",
        "area[0].filter",
    )


@pytest.mark.parametrize("frozen", ["area[1]", "area[0].filter"])
def test_a_run_goes_on_from_another_with_an_item_frozen(folder, frozen):
    run = f"b-{len(frozen)}"
    lnetc("run", "small.lnet", "-d", run, "--from", "a", "--freeze", frozen)
    before, after = (lnet.open_run(name).network().params for name in ("a", run))
    same = {name for name in before if np.array_equal(before[name], after[name])}
    assert same == {name for name in before if name.startswith(f"{frozen}.")}


def test_a_whole_family_frozen_leaves_nothing_to_learn(folder):
    result = lnetc("run", "small.lnet", "-d", "c", "--freeze", "area", status=1)
    assert "nothing to learn: 'area'" in result.stderr


def test_explain_and_json_name_the_items(folder):
    assert "area[1].filter" in lnetc("explain", "small.lnet").stdout
    rows = json.loads(lnetc("explain", "small.lnet", "--json").stdout)["layers"]
    assert {"area[0].pool", "area[1].filter", "area[1].learn.decode"} <= {row["path"] for row in rows}
