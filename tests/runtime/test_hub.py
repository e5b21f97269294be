"""`lnetc push` and `lnetc pull` with the hub's own client, against a hub on this machine."""

import errno
import json
import os
import re
from pathlib import Path

import numpy as np
import probed
import pytest
from commands import lnetc
from hub_server import serving
from small_run import furnish, plan_of

import lnet
from lnet.compiler.plan.plan import _digest
from lnet.runtime.hub.files import is_of_a_run
from lnet.runtime.hub.published import KEPT, published
from lnet.runtime.store.events import LOGGED

pytest.importorskip("huggingface_hub")
NAME = "owner/small"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return furnish(tmp_path_factory.mktemp("secret-place"))


@pytest.fixture(scope="module")
def run(folder):
    settings = {"steps": 12, "checkpoint": 6, "validation": f'frames("{folder}/images")', "validate_every": 6}
    found = lnet.train(
        plan_of(folder, **settings, keep_best="loss"), folder / "images", directory=folder / "runs" / "first"
    )
    lnet.resume(found.directory, steps=14)
    return lnet.open_run(found.directory)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    with serving() as found:
        monkeypatch.setenv("HF_ENDPOINT", found.endpoint)
        monkeypatch.setenv("HF_TOKEN", "hf_a_secret")
        yield found


def test_a_run_that_is_pushed_and_pulled_is_the_same_run(run, hub):
    assert lnetc("push", run.directory, NAME).stdout == f"published: {hub.endpoint}/{NAME}\n"
    assert lnetc("pull", NAME).stdout == "fetched: runs/small\n"
    found = lnet.open_run("runs/small")
    for name, value in run.checkpoint().params.items():
        np.testing.assert_array_equal(found.checkpoint().params[name], value)
    before, after = run.events(), found.events()
    assert [event.name for event in after] == [event.name for event in before if event.name != "note"]
    assert "small" in lnetc("runs").stdout
    lnetc("report", "runs/small", "--data", run.directory.parents[1] / "images")
    assert lnet.open_run("runs/small/best").network().params.keys() == run.network().params.keys()


def test_a_run_that_was_pulled_goes_on_to_the_same_weights_and_is_pushed_in_its_place(run, hub, tmp_path):
    lnet.push(run, NAME)
    images = run.directory.parents[1] / "images"
    found = lnet.resume(lnet.pull(NAME, "a"), images, steps=16, validation=images)
    again = lnet.resume(run.directory, steps=16)
    for name, value in again.checkpoint().params.items():
        np.testing.assert_array_equal(found.checkpoint().params[name], value)
    lnet.push(found, NAME)
    published = [name for name in hub.files(NAME) if name.startswith("checkpoints/")]
    assert {re.search(r"step-0*(\d+)", name)[1] for name in published} == {"16"}


def test_nothing_that_is_published_names_a_place_of_this_machine(run, hub):
    said = lnetc("push", run.directory, NAME, "--dry-run")
    assert re.search(
        r"^ +[\d,]+  checkpoints/step-\d+-\d+\.shards/shard-0-\w+\.safetensors$", said.stdout, re.MULTILINE
    )
    assert not hub.requests
    lnet.push(run, NAME)
    files = hub.files(NAME)
    assert all(is_of_a_run(name) or name == "README.md" for name in files)
    secrets = str(run.directory.parents[1]).encode(), f'"{os.uname().nodename}'.encode()
    assert not [name for name, content in files.items() if any(secret in content for secret in secrets)]
    assert "command" not in json.loads(files["run.json"])


def test_what_stays_of_a_log_are_the_events_of_a_clusters_workers():
    """An event that is not named here is published: it must say nothing of a machine."""
    kept = {kind.name for kind in LOGGED if issubclass(kind, KEPT)}
    assert {kind.name for kind in LOGGED} - kept == {
        *(
            "ages",
            "compiled ahead",
            "drained",
            "ended",
            "lapsed",
            "left",
            "left out",
            "lost",
            "note",
            "promoted",
            "ready",
        ),
        *(
            "refused",
            "repaired",
            "rollback",
            "roles",
            "roles moved",
            "slow",
            "torn",
            "worker left",
            "worker lost",
        ),
    }


