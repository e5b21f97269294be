"""Objects at places of the field: networks that look at a single pixel are right where the object lies on it."""

import json
import pickle

import numpy as np
import pytest
from commands import lnetc
from PIL import Image

import lnet
from lnet.compiler.core.shapes import Size
from lnet.dsl.diagnostics import LnetError
from lnet.runtime.analysis.matrices import read_given
from lnet.runtime.analysis.probe.placed import Grid, Placed
from lnet.runtime.analysis.probe.places import correlation
from lnet.runtime.analysis.probe.subjects import Neurons, Weights
from lnet.runtime.store.checkpoint import Checkpoint
from lnet.runtime.store.run import create_run

TEXT = """network eye { image: input(6x6x1); class: dense(3); learn: cross_entropy() }
train { data = frames("train", labels = folder, normalize = none); batch = 4 }
"""
SHADES = {"black": 0, "grey": 100, "white": 255, "unknown": 30}
SEEN = ("black", "grey", "white")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("places")
    (place / "eye.lnet").write_text(TEXT)
    for label, shade in SHADES.items():
        (place / "set" / label).mkdir(parents=True)
        for number in range(2 if label == "white" else 1):
            Image.new("L", (9, 6), shade).save(place / "set" / label / f"{number}.png")
    for name, pixel in (("left", (0, 0)), ("right", (5, 5))):
        looking_at(place, name, *pixel)
    return place


def looking_at(place, name, row, column, classes=SEEN):
    """A run that says `white` where a pixel is above 0.75, else `black`."""
    plan = lnet.compile(place / "eye.lnet")
    params = {p.name: np.zeros(p.shape, np.float32) for p in plan.graph.parameters}
    params["class.weight"][6 * row + column, 2] = 1
    params["class.bias"][:] = (0, -1, -0.75)
    data = {"base": str(place), "images": 4, "classes": classes, "in_memory": False}
    run = create_run(place / name, plan, data, {})
    run.checkpoints.save(Checkpoint(3, params, {}))
    return run


def corner(row, column):
    """Right about `black` everywhere, about `grey` nowhere, about `white` on the pixel."""
    return np.array([1 / 3 + (place == (row, column)) / 3 for place in np.ndindex(3, 3)]).reshape(3, 3)


def test_a_network_is_right_where_the_object_lies_on_its_pixel(place):
    found = lnet.places(place / "left", place / "set", 3, compare={"right": place / "right"})
    left, right = found.maps
    np.testing.assert_allclose(left.accuracy, corner(0, 0))
    np.testing.assert_allclose(right.accuracy, corner(2, 2))
    assert found.labels == {"black": 1, "grey": 1, "white": 2}
    (pair,) = found.agreements
    expected = np.corrcoef(corner(0, 0).ravel(), corner(2, 2).ravel())[0, 1]
    assert (pair.together, pair.by_label, pair.labels) == pytest.approx((expected, expected, 1))
    with np.load(found.record.files["npz"], allow_pickle=False) as file:
        assert file["labels"].tolist() == list(SEEN)
        assert file["accuracy"].shape == (2, 3, 3, 3)
        np.testing.assert_allclose(file["accuracy"][0, 2], 3 * corner(0, 0) - 1, atol=1e-6)
    whole = lnet.places(place / "left", place / "set", 2, scale=1.0)
    np.testing.assert_allclose(whole.maps[0].accuracy, 2 / 3)


def test_places_stand_from_edge_to_edge():
    grid = Grid(4, Size(7, 10), Size(2, 3), 0.25)
    objects = np.ones((1, 2, 3, 1), np.float32)
    firsts = []
    for row, column in grid.places:
        field = grid.placed(objects, row, column)[0, :, :, 0]
        rows, columns = np.nonzero(field == 1)
        assert (np.ptp(rows), np.ptp(columns), (field == 0.25).sum()) == (1, 2, 64)
        firsts.append((rows[0], columns[0]))
    assert firsts[0] == (0, 0)
    assert firsts[-1] == (5, 7)
    assert [column for _, column in firsts[:4]] == [0, 2, 5, 7]
    assert Grid(1, Size(7, 10), Size(2, 3), 0).placed(objects, 0, 0)[0, 2, 3:6, 0].tolist() == [1, 1, 1]


def test_what_is_sent_to_workers_responds_as_here(place):
    placed = Placed(Neurons(Weights(place / "left", 3), ("class",)), Grid(2, Size(6, 6), Size(3, 3), 0.5))
    images = np.random.default_rng(0).random((4, 3, 3, 1), np.float32)
    here, there = placed.respond(images), pickle.loads(pickle.dumps(placed)).respond(images)
    assert list(here) == [f"class at {row}, {column}" for row in (0, 1) for column in (0, 1)]
    for name, responses in here.items():
        np.testing.assert_array_equal(responses, there[name])


