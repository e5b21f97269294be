"""Dissimilarities against rsatoolbox's own on all responses at once, and likenesses against formulas."""

import json
import shutil
import sys

import numpy as np
import pytest
from commands import lnetc
from PIL import Image
from rsatoolbox.data import Dataset
from rsatoolbox.rdm import calc_rdm
from scipy import stats

import lnet
from lnet.dsl.diagnostics import LnetError
from lnet.runtime.analysis.rsa import dissimilarity
from lnet.runtime.analysis.rsa.comparison import Subjects, between, compared
from lnet.runtime.analysis.rsa.dissimilarity import pairs, squares
from lnet.runtime.store.checkpoint import Checkpoint
from lnet.runtime.store.run import create_run

TEXT = """network n { image: input(6x6x1); a: local(3, 5); b: dense(4, of = image); dead: local(3, 2, of = image); c: l2(a) }
train { data = frames("set", normalize = none); batch = 4; steps = 1 }
"""
SHOWN = {"ape": 4, "bee": 2, "cat": 5, "dog": 3}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place, rng = tmp_path_factory.mktemp("rsa"), np.random.default_rng(0)
    (place / "n.lnet").write_text(TEXT)
    for label, count in SHOWN.items():
        (place / "set" / label).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(rng.integers(0, 256, (6, 6), dtype=np.uint8)).save(
                place / "set" / label / f"{label}{number}.png"
            )
    plan = lnet.compile(place / "n.lnet")
    for name in ("one", "two"):
        params = {p.name: rng.normal(size=p.shape).astype(np.float32) for p in plan.graph.parameters}
        params["dead.weight"][:] = 0
        data = {"base": str(place), "images": 14, "classes": None, "in_memory": False}
        create_run(place / name, plan, data, {}).checkpoints.save(Checkpoint(3, params, {}))
    return place


def responses(place, layer, run="one"):
    """All responses `[image, neuron]`, the labels of the images and their numbers among those of their label."""
    paths = sorted((place / "set").rglob("*.png"))
    images = np.stack([np.asarray(Image.open(path)) / 255 for path in paths])[..., None]
    values = lnet.open_run(place / run).network()(images.astype(np.float32))[layer]
    labels = [path.parent.name for path in paths]
    numbers = [labels[:k].count(label) for k, label in enumerate(labels)]
    return values.reshape(len(values), -1).astype(float), labels, numbers


def expected(place, layer, kind, by="labels"):
    values, labels, numbers = responses(place, layer)
    conditions = labels if by == "labels" else [f"{k:03}" for k in range(len(labels))]
    about = {"condition": conditions, "fold": [number % 2 for number in numbers]}
    if kind == "crossnobis":
        means, folds, names = [], [], []
        for name in SHOWN:
            for fold in (0, 1):
                mine = [k for k in range(len(labels)) if (labels[k], about["fold"][k]) == (name, fold)]
                means.append(values[mine].mean(0))
                folds.append(fold)
                names.append(name)
        data = Dataset(np.array(means), obs_descriptors={"condition": names, "fold": folds})
        return calc_rdm(data, "crossnobis", descriptor="condition", cv_descriptor="fold").get_matrices()[0]
    return calc_rdm(Dataset(values, obs_descriptors=about), kind, descriptor="condition").get_matrices()[0]


@pytest.mark.parametrize(
    ("kind", "by"),
    [("correlation", "labels"), ("euclidean", "labels"), ("crossnobis", "labels"), ("correlation", "images")],
)
def test_dissimilarities_are_those_of_rsatoolbox(place, kind, by, monkeypatch):
    monkeypatch.setattr(dissimilarity, "BLOCK", 7)
    found = lnet.rsa(place / "one", ["a", "b"], place / "set", rdm=kind, by=by)
    assert len(found.conditions) == (4 if by == "labels" else 14)
    for layer in ("a", "b"):
        np.testing.assert_allclose(found.rdms[layer], expected(place, layer, kind, by), rtol=1e-4, atol=1e-6)
    one, other = (pairs(found.rdms[layer]) for layer in ("a", "b"))
    assert found.likeness[0, 1] == pytest.approx(stats.spearmanr(one, other).statistic)
    with np.load(found.record.files["npz"], allow_pickle=False) as file:
        assert file["conditions"].tolist() == list(found.conditions)
        np.testing.assert_allclose(file["rdms"][1], found.rdms["b"], rtol=1e-6)