def test_a_path_in_the_program_is_said(folder, hub, tmp_path):
    text = (folder / "small.lnet").read_text().replace('"images"', f'"{folder}/images"')
    Path("own.lnet").write_text(f"# as /home/user/first.lnet, and https://lnet.example/a/b\n{text}")
    lnet.train(lnet.compile("own.lnet", set={"train.steps": 2, "train.checkpoint": 2}), directory="own")
    said = lnetc("push", "own", NAME, "--dry-run").stderr
    assert (
        said
        == f"warning: the program is published as it is written, with /home/user/first.lnet, {folder}/images\n"
    )


def test_the_card(run, hub):
    lnet.push(run, NAME)
    text = hub.files(NAME)["README.md"].decode()
    head, body = text.removeprefix("---\n").split("---\n", 1)
    from huggingface_hub import ModelCard

    data = ModelCard(text).data.to_dict()
    assert data["library_name"] == "lnet"
    assert data["pipeline_tag"] == "image-feature-extraction"
    assert re.search(
        r"7 layers, 6,156 parameters, and was trained on 6 images; \d+ were seen in \d+ steps", body
    )
    assert "| training: V1.learn |" in body
    assert f"lnetc pull {NAME} -d small" in body
    assert "```lnet\n" in body
    assert head


def test_the_card_of_a_network_that_was_probed(hub, tmp_path):
    probed.furnish(tmp_path)
    run = probed.set_by_hand(tmp_path)
    lnetc("probe", run.directory, tmp_path / "set", "--label", "face", "--no-baselines")
    lnet.push(run, NAME)
    text = hub.files(NAME)["README.md"].decode()
    assert re.search(r"It has \d layers, [\d,]+ parameters, which were not trained with lnet\.", text)
    assert "## Probe: face against distractor" in text
    assert "| first stage | V1.filter\\[2, 3, 1\\] | 88.0% |\n" in text
    assert str(tmp_path) not in hub.files(NAME)["probes/set.json"].decode()


def test_private_repositories_and_branches(run, hub):
    lnet.push(run, NAME, private=True)
    assert hub.private[NAME]
    lnet.push(run, "owner/open")
    assert not hub.private["owner/open"]
    said = lnetc("push", run.directory, "owner/open", "--private", status=1).stderr
    assert "error E797: 'owner/open' is there already, and public" in said
    assert lnet.push(run, NAME, revision="later").endswith("/tree/later")
    assert set(hub.files(NAME, "later")) == set(hub.files(NAME))
    assert lnet.pull(NAME, "b", revision="later").is_dir()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("checkpoints/step-00000500.safetensors", True),
        ("best/step-00000500-3.shards/manifest.json", True),
        ("probes/my faces-2.json", True),
        ("probes/../run.json", False),
        ("/run.json", False),
        ("run.json\n", False),
        ("checkpoints/step-00000500-3.shards/shard-0-ff.pt", False),
        ("plugins/../../x.py", False),
        ("checkpoints/step-\u0660\u0660\u0660\u0660\u0660500.safetensors", False),
        ("plugins/größe 2-a.py", True),
        ("plugins/.py", False),
        ("tracked/wandb-1.json", False),
    ],
)
def test_names_of_a_runs_files(name, expected):
    assert is_of_a_run(name) is expected


def altered(files, name, content):
    return {**{n: c if isinstance(c, bytes) else c.read_bytes() for n, c in files.items()}, name: content}