def test_maps_of_people_are_matched_by_name_and_have_ceilings(place, monkeypatch):
    monkeypatch.chdir(place)
    rng = np.random.default_rng(0)
    people = rng.random((4, 3, 3, 3))
    shuffled = ["white", "black", "grey"]
    np.savez("people.npz", maps=people[:, [2, 0, 1]], names=shuffled)
    np.save("mean.npy", people.mean((0, 1)))
    out = lnetc(
        "probe", "left", "set", "--places", 3, "--maps", "people.npz", "--maps", "mean.npy", "--json"
    ).stdout
    by_label, together = json.loads(out)["agreements"]
    own = 3 * corner(0, 0) - 1
    expected = np.corrcoef(own.ravel(), people[:, 2].mean(0).ravel())[0, 1]
    assert (by_label["by_label"], by_label["labels"]) == pytest.approx((expected, 1))
    low = [
        np.corrcoef(people[s, k].ravel(), np.delete(people, s, 0)[:, k].mean(0).ravel())[0, 1]
        for s in range(4)
        for k in range(3)
    ]
    high = [
        np.corrcoef(people[s, k].ravel(), people[:, k].mean(0).ravel())[0, 1]
        for s in range(4)
        for k in range(3)
    ]
    assert by_label["ceilings"] == pytest.approx([np.mean(low), np.mean(high)])
    assert by_label["together"] == pytest.approx(together["together"])
    assert (together["by_label"], together["ceilings"]) == (None, None)
    shown = lnetc("probe", "left", "set", "--places", 3, "--maps", "people.npz").stdout
    assert "4 images of 3 labels at 3x3 places, 2x2 pixels of 6x6 on 0.5" in shown
    assert " 66.7  33.3  33.3" in shown
    page = (place / lnetc("report", "left").stdout.strip()).read_text()
    assert '<h2 id="places">Places</h2>' in page
    assert "noise ceiling" in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--places", 7], "E780: a field of 6x6 pixels has 1 to 6 places"),
        (["--places", 3, "--maps", "four.npy"], r"E785: 'four.npy' has the shape (4, 4)"),
        (["--places", 3, "--maps", "two.npy"], "E785: 'two.npy' has another number of conditions"),
        (["--places", 3, "--maps", "names.npz"], "E785: 'names.npz' lacks 1 of 3 conditions"),
        (["--places", 3, "--maps", "several.npz"], "say which, FILE.npz:ARRAY"),
        (["--places", 3, "--maps", "several.npz:c"], "several.npz' cannot be read"),
        (["--places", 3, "--maps", "nan.npy"], "E785: 'nan.npy' has 1 values that are not finite"),
        (["--places", 3, "--maps", "none.npy"], "E785: 'none.npy' cannot be read"),
        (["--places", 3, "--maps", "set"], "E782"),
        (
            ["--places", 3, "--baseline", "other=strange"],
            "E786: the network learned none of the labels in 'set'",
        ),
    ],
)
def test_what_does_not_fit_is_said_before_the_work(place, monkeypatch, arguments, message):
    monkeypatch.chdir(place)
    if not (place / "strange").exists():
        looking_at(place, "strange", 0, 0, ("x", "y", "z"))
    np.save("four.npy", np.zeros((4, 4)))
    np.save("two.npy", np.zeros((2, 3, 3)))
    np.save("nan.npy", np.where(np.arange(9).reshape(3, 3) == 1, np.nan, 0))
    np.savez("names.npz", maps=np.zeros((3, 3, 3)), names=["black", "grey", "blue"])
    np.savez("several.npz", a=np.zeros((3, 3)), b=np.zeros((3, 3)))
    assert message in lnetc("probe", "left", "set", *arguments, status=1).stderr


def test_options_of_the_other_probe_are_refused(place, monkeypatch):
    monkeypatch.chdir(place)
    said = lnetc("probe", "left", "set", "--places", 3, "--label", "white", status=2).stderr
    assert "'--label' has no use with '--places'" in said
    assert "'--scale' is for '--places'" in lnetc("probe", "left", "set", "--scale", 0.5, status=2).stderr


def test_a_network_without_classes_is_refused(place):
    (place / "plain.lnet").write_text(
        'network plain { image: input(6x6x1); a: local(3, 2); b: l2(a) } train { data = frames("set"); steps = 1 }'
    )
    plan = lnet.compile(place / "plain.lnet")
    data = {"base": str(place), "images": 4, "classes": None, "in_memory": False}
    run = create_run(place / "plain", plan, data, {})
    with pytest.raises(LnetError, match=r"E786: no objective of '.*plain' learns labels"):
        lnet.places(run, place / "set")


def test_matrices_in_text_may_have_names(tmp_path):
    (tmp_path / "named.csv").write_text(",b,a\nb,0,1.5\na,1.5,0\n")
    found = read_given(tmp_path / "named.csv")
    assert found.names == ("b", "a")
    assert found.order(["x/a.png", "x/b.png"], 2).tolist() == [1, 0]
    (tmp_path / "plain.csv").write_text("0,1\n1,0\n")
    assert read_given(tmp_path / "plain.csv").names is None
    (tmp_path / "odd.csv").write_text(",b,a\na,0,1\nb,1,0\n")
    with pytest.raises(LnetError, match="not those in its first column"):
        read_given(tmp_path / "odd.csv")


def test_maps_without_form_have_no_correlation():
    assert correlation(np.zeros((3, 3)), corner(0, 0)) is None
    assert correlation(2 * corner(0, 0) + 1, corner(0, 0)) == pytest.approx(1)