def test_runs_stand_side_by_side(place):
    found = lnet.rsa([place / "one", place / "two"], "a", place / "set")
    assert list(found.rdms) == ["one: a", "two: a"]
    np.testing.assert_allclose(
        found.rdms["one: a"], expected(place, "a", "correlation"), rtol=1e-4, atol=1e-6
    )
    with pytest.raises(LnetError, match="E784"):
        lnet.rsa([place / "one", place / "one"], "a", place / "set")


def test_a_formula_for_each_measure():
    rng = np.random.default_rng(0)
    vectors = rng.random((2, 10))
    matrices = squares(vectors)
    np.testing.assert_array_equal(pairs(matrices), vectors)
    one, other = vectors
    apart = [(a, b) for a in range(10) for b in range(a)]
    signs = [np.sign(one[a] - one[b]) * np.sign(other[a] - other[b]) for a, b in apart]
    formulas = {
        "spearman": stats.spearmanr(one, other).statistic,
        "rho-a": stats.spearmanr(one, other).statistic,
        "tau-a": np.mean(signs),
        "cosine": one @ other / np.linalg.norm(one) / np.linalg.norm(other),
        "pearson": np.corrcoef(one, other)[0, 1],
    }
    for measure, value in formulas.items():
        assert between(matrices, measure)[0, 1] == pytest.approx(value), measure


def test_the_ceiling_is_how_well_subjects_agree():
    """With Pearson's correlation, the best guess is the mean of the subjects' standardised dissimilarities."""
    rng = np.random.default_rng(1)
    vectors = rng.random(15) + 0.5 * rng.random((4, 15))
    found = compared(squares(vectors[:1]), Subjects("people", squares(vectors), True), "pearson")
    standard = stats.zscore(vectors, axis=1)
    low = [np.corrcoef(vectors[k], np.delete(standard, k, 0).mean(0))[0, 1] for k in range(4)]
    high = [np.corrcoef(vectors[k], standard.mean(0))[0, 1] for k in range(4)]
    assert found.ceiling == pytest.approx((np.mean(low), np.mean(high)))
    assert found.likeness[0] == pytest.approx([np.corrcoef(vectors[0], other)[0, 1] for other in vectors])


def test_matrices_of_ones_own(place, monkeypatch):
    monkeypatch.chdir(place)
    rdm = expected(place, "a", "correlation")
    names = list(SHOWN)
    order = [2, 0, 3, 1]
    noisy = squares(pairs(rdm)[None] + 0.1 * np.random.default_rng(0).random((3, 6)))
    np.savez("named.npz", rdms=noisy[:, order][:, :, order], names=[names[k] for k in order])
    np.save("vectors.npy", pairs(rdm))
    rows = [["", *names], *([name, *map(str, row)] for name, row in zip(names, rdm, strict=True))]
    (place / "table.csv").write_text("\n".join(map(",".join, rows)))
    options = [text for file in ("named.npz", "vectors.npy", "table.csv") for text in ("--against", file)]
    figures = json.loads(lnetc("rsa", "one", "a", "b", "set", *options, "--json").stdout)
    named, vectors, table = figures["against"]
    assert vectors["likeness"]["a"] == table["likeness"]["a"] == pytest.approx(1)
    means = [stats.spearmanr(pairs(rdm), pairs(one)).statistic for one in noisy]
    assert named["by_subject"]["a"] == pytest.approx(means)
    assert named["ceiling"][0] <= named["ceiling"][1]
    assert vectors["ceiling"] is None
    assert figures["sentences"] == [
        "named.npz: 3 subjects, conditions matched by name",
        "vectors.npy: one matrix without names of conditions, taken in the order of the set: ape, bee, cat, dog",
        "table.csv: one matrix, conditions matched by name",
    ]
    out = lnetc("rsa", "one", "a", "b", "set", *options).stdout
    assert "4 labels; dissimilarity correlation, compared by spearman" in out
    assert "noise ceiling" in out
    page = (place / lnetc("report", "one").stdout.strip()).read_text()
    assert '<h2 id="rsa">Representational similarity</h2>' in page


