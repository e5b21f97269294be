"""Commands that draw, as a person uses them: pictures in the run, its report, what they say when something is wrong."""

import json
import os
import re
import shutil

import numpy as np
import pytest
from commands import lnetc
from PIL import Image

import lnet
from lnet.runtime.analysis.images import own_images
from lnet.runtime.store.checkpoint import Checkpoint
from lnet.runtime.store.run import create_run

TEXT = """network small {
    image: input(8x8x3)
    filter: local(3, 2)
    pool: l2pool(2)
    learn: rica(sparsity = 0.3)
}

train {
    data  = frames("images")
    batch = 4
    steps = 6
}
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run `a` on six pictures, and a labelled set of 14 that are larger than the network's input."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    places = [f"images/{n}.png" for n in range(6)]
    places += [f"set/bright/{n}.png" for n in range(11)] + [f"set/distractor/{n}.png" for n in range(3)]
    for place in places:
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (12, 16, 3), dtype=np.uint8)).save(folder / place)
    (folder / "broken").mkdir()
    (folder / "broken/1.png").write_text("no picture")
    (folder / "small.lnet").write_text(TEXT)
    lnet.train(lnet.compile(folder / "small.lnet"), directory=folder / "a")
    return folder


@pytest.fixture
def folder(trained, monkeypatch):
    monkeypatch.chdir(trained)
    return trained


@pytest.fixture
def diverged(folder):
    """A run whose filters are not numbers any more."""
    whole = lnet.open_run("a")
    params = {name: np.full_like(value, np.nan) for name, value in whole.network().params.items()}
    if not (folder / "diverged").exists():
        run = create_run(folder / "diverged", whole.plan, whole.info["data"], {})
        run.checkpoints.save(Checkpoint(3, params, {}))
    return "diverged"


@pytest.mark.parametrize(
    "arguments",
    [
        ("draw", "filter[0, 0, 1]", "--samples", 6),
        ("invariance", "filter[0, 0, 1]", "set"),
        ("sheet", "filter"),
    ],
)
def test_nothing_is_drawn_of_a_network_that_diverged(diverged, arguments):
    command, *rest = arguments
    result = lnetc(command, diverged, *rest, status=1)
    assert result.stderr.startswith("error E773: 'filter"), result.stderr
    assert not list((lnet.open_run(diverged).directory / "pictures").glob("*"))


# --- draw ------------------------------------------------------------------------------------------------


def test_draw(folder):
    out = lnetc("draw", "a", "pool[1, 2, 0]", "filter[0,0,1]", "--samples", 9, "-o", "all.png").stdout
    files = [line.strip() for line in out.splitlines() if line.startswith("  ")]
    assert files[:3] == [f"a/pictures/stimuli.pool-1-2-0.{what}.png" for what in ("likely", "optimal", "top")]
    assert [Image.open(file).width > 64 for file in (*files, "all.png")] == [True] * 7
    assert "pool[1, 2, 0]: " in out
    assert " at the best of 9 images, " in out
    assert " at the likely and " in out
    page = lnetc("report", "a").stdout.strip()
    text = (folder / page).read_text()
    assert "What neurons like" in text
    assert text.count('class="drawn"') == 6
    assert "<b>filter[0, 0, 1]</b>" in text


def test_draw_from_a_set_as_json(folder):
    run = lnet.open_run("a")
    (figures,) = json.loads(lnetc("draw", "a", "pool[0,0,0]", "--data", "set", "--top", 3, "--json").stdout)
    assert figures["images"] == 14
    assert len(figures["top"]) == 3
    assert figures["step"] == 6
    best = figures["top"][0]
    assert best["image"].startswith(("bright/", "distractor/"))
    images = np.stack([lnet.open_run("a").samples(1, f"set/{best['image']}").images[0]])
    assert images.shape == (1, 8, 8, 3)
    stimulus = lnet.optimal_stimulus(run.network(), "pool[0,0,0]", figures["norm"])
    assert figures["optimal"] == stimulus.response > best["response"]


def test_the_likely_stimulus_is_made_of_the_images_that_the_run_was_trained_on(folder):
    run = lnet.open_run("a")
    (drawing,) = lnet.draw(run, ["pool[2,1,1]"], "set", components=3)
    images = np.concatenate([batch.images for batch in own_images(run, 30)]).reshape(30, -1)
    _, widths, axes = np.linalg.svd(images - images.mean(0), full_matrices=False)
    z = axes[:3] @ (drawing.likely.image.ravel() - images.mean(0)) / (widths[:3] / np.sqrt(30))
    assert np.linalg.norm(z) == pytest.approx(np.sqrt(3), rel=1e-4)
    share = (widths[:3] ** 2).sum() / (widths**2).sum()
    expected = {"count": 3, "images": 30, "share": pytest.approx(share), "data": None}
    assert drawing.record.figures["components"] == expected
    on_sphere = np.random.default_rng(0).normal(size=(200, 3))
    on_sphere *= np.sqrt(3) / np.linalg.norm(on_sphere, axis=1, keepdims=True)
    others = images.mean(0) + on_sphere * (widths[:3] / np.sqrt(30)) @ axes[:3]
    responses = run.network()["pool[2,1,1]"](others.reshape(-1, 8, 8, 3).astype(np.float32))
    assert drawing.likely.response > 0.99 * responses.max()


def test_no_components_no_likely_stimulus(folder):
    picture = folder / "a/pictures/stimuli.pool-3-1-0.likely.png"
    lnetc("draw", "a", "pool[3, 1, 0]")
    assert picture.is_file()
    out = lnetc("draw", "a", "pool[3, 1, 0]", "--components", 0).stdout
    assert not picture.exists(), "the picture of a record that was replaced"
    assert "likely" not in out
    assert out.splitlines()[0].endswith(" at the optimal stimulus")
    assert len(out.splitlines()) == 3


def test_draw_twice_gives_the_same_files(folder):
    files = [folder / f"a/pictures/stimuli.pool-3-3-1.{end}" for end in ("json", "top.png", "optimal.png")]
    drawn = []
    for _ in range(2):
        lnetc("draw", "a", "pool[3,3,1]", "--seed", 5)
        drawn.append([file.read_bytes() for file in files])
    assert drawn[0] == drawn[1]


def test_a_run_on_an_array_has_no_images(folder):
    images = np.random.default_rng(0).random((6, 8, 8, 3), np.float32)
    lnet.train(lnet.compile("small.lnet"), data=images, steps=1, directory="array")
    result = lnetc("draw", "array", "pool[0,0,0]", status=1)
    assert "error E747: the run was trained on an array" in result.stderr
    (figures,) = json.loads(lnetc("draw", "array", "pool[0,0,0]", "--data", "set", "--json").stdout)
    assert figures["components"]["images"] == 14


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["none", "pool[0,0,0]"], "E740"),
        (["a", "pool[0,0]"], "E720"),
        (["a", "pool[0,0,9]"], "E720"),
        (["a", "pool[0,0,0]", "--data", "none"], "E701"),
        (["a", "pool[0,0,0]", "--data", "broken"], "E706"),
        (["a", "pool[0,0,0]", "-o", "none/a.png"], "E608"),
    ],
)
def test_draw_says_what_is_wrong(folder, arguments, code):
    assert f"error {code}: " in lnetc("draw", *arguments, status=1).stderr


def test_corrupt_images_are_named(folder):
    (folder / "some/a").mkdir(parents=True)
    (folder / "some/b").mkdir()
    for name, level in (("a/1", 40), ("a/2", 90), ("b/1", 200)):
        Image.linear_gradient("L").rotate(level).save(folder / f"some/{name}.png")
    (folder / "some/b/2.png").write_text("no picture")
    commands = [
        ["draw", "a", "pool[0,0,0]", "--data", "some"],
        ["invariance", "a", "pool[0,0,0]", "some", "--label", "a"],
        ["sheet", "a", "filter", "some"],
        ["export", "a", "--activations", "some", "-o", "some.npz"],
    ]
    for command in commands:
        assert "skipped the corrupt image 'b/2.png': " in lnetc(*command).stderr
    assert len(np.load("some.npz")["activations/names"]) == 3


def test_pictures_that_cannot_be_kept(folder, tmp_path):
    import shutil

    shutil.copytree("a", tmp_path / "b")
    shutil.rmtree(tmp_path / "b/pictures", ignore_errors=True)
    (tmp_path / "b/pictures").write_text("")
    assert "error E744: " in lnetc("draw", tmp_path / "b", "pool[0,0,0]", status=1).stderr


def test_a_damaged_record_is_left_out_of_the_report(folder):
    lnetc("draw", "a", "pool[2,2,1]")
    lnetc("draw", "a", "pool[2,2,0]")
    record = folder / "a/pictures/stimuli.pool-2-2-1.json"
    whole = json.loads(record.read_text())
    for damaged in ("{", json.dumps(whole | {"figures": {}}), json.dumps(whole | {"figures": {"top": []}})):
        record.write_text(damaged)
        page = (folder / lnetc("report", "a").stdout.strip()).read_text()
        assert "<b>pool[2, 2, 1]</b>" not in page
        assert "<b>pool[2, 2, 0]</b>" in page


# --- invariance ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        ("export", "a", "-o"),
        ("export", "a", "--stablehlo"),
        ("report", "a", "-o"),
        ("explain", "a/plan.json", "--svg"),
        ("tune", "a/plan.json", "--rates"),
        ("measure-links", "-o"),
    ],
)
def test_no_command_works_for_a_file_that_cannot_be_written(folder, command):
    assert "error E608: 'none/f' cannot be written\n = note: there is no folder 'none'" in (
        lnetc(*command, "none/f", status=1).stderr
    )


def test_a_folder_is_no_network(folder):
    assert "it is a run: 'lnetc resume a' goes on with it" in lnetc("run", "a", status=1).stderr
    assert "found the folder '.'\n = hint: name a file in it, such as '" in lnetc("run", ".", status=1).stderr
    assert lnetc("explain", "a/plan.json").stdout.startswith("network ")


@pytest.mark.parametrize("option", [("-d", ""), ("--from", ""), ("--data", ""), ("--validation", "")])
def test_an_empty_path_is_refused(folder, option):
    found = lnetc("run", "small.lnet", *option, status=1 if option[0] in ("--data", "--validation") else 2)
    assert "is empty" in found.stderr
    assert "the current folder is '.'" in found.stderr


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (
            lambda plan, run: lnet.train("small.lnet"),
            "E605: expected a plan, found str\n = hint: make one of a",
        ),
        (lambda plan, run: lnet.train(plan, steps=2.5), "must be a positive integer, found 2.5"),
        (
            lambda plan, run: lnet.compile("small.lnet", workers=0),
            "E609: 'workers' must be a positive integer",
        ),
        (lambda plan, run: lnet.compile("small.lnet", replicas=0), "E609: 'replicas' must be a positive"),
        (lambda plan, run: lnet.compile("small.lnet", shards_per_tile=0), "E609: 'shards_per_tile' must be"),
        (lambda plan, run: lnet.compile("small.lnet", tiles=(2, 2)), "such as 2x3, found '(2, 2)'"),
        (lambda plan, run: run.samples(0), "E716: expected a positive number of samples, found 0"),
        (lambda plan, run: lnet.draw(run, []), "E780: expected at least one neuron to draw, found none"),
        (lambda plan, run: lnet.draw(run, "pol[0, 0, 0]"), "E720: there is no layer 'pol'"),
        (lambda plan, run: lnet.train(plan, freeze="pol"), "E750: there is no layer or stage 'pol'"),
        (lambda plan, run: lnet.probe(run, "set", layers="pol"), "E720: there is no layer 'pol'"),
        (lambda plan, run: lnet.export(run.network(), "a.npz", run.samples(2).images, "pol"), "layer 'pol'"),
    ],
)
def test_mistakes_in_python_are_said(folder, mistake, message):
    with pytest.raises(lnet.LnetError) as caught:
        mistake(lnet.compile("small.lnet"), lnet.open_run("a"))
    assert message in str(caught.value)
    assert not (folder / "runs").exists()


def test_a_place_that_cannot_be_is_said_before_the_work(folder, monkeypatch):
    monkeypatch.setattr(lnet, "draw", lambda *arguments: pytest.fail("it was drawn"))
    assert (
        "error E608: 'images' cannot be written"
        in lnetc("draw", "a", "pool[0,0,0]", "-o", "images", status=1).stderr
    )
    assert (
        "there is no folder 'none'" in lnetc("draw", "a", "pool[0,0,0]", "-o", "none/a.png", status=1).stderr
    )


def test_interrupted(folder, monkeypatch):
    """The process ends at once: taking it apart while XLA compiles in other threads crashed one in four."""

    def interrupted(*arguments):
        raise KeyboardInterrupt

    def leave(status):
        raise SystemExit(status)

    monkeypatch.setattr(lnet, "draw", interrupted)
    monkeypatch.setattr(os, "_exit", leave)
    assert lnetc("draw", "a", "pool[0,0,0]", status=130).stderr == "interrupted\n"


def test_invariance(folder):
    out = lnetc("invariance", "a", "pool[1,1,1]", "set").stdout
    assert "pool[1, 1, 1]: " in out
    assert " at 10 images of 'bright' as they are, " in out
    assert "moved right, pixels" in out
    picture = Image.open(out.splitlines()[-1].strip())
    assert picture.width > 900
    text = (folder / lnetc("report", "a").stdout.strip()).read_text()
    assert '<h2 id="invariance">Invariance</h2>' in text
    assert "<b>pool[1, 1, 1]: bright</b>" in text


def test_invariance_as_json(folder):
    arguments = ["invariance", "a", "pool[1,1,0]", "set", "--label", "distractor", "--count", 2, "--json"]
    figures = json.loads(lnetc(*arguments).stdout)
    assert figures == json.loads(lnetc(*arguments).stdout)
    assert [len(figures[key]) for key in ("positives", "curves")] == [2, 4]
    for curve in figures["curves"]:
        assert curve["mean"][6] == pytest.approx(1)
        np.testing.assert_allclose(np.mean(curve["responses"], 1), curve["mean"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pool[9,9,9]", "set"], "E720: the layer 'pool' is 5x5x2"),
        (["pool[0,0,0]", "none"], "E701"),
        (["pool[0,0,0]", "images/0.png"], "E707"),
        (["pool[0,0,0]", "images"], "E707"),
        (["pool[0,0,0]", "set/bright"], "E707"),
        (["pool[0,0,0]", "set", "--label", "brigt"], "E770: no image in 'set' has the label 'brigt'"),
        (["pool[0,0,0]", "one"], "E770: two labels are needed"),
        (["pool[0,0,0]", "three"], "E770: the images in 'three' have 3 labels"),
        (["pool[0,0,0]", "same"], "E781: pool[0, 0, 0] responds to 'bright' as it does to distractors"),
        (["pool[0,0,0]", "torn"], "E706: none of the 1 images of 'bright' can be decoded"),
    ],
)
def test_invariance_says_what_is_wrong(folder, arguments, message):
    sets = {
        "one": ("a",),
        "three": ("a", "b", "c"),
        "same": ("bright", "distractor"),
        "torn": ("bright", "distractor"),
    }
    for name, labels in sets.items():
        for label in labels:
            (folder / name / label).mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (12, 12), "#446688").save(folder / name / label / "1.png")
    (folder / "torn/bright/1.png").write_text("no picture")
    assert message in lnetc("invariance", "a", *arguments, status=1).stderr


# --- sheet -----------------------------------------------------------------------------------------------


PICTURES = ("orientation.png", "arrangement.png", "classes.png", "dprime.png", "energy.png", "npz")


def test_sheet(folder):
    out = lnetc("sheet", "a", "filter", "set").stdout
    assert "filter: orientation of filters, mean selectivity " in out
    assert "cosine of weights" in out
    assert re.search(r"^bright +[\d.]+% +[\d.]+%$", out, re.MULTILINE)
    files = [line.strip() for line in out.splitlines() if line.startswith("  ")]
    assert files == [f"a/pictures/sheet.filter.{what}" for what in PICTURES]
    (figures,) = [json.loads(lnetc("sheet", "a", "pool", "--json").stdout)]
    assert figures["by"] == "responses to gratings"
    assert figures["classes"] is None
    text = (folder / lnetc("report", "a").stdout.strip()).read_text()
    assert '<h2 id="sheet">Sheets</h2>' in text
    assert "<b>pool</b>" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["pol"], "E720: there is no layer 'pol'"), (["pool", "none"], "E701"), (["pool", "images"], "E707")],
)
def test_sheet_says_what_is_wrong(folder, arguments, message):
    assert message in lnetc("sheet", "a", *arguments, status=1).stderr


@pytest.mark.parametrize("command", [("sheet", "a", "none"), ("draw", "a", "none[0, 0, 0]")])
def test_a_layer_that_there_is_not_is_answered_with_those_there_are(folder, command):
    assert " = note: the layers are image, filter, pool" in lnetc(*command, status=1).stderr


# --- export ----------------------------------------------------------------------------------------------


def test_export(folder):
    out = lnetc("export", "a", "-o", "a.npz", "--activations", "set", "--stablehlo", "a.stablehlo").stdout
    assert out == "a.npz\na.stablehlo\n"
    out = lnetc("export", "a", "--torch", "a.py", "--onnx", "a.onnx", "--batch", 5).stdout
    assert out == "a.py\na.safetensors\na.onnx\n"
    assert b"batch" not in (folder / "a.onnx").read_bytes()
    net = lnet.open_run("a").network()
    with np.load("a.npz") as file:
        np.testing.assert_array_equal(file["filter.weight"], net.params["filter.weight"])
        assert file["activations/pool"].shape == (14, 5, 5, 2)
        assert file["activations/names"][0] == "bright/0.png"
    assert (folder / "a.stablehlo").stat().st_size > 1000


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "nothing to write"),
        (["--stablehlo", "b", "--activations", "set"], 2, "needs a file to write into"),
        (["--torch", "b.py", "--batch", "3"], 2, "'--batch' needs '--onnx GRAPH'"),
        (["--torch", "b.py", "-o", "b.safetensors"], 2, "'b.safetensors' is the file of 'b.py', too"),
        (["--torch", "b.txt"], 1, "error E782: expected a file that ends in '.py', found 'b.txt'"),
        (["-o", "a.txt"], 1, "error E782: expected a file that ends in '.npz' or '.safetensors'"),
        (["-o", "a.npz", "--activations", "none"], 1, "error E701"),
        (["-o", "a.npz", "--layer", "pol", "--activations", "set"], 1, "error E720: there is no layer 'pol'"),
    ],
)
def test_export_says_what_is_wrong(folder, arguments, status, message):
    assert message in lnetc("export", "a", *arguments, status=status).stderr


def test_folders_whose_names_are_no_utf_8_are_probed_distorted_mapped_and_reported(folder):
    run, images = os.fsdecode(b"run \xff"), os.fsdecode(b"set \xff")
    positive = os.fsdecode(b"bright \xfe")
    shutil.copytree("a", run)
    shutil.copytree("set", images)
    os.rename(f"{images}/bright", f"{images}/{positive}")
    lnetc("probe", run, images, "--no-baselines")
    lnetc("invariance", run, "filter[0,0,0]", images)
    lnetc("sheet", run, "filter", images)
    lnetc("report", run)
    kept = {os.fsencode(path.name) for path in lnet.open_run(run).directory.glob("p*/*")}
    assert {b"set %FF.json", b"invariance.filter-0-0-0.bright%20%FE.png", b"sheet.filter.classes.png"} <= kept
    with open(f"{run}/report.html", encoding="utf-8") as page:
        assert "bright \ufffd" in page.read()
