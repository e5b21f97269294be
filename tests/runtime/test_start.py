"""A run that begins with another one's parameters: what is taken, what is said, what stays, and how often it is right."""

import shutil

import numpy as np
import pytest
from commands import lnetc
from PIL import Image
from small_run import empty

import lnet
from lnet.dsl.diagnostics import LnetError, LnetWarning, render_all
from lnet.runtime.analysis.report import write_report
from lnet.runtime.training.progress import Silent

STAGE = "stage sense(k, maps) { filter: local(k, maps); pool: l2pool(2); norm: lcn(3, floor = 0.1)%s }"
ALONE = STAGE % "; learn: rica()" + (
    "network alone { image: input(10x10x1); V1: sense(3, 3) }"
    "train { data = frames('images'); batch = 8; steps = 4; update = adam(rate = 0.01) }"
)
ON_TOP = STAGE % "" + (
    "network on_top { image: input(10x10x1); V1: sense(3, 3); V2: sense(2, 2); class: dense(7); learn: cross_entropy() }"
    "train { data = frames('images', labels = folder); batch = 8; steps = 4; checkpoint = 1; keep = 9;"
    " update = adam(rate = 0.01) }"
)


class Heard(Silent):
    def __init__(self):
        self.messages, self.objectives = [], []

    def said(self, message):
        self.messages.append(message)

    def stepped(self, step, objectives, images_per_second):
        self.objectives.append(objectives)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images of seven classes, and a run without labels on them."""
    folder = tmp_path_factory.mktemp("start")
    rng = np.random.default_rng(0)
    for label in "abcdefg":
        (folder / "images" / label).mkdir(parents=True)
        for number in range(3):
            noise = rng.normal(size=(5, 5)).repeat(4, 0).repeat(4, 1)
            image = Image.fromarray((127 + 50 * noise).clip(0, 255).astype(np.uint8))
            image.save(folder / "images" / label / f"{number}.png")
    (folder / "alone.lnet").write_text(ALONE.replace("'", '"'))
    (folder / "on_top.lnet").write_text(ON_TOP.replace("'", '"'))
    lnet.train(lnet.compile(folder / "alone.lnet"), directory=folder / "alone")
    return folder


def on_top(folder, directory, **how):
    return lnet.train(lnet.compile(folder / "on_top.lnet"), directory=directory, **how)


def refusal(call):
    with pytest.raises(LnetError) as caught:
        call()
    return render_all(caught.value.diagnostics, caught.value.source)


def test_frozen_stages_keep_the_bits_of_the_run_they_are_from(folder, tmp_path):
    heard = Heard()
    run = on_top(folder, tmp_path / "run", start=folder / "alone", freeze=["V1"], reporter=heard)
    found, taken = run.network().params, lnet.open_run(folder / "alone").network().params
    first = lnet.Network(run.plan).params
    assert heard.messages == [
        f"1 of 4 parameters are from '{folder / 'alone'}'",
        "'V2.filter.weight' begins as the seed has it: that run has none",
        "'class.weight' begins as the seed has it: that run has none",
        "'class.bias' begins as the seed has it: that run has none",
        "'V1.learn.decode' of that run is not used",
        "on_top.lnet: 21 images in 'images', 8 a step, 1.52 passes",
    ]
    np.testing.assert_array_equal(found["V1.filter.weight"], taken["V1.filter.weight"])
    for name in ("V2.filter.weight", "class.weight", "class.bias"):
        assert np.abs(found[name] - first[name]).max() > 1e-3, name


def test_what_is_not_frozen_is_tuned(folder, tmp_path):
    run = on_top(folder, tmp_path / "run", start=folder / "alone")
    taken = lnet.open_run(folder / "alone").network().params["V1.filter.weight"]
    moved = np.abs(run.network().params["V1.filter.weight"] - taken).max()
    assert 1e-3 < moved < 0.1
    begun = run.network(step=0).params["V1.filter.weight"]
    np.testing.assert_array_equal(begun, taken)


def test_a_run_that_ended_before_its_first_checkpoint_begins_there_again(folder, tmp_path):
    whole = on_top(folder, tmp_path / "run", start=folder / "alone", freeze=["V1", "V2.filter"])
    expected = dict(whole.network().params)
    for step, path in whole.checkpoints.files().items():
        if step:
            shutil.rmtree(path)
    again = lnet.resume(tmp_path / "run")
    for name, value in again.network().params.items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


def test_parameters_of_another_shape_are_listed(folder, tmp_path):
    (folder / "other.lnet").write_text(
        (folder / "on_top.lnet").read_text().replace("V1: sense(3, 3)", "V1: sense(4, 3)")
    )
    plan = lnet.compile(folder / "other.lnet")
    text = refusal(lambda: lnet.train(plan, directory=tmp_path / "run", start=folder / "alone"))
    assert text.startswith(
        f"error E749: no parameter of '{folder / 'alone'}' has the name and the shape of one here"
    )
    assert (
        "'V1.filter.weight' begins as the seed has it: its shape is (7, 7, 4, 4, 1, 3), in that run (8, 8, 3, 3, 1, 3)"
        in text
    )
    assert not (tmp_path / "run").exists()


def test_what_is_not_there_cannot_be_frozen(folder, tmp_path):
    text = refusal(lambda: on_top(folder, tmp_path / "run", freeze=["V2.fitler"]))
    assert text.startswith("error E750: there is no layer or stage 'V2.fitler' to freeze")
    assert "did you mean 'V2.filter' or 'V1.filter'?" in text
    assert "note: the items are V1, V2, image, V1.filter, " in text


def test_accuracies_are_those_of_the_images_of_the_step(folder, tmp_path):
    heard = Heard()
    run = on_top(folder, tmp_path / "run", reporter=heard)
    batch = run.samples(8)
    scores = lnet.Network(run.plan)(batch.images)["class"][:, 0, 0]
    ranks = [np.argsort(-row).tolist().index(label) for row, label in zip(scores, batch.labels, strict=True)]
    first = next(event for event in run.events() if event.name == "step")
    expected = {
        "learn top-1": np.mean([r < 1 for r in ranks]),
        "learn top-5": np.mean([r < 5 for r in ranks]),
    }
    assert first.accuracies == pytest.approx(expected)
    assert heard.objectives[0].keys() == {"learn", "learn top-1", "learn top-5"}
    assert first.loss == pytest.approx(first.objectives["learn"])


# --- what is kept of it -------------------------------------------------------------------------------------------


def test_a_run_keeps_what_it_began_from(folder, tmp_path):
    run = on_top(folder, tmp_path / "run", start=folder / "alone", freeze=["V1"])
    source = lnet.open_run(folder / "alone")
    assert lnet.open_run(run.directory).info["start"] == {
        "run": str((folder / "alone").resolve()),
        "step": 4,
        "plan": source.plan.digest,
    }
    page = write_report(run).read_text()
    assert f"step 4 of {(folder / 'alone').resolve()}" in page
    assert "<tr><th>frozen</th><td>V1</td></tr>" in page


def test_a_run_that_lost_what_it_began_from_does_not_begin_with_other_weights(folder, tmp_path):
    run = on_top(folder, tmp_path / "run", start=folder / "alone")
    for path in run.checkpoints.files().values():
        empty(path)
    text = refusal(lambda: lnet.resume(run.directory, steps=6))
    assert text.startswith(f"error E732: no checkpoint of '{run.directory}' is whole")
    assert f"lnetc run --from {(folder / 'alone').resolve()}" in text


# --- what would learn nothing -------------------------------------------------------------------------------------

NOTHING = "network n { image: input(10x10x1); %s } train { data = frames('images'); batch = 2; steps = 1 }"


@pytest.mark.parametrize(
    ("items", "freeze", "reason"),
    [
        ("f: local(3, 2)", [], "the network 'n' has no objective"),
        ("f: local(3, 2); q: l2(image)", [], "no objective trains any weights"),
        ("f: local(3, 2); q: l2(weight = 0)", [], "no objective trains any weights"),
        ("p: l2pool(2); q: l2()", [], "no objective trains any weights"),
        ("f: local(3, 2); g: local(2, 2); q: l2(f)", ["f"], "everything that an objective trains is frozen"),
        ("f: local(3, 2); q: l2()", ["f"], "so there is nothing to learn: 'f'"),
    ],
)
def test_a_run_that_would_learn_nothing_is_refused(folder, tmp_path, items, freeze, reason):
    (folder / "n.lnet").write_text((NOTHING % items).replace("'", '"'))
    options = [f"--freeze={path}" for path in freeze]
    output = lnetc("run", folder / "n.lnet", "-d", tmp_path / "run", *options, status=1).output
    assert "error E514: " in output
    assert reason in output
    assert not (tmp_path / "run").exists()


def test_what_is_frozen_needs_no_objective(folder, tmp_path):
    items = "f: local(3, 2); top: dense(7, of = image); q: cross_entropy()"
    text = (NOTHING % items).replace("'images'", "'images', labels = folder").replace("'", '"')
    (folder / "idle.lnet").write_text(text)
    said = "no objective trains the weights of 'f'"
    assert said in lnetc("check", folder / "idle.lnet").output
    with pytest.warns(LnetWarning, match=said):
        plan = lnet.compile(folder / "idle.lnet")
    lnetc("compile", folder / "idle.lnet", "-o", tmp_path / "idle.plan")
    assert said in lnetc("explain", folder / "idle.lnet").output
    assert said in lnetc("run", folder / "idle.lnet", "-d", tmp_path / "a").output
    assert said not in lnetc("run", folder / "idle.lnet", "-d", tmp_path / "b", "--freeze", "f").output
    assert lnet.Network(plan)(np.zeros((1, 10, 10, 1)))["f"].shape == (1, 8, 8, 2)


def test_a_network_without_objectives_is_of_use_nevertheless(tmp_path):
    file = tmp_path / "n.lnet"
    file.write_text("network n { image: input(6x6x1); f: local(3, 2) }")
    assert "warning W501" in lnetc("check", file).output
    with pytest.warns(LnetWarning, match="W501"):
        network = lnet.Network(lnet.compile(file))
    lnet.export(network, tmp_path / "n.npz")
    assert "f.weight" in np.load(tmp_path / "n.npz")


def test_a_run_begins_with_a_network_as_it_is_in_python(folder, tmp_path):
    heard, net = Heard(), lnet.open_run(folder / "alone").network()
    net.params["V1.filter.weight"] = 0.5 * net.params["V1.filter.weight"]
    run = on_top(folder, tmp_path / "run", start=net, freeze=["V1"], reporter=heard)
    np.testing.assert_array_equal(run.network().params["V1.filter.weight"], net.params["V1.filter.weight"])
    assert heard.messages[0] == "1 of 4 parameters are from the network 'alone'"
    assert heard.messages[1] == "'V2.filter.weight' begins as the seed has it: that network has none"
    assert "'V1.learn.decode' of that network is not used" in heard.messages
    assert run.info["start"] == {"network": "alone", "plan": net.plan.digest}
    assert "begins with</th><td>the network &#39;alone&#39; in Python" in write_report(run).read_text()
    for place in (run.directory / "checkpoints").iterdir():
        shutil.rmtree(place)
    said = refusal(lambda: lnet.resume(run.directory))
    assert "E732" in said
    assert "--from" not in said


def test_a_run_begins_with_a_run_that_is_open(folder, tmp_path):
    run = on_top(folder, tmp_path / "run", start=lnet.open_run(folder / "alone"), freeze=["V1"])
    taken = lnet.open_run(folder / "alone").network().params["V1.filter.weight"]
    np.testing.assert_array_equal(run.network().params["V1.filter.weight"], taken)
    assert run.info["start"]["run"] == str((folder / "alone").resolve())


def test_a_network_without_such_parameters_is_refused_and_has_no_mapping(folder, tmp_path):
    (tmp_path / "other.lnet").write_text("network other { image: input(3x3x1); f: local(2, 1); q: l2() }")
    other = lnet.Network(lnet.compile(tmp_path / "other.lnet"))
    said = refusal(lambda: on_top(folder, tmp_path / "run", start=other))
    assert "E749" in said
    assert "no parameter of the network 'other' has the name and the shape of one here" in said
    said = refusal(lambda: on_top(folder, tmp_path / "run", start=other, mapping=tmp_path / "m.txt"))
    assert "E757" in said
    assert "the network 'other' is not a file" in said