def test_images_are_matched_without_folders_and_suffixes(place, monkeypatch):
    monkeypatch.chdir(place)
    rdm = expected(place, "b", "euclidean", "images")
    names = [f"{label}{k}" for label, count in SHOWN.items() for k in range(count)]
    np.savez("stems.npz", rdm=rdm[::-1, ::-1], names=names[::-1])
    found = lnet.rsa("one", "b", "set", by="images", rdm="euclidean", against=["stems.npz"])
    assert found.against[0].likeness[0, 0] == pytest.approx(1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"against": ["skewed.npy"]}, "E785: 'skewed.npy' is not symmetric"),
        ({"against": ["alike.npy"]}, "bring dissimilarities: of correlations r these are 1 - r"),
        ({"against": ["five.npy"]}, "E785: 'five.npy' has another number of conditions"),
        ({"against": ["odd.npy"]}, "the pairs above the diagonal"),
        ({"layers": "dead"}, "E788: the responses of 'dead' to 'ape' are the same in all neurons"),
        ({"data": "few"}, "E788: at least 3 labels are needed, and there are 2"),
        ({"data": "lone", "rdm": "crossnobis"}, "E788: .* and 'bee' has one image"),
        ({"by": "images", "rdm": "crossnobis"}, "E788: 'crossnobis' compares halves"),
        ({"compare": "spearmann"}, "did you mean 'spearman'"),
        ({"layers": "e"}, "E720: there is no layer 'e'"),
    ],
)
def test_what_cannot_be_compared(place, monkeypatch, options, message):
    monkeypatch.chdir(place)
    np.save("skewed.npy", np.triu(np.ones((4, 4)), 1))
    np.save("alike.npy", np.ones((4, 4)))
    np.save("five.npy", 1 - np.eye(5))
    np.save("odd.npy", np.ones(7))
    for name, labels in (("few", ("ape", "cat")), ("lone", ("ape", "bee", "cat"))):
        for label in labels:
            shutil.copytree(place / "set" / label, place / name / label, dirs_exist_ok=True)
    (place / "lone/bee/bee1.png").unlink()
    given = {"layers": "a", "data": "set"} | options
    with pytest.raises(LnetError, match=message):
        lnet.rsa("one", given.pop("layers"), given.pop("data"), **given)


def test_what_is_too_large_is_refused_before_it_is_read(place, monkeypatch):
    monkeypatch.setattr("lnet.runtime.analysis.rsa.patterns.LIMIT", 6_000)
    with pytest.raises(LnetError, match="E753: the responses of 80 neurons to 14 images") as caught:
        lnet.rsa(place / "one", "a", place / "set", by="images")
    assert "--by labels" in str(caught.value)
    lnet.rsa(place / "one", "a", place / "set")


def test_without_rsatoolbox_its_extra_is_named(place, monkeypatch):
    monkeypatch.setitem(sys.modules, "rsatoolbox", None)
    said = lnetc("rsa", place / "one", "a", place / "set", status=1).stderr
    assert "E787: comparing dissimilarities needs 'rsatoolbox'" in said
    assert "pip install 'lnetc[rsa]'" in said
    assert "a layer or the set is missing" in lnetc("rsa", place / "one", "a", status=2).stderr