def test_no_file_is_written_outside_of_the_run(run, hub, tmp_path):
    files = altered(published(run), "../escaped.json", b"{}")
    files |= {
        "/etc/escaped": b"",
        "probes/../../escaped": b"",
        ".lock": b"",
        "checkpoints/x.pkl": b"",
        "plugins/a.pyc": b"",
    }
    hub.put(NAME, files)
    lnet.pull(NAME, "a")
    there = {str(path.relative_to("a")) for path in Path("a").rglob("*") if path.is_file()}
    assert there == set(published(run))
    assert not list(tmp_path.glob("escaped*"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]


def test_code_that_comes_with_a_run_is_not_executed(run, hub, tmp_path):
    files = altered(published(run), "plugins/evil.py", b"open('executed', 'w')")
    plan = json.loads(files["plan.json"])
    plan["plan"]["plugins"] = [{"name": "evil", "version": "", "digest": "0" * 64}]
    hub.put(NAME, {**files, "plan.json": json.dumps(plan).encode()})
    said = lnetc("pull", NAME, "-d", "a").stderr
    assert (
        "it needs plug-ins, which came with it; read them, then load them: lnetc --plugin a/plugins/evil.py ..."
        in said
    )
    assert "E606" in lnetc("report", "a", status=1).stderr
    assert not Path("executed").exists()


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("run.json", b"{}", "E798"),
        ("run.json", b"[" * 100_000, "E798"),
        ("run.json", b'{"data": {"images": "many"}}', "Expected `int`, got `str` - at `$.data.images`"),
        ("probes/set.json", b"{}", "is not a result of a probe"),
        ("plan.json", b"{}", "is not a plan"),
        ("shard", b"\x08" + bytes(30), "E798"),
    ],
)
def test_what_is_no_whole_run_leaves_nothing(run, hub, tmp_path, name, content, why):
    files = published(run)
    name = next((each for each in files if name in each), name)
    hub.put(NAME, altered(files, name, content))
    said = lnetc("pull", NAME, "-d", "a", status=1).stderr
    assert "error E798" in said
    assert why in said
    assert list(tmp_path.iterdir()) == []


def test_a_pull_that_breaks_off_leaves_nothing(run, hub, tmp_path):
    lnet.push(run, NAME)
    hub.refuse = r"GET .*\.safetensors"
    assert (
        "error E797: the hub refuses 'owner/small', or cannot be reached"
        in lnetc("pull", NAME, status=1).stderr
    )
    assert list(Path("runs").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("run.json", b'"lnet": "', rb'"lnet": "\u001b]0;'),
        ("run.json", b'"lnet": "', b'"lnet": "\xe2\x80\xae'),
        ("events.jsonl", b'"event"', rb'"\\\b": 1, "event"'),
        ("plugins/a.py", b"", b"# \x1b[8m"),
    ],
)
def test_a_text_that_a_terminal_would_not_show_as_it_is_is_refused(run, hub, name, before, after):
    files = published(run)
    content = files.get(name, b"").replace(before, after, 1)
    hub.put(NAME, altered(files, name, content))
    said = lnetc("pull", NAME, "-d", "a", status=1).stderr
    assert f"'{name}' has control characters, and lnet writes none" in said
    assert not Path("a").exists()


def test_a_backslash_before_a_letter_is_no_control_character(run, hub):
    files = published(run)
    content = files["run.json"].replace(b'"lnet": "', rb'"lnet": "\\u001b \\\\b \n')
    hub.put(NAME, altered(altered(files, "run.json", content), "plugins/a.py", rb'x = r"\b\u001b"'))
    assert lnet.pull(NAME, "a").is_dir()


def test_a_plan_whose_network_is_not_its_programs_is_refused(run, hub, tmp_path):
    """Kernels in machine code trust the sizes in a plan: with others they would read and write beyond their arrays."""
    files = published(run)
    plan = json.loads(files["plan.json"])
    local = next(layer for layer in plan["plan"]["graph"]["layers"] if layer["op"]["kind"] == "local")
    local["op"]["window"]["rows"]["extent"] = 1_000_000
    plan["digest"] = _digest(plan["plan"])
    hub.put(NAME, altered(files, "plan.json", json.dumps(plan).encode()))
    said = lnetc("pull", NAME, "-d", "a", status=1).stderr
    assert "E798" in said
    assert "its network is not the one that its program describes" in said
    assert list(tmp_path.iterdir()) == []


