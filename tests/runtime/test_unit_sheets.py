"""Unit sheets of layers with a patch: arrays in Python, pictures of preferences, filters and responses."""

import numpy as np
import pytest

import lnet
from lnet.compiler.core.shapes import Size
from lnet.dsl.diagnostics import LnetError
from lnet.runtime.analysis.contact import FRAME, sheet_of_units
from lnet.runtime.analysis.gratings import Preference
from lnet.runtime.analysis.neighbours import resemblance
from lnet.runtime.analysis.report import write_report
from lnet.runtime.analysis.report.filters import first_filters
from lnet.runtime.analysis.sheet_picture import class_figure, orientation_figure
from lnet.runtime.engine.units import in_units

TEXT = """network n {
    image: input(12x12x1)
    f:     local(6, 2x3, stride = 3)
    p:     maxpool(1)
    near:  smooth(of = f)
    d:     dense(3x4)
    plain: dense(3)
    q:     l2()
}
train { data = frames("set.npz", normalize = none); batch = 2; steps = 1 }
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("units")
    np.savez(folder / "set.npz", images=np.random.default_rng(0).random((4, 12, 12, 1), np.float32))
    (folder / "n.lnet").write_text(TEXT)
    return lnet.train(lnet.compile(folder / "n.lnet"), directory=folder / "run")


@pytest.fixture(scope="module")
def network():
    return lnet.Network(lnet.compile(lnet.parse(TEXT)))


def in_a_loop(values, rows, columns):
    """`[row, column, map]` as units."""
    sheet = np.empty((values.shape[0] * rows, values.shape[1] * columns), values.dtype)
    for i, j, m in np.ndindex(*values.shape):
        sheet[i * rows + m // columns, j * columns + m % columns] = values[i, j, m]
    return sheet


def test_units_stand_where_the_reference_says(network):
    values = np.random.default_rng(0).normal(size=(2, 5, 3, 3, 6))
    found = network.unit_sheet("f", values)
    assert found.shape == (2, 5, 6, 9)
    np.testing.assert_array_equal(found[1, 4], in_a_loop(values[1, 4], 2, 3))
    np.testing.assert_array_equal(network.unit_sheet("p", values[0, 0]), in_a_loop(values[0, 0], 2, 3))
    assert network.unit_sheet("d", np.zeros((7, 1, 1, 12))).shape == (7, 3, 4)
    assert in_units(values, None) is values


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        ("plain", (1, 1, 3), "E310: the maps of 'plain' are not laid out in a patch"),
        ("f", (3, 3, 5), r"E720: the values of 'f' are \[..., 3, 3, 6\], found \(3, 3, 5\)"),
        ("g", (3, 3, 5), "E720: there is no layer 'g'"),
    ],
)
def test_what_has_no_unit_sheet_is_refused(network, layer, shape, message):
    with pytest.raises(LnetError, match=message):
        network.unit_sheet(layer, np.zeros(shape))


def test_a_picture_of_preferences_is_one_of_all_units():
    rng = np.random.default_rng(0)
    preference = Preference(rng.uniform(0, 180, (3, 3, 6)), rng.random((3, 3, 6)))
    by_map = np.stack([axes.images[0].get_array() for axes in _panels(orientation_figure(preference))], 2)
    (sheet,) = _panels(orientation_figure(preference, Size(2, 3)))
    expected = np.stack([in_a_loop(by_map[..., colour], 2, 3) for colour in range(3)], -1)
    np.testing.assert_array_equal(sheet.images[0].get_array(), expected)
    assert sheet.get_title() == "6x9 units"
    vector = rng.integers(0, 2, (1, 1, 2500)), rng.random((1, 1, 2500))
    (of_classes,) = _panels(class_figure(("a", "b"), *vector, Size(50, 50)))
    assert of_classes.images[0].get_array().shape == (50, 50, 3)


def _panels(figure):
    return [axes for axes in figure.subfigs[0].axes if axes.images]


def test_neighbours_are_those_of_the_unit_sheet():
    weights = np.random.default_rng(0).normal(size=(2, 3, 1, 2, 1, 4))
    weights[..., 2:] = weights[..., :2]  # the lower row of each 2x2 patch is the upper one
    found = resemblance(weights, np.zeros((1, 1, 2, 3, 4)), 0, Size(2, 2))
    units = np.stack([in_a_loop(weights[:, :, 0, k, 0], 2, 2) for k in range(2)], -1)
    units /= np.linalg.norm(units, axis=-1, keepdims=True)
    pairs = [(units[1:] * units[:-1]).sum(-1), (units[:, 1:] * units[:, :-1]).sum(-1)]
    assert found.neighbours == pytest.approx(np.concatenate([pair.ravel() for pair in pairs]).mean())
    assert found.summary.endswith("between random units")
    assert resemblance(weights[:1, :1], np.zeros((1, 1, 1, 1, 4)), 0, Size(2, 2)) is not None


def test_the_report_shows_filters_as_units(network, monkeypatch):
    shown = first_filters(network.graph, network.params)
    assert list(shown["pictures"]) == ["6x9 units"]
    assert "All are shown" in shown["caption"]
    monkeypatch.setattr("lnet.runtime.analysis.report.filters.ACROSS", 28)
    assert "4x4 of 6x9 units, those in the middle" in first_filters(network.graph, network.params)["caption"]


def test_a_sheet_and_a_drawing_keep_their_pictures(run):
    view = lnet.sheet_view(run, "f")
    assert view.record.figures["patch"] == [2, 3]
    with np.load(view.record.files["npz"], allow_pickle=False) as file:
        assert file["orientation"].shape == (3, 3, 6)
        assert file["patch"].tolist() == [2, 3]
    assert lnet.sheet_view(run, "plain").record.figures["patch"] is None
    drawn, plain = lnet.draw(run, ["f[1, 2, 4]", "plain[0, 0, 1]"], count=1, starts=1, components=0)
    assert set(drawn.record.files) == {"optimal.png", "top.png", "units.png"}
    assert (plain.units, set(plain.record.files)) == (None, {"optimal.png", "top.png"})
    assert (
        write_report(run).read_text(encoding="utf-8").count("6x9 units") >= 3
    )  # of filters (twice) and preferences


def test_topographic_pools_of_neighbouring_units_on_a_torus():
    text = """network tica {
        image: input(7x5x2)
        units: local(7x5, maps = 4x6)
        sheet: depth_to_space(units.patch)
        torus: pad(1, 1, 1, 1, fill = wrap)
        pool:  l2pool(3)
        learn: rica(encode = units, pool = pool)
    }"""
    network = lnet.Network(lnet.compile(lnet.parse(text)))
    images = np.random.default_rng(0).normal(size=(3, 7, 5, 2)).astype(np.float32)
    found, weight = network(images), network.params["units.weight"][0, 0].astype(float)
    units = np.einsum("nijc,ijcm->nm", images.astype(float), weight).reshape(3, 4, 6)
    np.testing.assert_allclose(network.unit_sheet("units", found["units"]), units, rtol=1e-5, atol=1e-6)
    shifts = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    energy = sum(np.roll(units**2, shift, (1, 2)) for shift in shifts)
    np.testing.assert_allclose(found["pool"][..., 0], np.sqrt(1e-3 + energy), rtol=1e-5)


def test_the_neuron_is_framed_among_its_units():
    pixels = sheet_of_units(np.zeros((6, 9)), (3, 7))
    framed = (pixels == FRAME).all(-1)
    scale = pixels.shape[0] // 6
    rows, columns = np.nonzero(framed)
    assert (rows.min() // scale, rows.max() // scale) == (3, 3)
    assert (columns.min() // scale, columns.max() // scale) == (7, 7)
