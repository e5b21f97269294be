"""How often a network names the class of an image that it was not trained on: one whose answer never changes is known."""

import json
import shutil

import numpy as np
import pytest
from commands import lnetc
from PIL import Image

import lnet
from lnet.runtime.store.checkpoint import Checkpoint
from lnet.runtime.store.run import create_run

ALWAYS = """
network always { image: input(6x6x1); class: dense(7); learn: cross_entropy(); half: dense(3, of = image); also: %s }
train { data = frames("train", labels = folder); batch = 4 }
"""
SHOWN = {"a": 2, "c": 1, "e": 3, "f": 4, "x": 5}
"""Images by label, of classes a to g: always guessing a before b before c is right for 2, with five guesses for 6 of 10."""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("naming")
    rng = np.random.default_rng(0)
    for label, count in SHOWN.items():
        (place / "set" / label).mkdir(parents=True)
        for number in range(count):
            noise = rng.integers(0, 256, (6, 6), dtype=np.uint8)
            Image.fromarray(noise).save(place / "set" / label / f"{number}.png")
    return place


def always(place, name, classes, guess, last="l2(half)"):
    """A run whose network likes class 0 best, then 1, and so on, whatever it sees."""
    file = place / f"{name}.lnet"
    file.write_text(ALWAYS % last)
    plan = lnet.compile(file)
    params = {p.name: np.zeros(p.shape, np.float32) for p in plan.graph.parameters}
    params["class.bias"][:] = guess
    data = {"base": str(place), "images": 7, "classes": classes, "in_memory": False}
    run = create_run(place / name, plan, data, {})
    run.checkpoints.save(Checkpoint(3, params, {}))
    return run


def test_the_likeliest_class_and_the_five_likeliest(place):
    run = always(place, "falling", list("abcdefg"), -np.arange(7))
    (named,) = lnet.probe(run, place / "set", "a", baselines=False).named
    assert (named.name, named.objective, named.classes, named.images) == ("trained", "learn", 7, 10)
    assert (named.top_1, named.top_5) == pytest.approx((0.2, 0.6))


def test_another_network_stands_beside_it(place, monkeypatch):
    always(place, "one", list("abcdefg"), -np.arange(7))
    always(place, "other", list("gfedcba"), -np.arange(7))
    monkeypatch.chdir(place)
    out = lnetc(
        "probe", "one", "set", "--label", "a", "--no-baselines", "--baseline", "the other=other"
    ).stdout
    assert "trained: learn top-1 20.0, top-5 60.0 of 10 images of its 7 classes\n" in out
    assert "the other: learn top-1 0.0, top-5 80.0 of 10 images of its 7 classes\n" in out


def test_of_few_classes_five_guesses_say_nothing(place):
    run = always(place, "two", list("abcdefg"), 0, "one_vs_all(half)")
    (_, named) = lnet.probe(run, place / "set", "a", baselines=False).named
    assert (named.objective, named.classes, named.top_5) == ("also", 3, None)


def test_images_of_other_classes_are_not_named(place):
    run = always(place, "strange", list("hijklmn"), 0)
    assert lnet.probe(run, place / "set", "a", baselines=False).named == ()


def test_a_set_of_many_labels_is_named_unless_one_is_sought(place, monkeypatch):
    always(place, "many", list("abcdefg"), -np.arange(7))
    monkeypatch.chdir(place)
    said = lnetc("probe", "many", "set").stdout.splitlines()
    assert said == [
        "network always after step 3, from many",
        "set: 10 images of 4 labels that it learned",
        "trained: learn top-1 20.0, top-5 60.0 of 10 images of its 7 classes",
    ]
    (named,) = json.loads(lnetc("probe", "many", "set", "--json").stdout)["named"]
    assert (named["top_1"], named["top_5"]) == pytest.approx((0.2, 0.6))
    assert (
        "say which is sought: --label LABEL"
        in lnetc("probe", "many", "set", "--no-baselines", status=1).stderr
    )


def test_what_names_no_label_is_refused(place):
    """Through Python, too, where no label is sought of a set of any number."""
    assert lnet.accuracy(always(place, "falls", list("abcdefg"), -np.arange(7)), place / "set").count == 10
    unlike = always(place, "unlike", list("ghijklm"), -np.arange(7))
    with pytest.raises(lnet.LnetError, match=r"E786: the network learned none of the labels in '.*set'"):
        lnet.accuracy(unlike, place / "set")


def test_a_network_that_learned_labels_beside_images_names_a_set_in_folders(place, tmp_path, monkeypatch):
    """Its set has labels beside its images, or in the names of folders where no image has one; not in both ways."""
    monkeypatch.setitem(globals(), "ALWAYS", ALWAYS.replace("labels = folder", "labels = file"))
    run = always(tmp_path, "beside", list("abcdefg"), -np.arange(7))
    assert run.plan.graph.frames.labels == "file"
    (in_folders,) = lnet.accuracy(run, place / "set").named
    assert in_folders.top_1 == pytest.approx(0.2)
    shutil.copytree(place / "set", tmp_path / "beside-images")
    images = sorted((tmp_path / "beside-images").glob("*/*.png"))
    for image in images:
        image.with_suffix(".json").write_text('"a"')
    (beside,) = lnet.accuracy(run, tmp_path / "beside-images").named
    assert beside.top_1 == 1
    images[0].with_suffix(".json").unlink()
    with pytest.raises(lnet.LnetError, match=r"E707: other images in .* have a '\.json' file beside them"):
        lnet.accuracy(run, tmp_path / "beside-images")