def test_parameters_of_another_network_are_refused(folder, run, hub, tmp_path):
    other = tmp_path / "other.lnet"
    other.write_text(
        (folder / "small.lnet").read_text().replace("sense(4", "sense(5").replace("sense(3", "sense(5")
    )
    settings = {"train.steps": 2, "train.checkpoint": 2}
    found = lnet.train(lnet.compile(other, set=settings), folder / "images", directory=tmp_path / "c")
    ours = {n: c for n, c in published(run).items() if "step-" not in n}
    theirs = {n: c for n, c in published(found).items() if "step-" in n}
    hub.put(NAME, altered(ours | theirs, "README.md", b""))
    said = lnetc("pull", NAME, "-d", "a", status=1).stderr
    assert "E798" in said
    assert "has the shape" in said
    assert not Path("a").exists()


def test_a_run_with_frozen_layers_settings_and_tiles_is_that_of_its_program(folder, hub, tmp_path):
    plan = lnet.compile(folder / "small.lnet", tiles="2x1", set={"train.steps": 2, "train.checkpoint": 2})
    found = lnet.train(plan, folder / "images", directory=tmp_path / "b", freeze="V1", start=None)
    lnet.resume(found.directory, steps=3, set={"train.seed": 5})
    lnet.push(found.directory, NAME)
    assert lnet.open_run(lnet.pull(NAME, "a")).plan.graph.frozen == ("V1",)


def test_a_run_of_the_first_version(hub):
    """Its plan says less of initial values than the compiler does today."""
    lnet.push(Path(__file__).parent / "run_of_0_1", NAME)
    assert lnet.open_run(lnet.pull(NAME, "a")).checkpoint().step == 10


def test_a_run_for_which_there_is_no_room_is_not_fetched(run, hub, tmp_path, monkeypatch):
    lnet.push(run, NAME)
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    said = lnetc("pull", NAME, "-d", "a", status=1).stderr
    assert re.search(r"E744: 'a' cannot be written\n = note: the run takes \d+ kB, and 1 kB are free", said)
    assert not [asked for asked in hub.requests if "resolve" in asked]


def test_a_full_disk_is_not_the_hubs_fault(run, hub, tmp_path, monkeypatch):
    lnet.push(run, NAME)

    def full(*arguments, **named):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("huggingface_hub.HfApi.hf_hub_download", full)
    said = lnetc("pull", NAME, "-d", "a", status=1).stderr
    assert said == "error E744: 'a' cannot be written\n = note: [Errno 28] No space left on device\n"


def test_a_link_to_an_empty_folder_is_where_a_run_is_fetched_to(run, hub, tmp_path):
    lnet.push(run, NAME)
    Path("empty").mkdir()
    Path("a").symlink_to("empty")
    lnet.pull(NAME, "a")
    assert Path("a").is_symlink()
    assert Path("empty/run.json").is_file()


def test_repositories_that_are_none(run, hub):
    assert "E797" in lnetc("pull", "owner/none", status=1).stderr
    assert (
        "expected a repository, 'owner/name', found 'small'"
        in lnetc("push", run.directory, "small", status=1).stderr
    )
    said = lnetc("pull", "https://huggingface.co/owner/small/tree/main", status=1).stderr
    assert "hint: did you mean 'owner/small'?" in said
    assert "expected a repository, 'owner/name', found 'a\\nb'" in lnetc("pull", "a\nb", status=1).stderr
    hub.put(NAME, {"README.md": b""})
    assert (
        "E798: 'owner/small' is no run of lnet: it has no 'plan.json'" in lnetc("pull", NAME, status=1).stderr
    )
    Path("used").mkdir()
    Path("used/file").touch()
    assert "E743" in lnetc("pull", NAME, "-d", "used", status=1).stderr


def test_what_cannot_be_published(run, hub, tmp_path):
    assert "E740" in lnetc("push", run.directory / "best", NAME, status=1).stderr
    assert "E740" in lnetc("push", "none", NAME, status=1).stderr
