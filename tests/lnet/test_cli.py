"""The command line as a person uses it: output, exit status, files."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from commands import lnetc
from PIL import Image

import lnet
from lnet.cli import main

TEXT = """network small {
    image: input(8x8x1)
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


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "images").mkdir()
    rng = np.random.default_rng(0)
    for number in range(3):
        pixels = rng.integers(0, 255, (12, 12), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number}.png")
    (tmp_path / "small.lnet").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


# --- check and fmt ---------------------------------------------------------------------------------------


def test_check_says_what_is_fine(folder):
    assert lnetc("check", "small.lnet").stdout == "small.lnet: fine\n"


def test_check_reports_all_files(folder):
    (folder / "bad.lnet").write_text(TEXT.replace("l2pool", "l2pol").replace("batch", "bach"))
    result = lnetc("check", "small.lnet", "bad.lnet", "none.lnet", status=1)
    assert "bad.lnet:4:11: error E202" in result.stderr
    assert "bad.lnet:10:5: error E510" in result.stderr
    assert "error E001: there is no file 'none.lnet'" in result.stderr


def test_check_as_json(folder):
    (folder / "bad.lnet").write_text(TEXT.replace("l2pool", "l2pol"))
    (entry,) = json.loads(lnetc("check", "--json", "bad.lnet", status=1).stdout)
    assert (entry["code"], entry["line"], entry["column"], entry["severity"]) == ("E202", 4, 11, "error")
    assert entry["hints"] == ["did you mean 'l2pool' or 'local'?"]


def test_a_folder_is_no_file(folder):
    assert "E002: the file 'images' cannot be read" in lnetc("check", "images", status=1).stderr


def test_fmt(folder):
    before = (folder / "small.lnet").read_text()
    assert lnetc("fmt", "--check", "small.lnet", status=1).stdout == "small.lnet: would change\n"
    diff = lnetc("fmt", "--diff", "small.lnet").stdout
    assert "-    filter: local(3, 2)" not in diff
    assert "+    image:  input(8x8x1)" in diff
    assert (folder / "small.lnet").read_text() == before
    os.chmod("small.lnet", 0o640)
    assert lnetc("fmt", "small.lnet").stdout == "small.lnet: formatted\n"
    assert lnetc("fmt", "--check", "small.lnet").stdout == ""
    assert lnet.parse((folder / "small.lnet").read_text()) == lnet.parse(before)


def test_fmt_goes_on_after_a_wrong_file(folder):
    Path("bad.lnet").write_text("network {")
    result = lnetc("fmt", "bad.lnet", "none.lnet", "small.lnet", status=1)
    assert result.stdout == "small.lnet: formatted\n"
    assert result.stderr.count("error ") >= 2


def test_fmt_leaves_a_wrong_file_alone(folder):
    (folder / "bad.lnet").write_text("network {")
    lnetc("fmt", "bad.lnet", status=1)
    assert (folder / "bad.lnet").read_text() == "network {"


# --- compile and explain ---------------------------------------------------------------------------------


def test_compile_the_only_file(folder):
    out = lnetc("compile").stdout
    assert (
        out == "small.plan: network small: 3 layers, 1,296 parameters; 1 replica of 1x1 tiles on 1 worker\n"
    )
    assert lnet.load_plan("small.plan").graph.name == "small"


def test_compile_for_a_cluster(folder):
    lnetc(
        "compile",
        "small.lnet",
        "--workers",
        8,
        "--replicas",
        2,
        "--tiles",
        "2x2",
        "-o",
        "big.plan",
        "--set",
        "train.batch=9",
    )
    plan = lnet.load_plan("big.plan")
    assert (str(plan.partition.tiles), len(plan.placement.tiles), plan.graph.training.batch) == ("2x2", 2, 9)


def test_several_candidates_are_listed(folder):
    (folder / "other.lnet").write_text(TEXT)
    result = lnetc("compile", status=1)
    assert "E607: there are 2 .lnet files in this folder" in result.stderr
    assert "found 'other.lnet'" in result.stderr
    assert not list(folder.glob("*.plan"))


def test_no_candidate(folder):
    os.unlink("small.lnet")
    assert "E607: there is no .lnet file in this folder" in lnetc("compile", status=1).stderr


def test_nothing_is_written_for_a_wrong_file(folder):
    (folder / "small.lnet").write_text(TEXT.replace("l2pool", "l2pol"))
    lnetc("compile", status=1)
    assert not list(folder.glob("*.plan"))


def test_a_place_that_cannot_be_written(folder):
    assert "E608: 'none/a.plan' cannot be written" in lnetc("compile", "-o", "none/a.plan", status=1).stderr


def test_warnings_are_shown_and_do_not_stop(folder):
    (folder / "small.lnet").write_text(
        TEXT.replace("    pool", "    spare: lcn(3)\n    pool").replace("l2pool(2)", "l2pool(2, of = filter)")
    )
    result = lnetc("compile")
    assert "warning W201: nothing reads the layer 'spare'" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workers", "0"], "Invalid value for '--workers'"),
        (["--set", "train.batch"], "expected KEY=VALUE, found 'train.batch'"),
        (["--nonsense"], "No such option"),
        (["a", "b"], "unexpected extra argument"),
    ],
)
def test_usage(folder, arguments, message):
    assert message in lnetc("compile", *arguments, status=2).stderr


def test_layouts_that_cannot_be(folder):
    assert "E609" in lnetc("compile", "--replicas", 3, "--workers", 2, status=1).stderr
    assert "E609" in lnetc("compile", "--tiles", "2by2", status=1).stderr


def test_explain(folder):
    out = lnetc("explain").stdout
    row = next(line for line in out.splitlines() if line.startswith("filter"))
    assert row.split()[:6] == ["filter", "local", "6x6x2", "3x3", "3x3", "648"]
    assert "1,296 parameters with decoders and biases" in out
    assert json.loads(lnetc("explain", "--json").stdout)["totals"]["parameters"] == 1296
    assert not list(folder.glob("*.plan"))


def test_a_grace_that_is_too_short(folder):
    large = TEXT.replace("network small", "network large").replace("local(3, 2)", "local(10, 41)")
    (folder / "large.lnet").write_text(large.replace("input(8x8x1)", "input(512x512x3)"))
    assert "W607" not in lnetc("explain", "small.lnet").stderr
    warned = lnetc("explain", "large.lnet").stderr
    data = json.loads(lnetc("explain", "large.lnet", "--json").stdout)["totals"]
    assert data["parameter_bytes"] + data["state_bytes"] == 2 * 24_896_085_600
    assert "warning W607: a checkpoint of 'large', 49.8 GB, takes 498 s to write at 100 MB/s" in warned
    assert ", and after Ctrl-C a run has 30 s\n = hint: --grace 498 " in warned
    assert "W607" not in lnetc("explain", "large.lnet", "--grace", 498).stderr
    halves = lnetc("explain", "large.lnet", "--workers", 2, "--replicas", 1).stderr
    assert "49.8 GB (24.9 GB on one worker), takes 250 s" in halves
    assert "--grace 250 " in halves


def test_a_run_says_that_its_grace_is_too_short(folder):
    assert "W607: a checkpoint of 'small'" in lnetc("run", "small.lnet", "-d", "a", "--grace", 0).stderr
    assert "W607" in lnetc("resume", "a", "--steps", 7, "--grace", 0).stderr
    assert "W607" not in lnetc("resume", "a", "--steps", 8).stderr


def test_explain_kernels(folder):
    lines = lnetc("explain", "--kernels").stdout.splitlines()
    assert lines[0].split() == ["layer", "gives", "product", "shape", "ms", "known"]
    assert [line.split()[0] for line in lines[2:-1]] == ["filter"] * 3 + ["learn.decode"] * 3
    data = json.loads(lnetc("explain", "--kernels", "--json").stdout)["kernels"]
    assert [entry["gives"] for entry in data[:3]] == ["value", "input gradient", "weight gradient"]
    assert all(entry["milliseconds"] > 0 and not entry["measured"] for entry in data)


def test_tune_measures_and_explain_says_so(folder, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    table = lnetc("tune").stdout
    assert [line.split()[-1] for line in table.splitlines()[2:-1]] == ["measured"] * 6
    assert table.endswith("; measured on this machine\n")
    assert lnetc("explain", "--kernels").stdout == table
    other = lnetc("explain", "--kernels", "--set", "train.batch=5").stdout
    assert other.endswith("predicted, not measured ('lnetc tune' measures)\n")


def test_tune_without_a_place_to_keep_it(folder, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "small.lnet"))
    assert "error E608: what was measured cannot be kept" in lnetc("tune", status=1).stderr


HOSTS = """
[links]
between = { latency = 1e-4, bandwidth = 1e9 }
overhead = 1e-3
copies = 1e9
[[hosts]]
name = "machine"
count = 4
"""
RATES = "[rates]\nlayers = { local = 1e9, l2pool = 1e8, decode = 1e9 }\nupdates = 1e8\nimages = 1e3\n"


@pytest.mark.slow
def test_rates_of_this_machine_predict_a_step(folder, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    assert "rates.toml: what a worker does in a second" in lnetc("tune", "--rates", "rates.toml").stdout
    (folder / "cluster.toml").write_text(HOSTS + (folder / "rates.toml").read_text())
    described = ("explain", "small.lnet", "--cluster-spec", "cluster.toml", "--time")
    time = json.loads(lnetc(*described, "--json").stdout)["prediction"]
    assert set(time["rates"]["layers"]) == {"local", "l2pool", "decode"}
    assert 0 < time["rates"]["images"] < float("inf")
    assert f"bottleneck: {time['bottleneck']}" in lnetc(*described).stdout
    assert "lnetc tune of small at batch 4" in lnetc(*described).stdout


def test_rates_without_images_are_incomplete(folder, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    (folder / "images").rename(folder / "elsewhere")
    assert "images are not measured: " in lnetc("tune", "--rates", "rates.toml").stderr
    (folder / "cluster.toml").write_text(HOSTS + (folder / "rates.toml").read_text())
    asked = lnetc("explain", "--cluster-spec", "cluster.toml", "--time", status=1).stderr
    assert "E611: it is not known how many images a worker reads and decodes in a second" in asked


def test_compile_best_writes_the_plan_that_it_compared(folder):
    (folder / "cluster.toml").write_text(HOSTS + RATES)
    said = lnetc("compile", "--best", 4, "--cluster-spec", "cluster.toml").stdout
    (row,) = (line.split() for line in said.splitlines() if line.endswith("taken"))
    tiles, replicas, fetch, push, amount, unit = row[:6]
    described = ("explain", "small.plan", "--cluster-spec", "cluster.toml", "--time")
    assert f"a step takes {amount} {unit}: " in lnetc(*described).stdout
    plan = lnet.load_plan("small.plan")
    assert (str(plan.partition.tiles), str(len(plan.placement.tiles))) == (tiles, replicas)
    assert (str(plan.graph.training.fetch), str(plan.graph.training.push)) == (fetch, push)


def test_predictions_need_a_description(folder):
    (folder / "cluster.toml").write_text(HOSTS + RATES)
    for command in (("explain", "--time"), ("compile", "--best", 4)):
        assert "E611: it is not known how fast workers and links are" in lnetc(*command, status=1).stderr
    spec = ("--cluster-spec", "cluster.toml")
    assert (
        "E609: expected 5 workers, and the cluster has 4"
        in lnetc("compile", "--best", 5, *spec, status=1).stderr
    )
    lnetc("compile", "--best", 4, "--workers", 4, *spec, status=2)
    lnetc("explain", "--time", "--kernels", status=2)


def test_predictions_count_failures(folder):
    (folder / "cluster.toml").write_text(HOSTS + RATES)
    spec = ("--cluster-spec", "cluster.toml", "--failures", 2000, "--repair", 0)
    said = lnetc("explain", "--time", *spec).stdout
    assert "with 2,000 failures of a machine in 1,000 hours, each repaired after 0 s: goodput 0." in said
    assert "goodput" in lnetc("compile", "--best", 4, *spec).stdout
    assert "'--failures' needs '--time'" in lnetc("explain", *spec, status=2).stderr
    assert "'--failures' needs '--best N'" in lnetc("compile", *spec, status=2).stderr
    for command in (("explain", "--time"), ("compile", "--best", 4), ("simulate",)):
        said = lnetc(*command, "--cluster-spec", "cluster.toml", "--repair", 60, status=2).stderr
        assert "'--repair' needs '--failures R'" in said
    for number in ("nan", "inf"):
        said = lnetc("explain", "--time", *spec, "--failures", number, status=2).stderr
        assert f"'--failures': expected a finite number, found {number}" in said


def test_explain_draws(folder):
    lnetc("explain", "--workers", 4, "--svg", "plan.svg")
    assert (folder / "plan.svg").read_text().startswith("<svg")
    assert "E608" in lnetc("explain", "--svg", "none/plan.svg", status=1).stderr


def test_a_stale_plan_is_noticed(folder):
    lnetc("compile")
    assert "W606" not in lnetc("explain", "small.plan").stderr
    (folder / "small.lnet").write_text(TEXT.replace("l2pool(2)", "l2pool(3)"))
    result = lnetc("explain", "small.plan")
    assert (
        "warning W606: the plan 'small.plan' is older than 'small.lnet', which has changed since"
        in result.stderr
    )
    assert "5x5x2" in result.stdout


def test_settings_on_a_plan_compile_the_source_that_it_carries(folder):
    lnetc("compile", "--set", "train.batch=9")
    os.unlink("small.lnet")
    data = json.loads(
        lnetc("explain", "small.plan", "--json", "--workers", 4, "--set", "train.steps=3").stdout
    )
    assert (data["batch"], len(data["workers"])) == (9, 4)


def test_settings_on_a_plan_keep_its_layout(folder):
    lnetc("compile", "--workers", 4, "--replicas", 2)
    data = json.loads(lnetc("explain", "small.plan", "--json", "--set", "train.batch=9").stdout)
    before = json.loads(lnetc("explain", "small.plan", "--json").stdout)
    assert (data["batch"], len(data["workers"]), data["grid"]) == (9, 4, before["grid"])
    assert (
        "2 replicas of 1x2 tiles on 4 workers"
        in lnetc("explain", "small.plan", "--set", "train.steps=3").stdout
    )
    grown = lnetc("explain", "small.plan", "--set", "train.replicas=3").stdout
    assert "3 replicas of 1x2 tiles on 6 workers" in grown


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (("--replicas", 3), "3 replicas of 1x2 tiles on 6 workers"),
        (("--tiles", "2x2"), "2 replicas of 2x2 tiles on 8 workers"),
        (("--workers", 8), "2 replicas of 2x2 tiles on 8 workers"),
        (("--workers", 3, "--replicas", 3), "3 replicas of 1x1 tiles on 3 workers"),
    ],
)
def test_what_is_asked_of_a_plan_leaves_the_rest_of_its_layout(folder, asked, expected):
    lnetc("compile", "--workers", 4, "--replicas", 2)
    assert expected in lnetc("explain", "small.plan", *asked).stdout


def test_emit_writes_nothing(folder):
    assert lnetc("compile", "--emit", "graph").stdout.startswith("network small\n")
    assert not list(folder.glob("*.plan"))


def test_help_of_every_command(folder):
    for name in main.commands:
        text = lnetc(name, "--help").stdout
        assert "Usage: " in text
        assert main.commands[name].help


def test_the_list_of_commands_cuts_no_description_short(folder):
    listed = lnetc("--help").stdout.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in listed] == sorted(main.commands)
    assert all(line.endswith(".") and not line.endswith("...") and len(line) <= 80 for line in listed)


def test_a_reader_that_goes_away(folder):
    """`lnetc explain | head` ends quietly."""
    command = f"{sys.executable} -m lnet explain small.lnet --workers 36 | head -1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True)
    assert done.stdout.startswith("network small")
    assert done.stderr == ""


def test_checking_does_not_wait_for_jax(folder):
    code = "import sys; from lnet.cli import main; main(['check', 'small.lnet'], standalone_mode=False); print('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.endswith("False\n")


# --- run and resume --------------------------------------------------------------------------------------


def test_compile_then_run_then_resume(folder):
    lnetc("compile")
    result = lnetc("run")
    assert "training from step 0 to 6" in result.stdout
    assert "step 6/6" in result.stdout
    assert "trained: runs/small-1" in result.stdout
    lnetc("resume", "runs/small-1", "--steps", 8)
    assert list(lnet.open_run("runs/small-1").checkpoints.files()) == [6, 8]


def test_a_run_cannot_end_before_where_it_is(folder):
    lnetc("run", "-d", "a")
    plan = Path("a/plan.json").read_text()
    result = lnetc("resume", "a", "--steps", 2, status=1)
    assert "E746: the run 'a' has taken 6 steps already, so it cannot end at 2" in result.stderr
    assert "training from" not in result.output
    assert Path("a/plan.json").read_text() == plan
    assert "the run is complete: 6 of 6 steps" in lnetc("resume", "a", "--steps", 6).stdout
    assert "training from step 6 to 7" in lnetc("resume", "a", "--steps", 7).stdout


def test_resume_says_that_the_file_has_changed(folder, monkeypatch):
    lnetc("run", "-d", "a")
    said = "small.lnet' has changed since the run began: it goes on with the network that it has"
    assert said not in lnetc("resume", "a", "--steps", 7).output
    file = Path("small.lnet")
    file.write_text(file.read_text() + "# more\n")
    monkeypatch.chdir("images")
    assert said in lnetc("resume", "../a", "--steps", 8).stderr
    file = Path("../small.lnet")
    file.unlink()
    assert said not in lnetc("resume", "../a", "--steps", 9).output


def test_settings_that_a_command_would_not_use_are_refused(folder):
    lnetc("run", "-d", "a")
    for arguments, reason in (
        (["export", "a", "-o", "a.npz", "--layer", "V1"], "name a set of images with '--activations'"),
        (["compile", "--emit", "graph", "-o", "x.plan"], "'--emit' prints and writes nothing"),
        (["probe", "a", "images", "--no-baselines", "--templates", 3], "'--templates' is for baselines"),
        (["probe", "a", "images", "--no-baselines", "--data", "images"], "'--data' is for baselines"),
        (["draw", "a", "V1.filter[0, 0, 0]", "--data", "images", "--samples", 3], "'--samples' counts"),
        (["explain", "--kernels", "--workers", 3], "'--kernels' shows one process"),
    ):
        assert reason in lnetc(*arguments, status=2).stderr
    assert not Path("a.npz").exists()


def test_run_a_file_with_settings(folder):
    lnetc("run", "small.lnet", "-d", "a", "--steps", 2, "--data", "images/0.png", "--set", "train.batch=3")
    run = lnet.open_run("a")
    assert (run.events()[-1].name, run.events()[-1].step) == ("done", 2)
    assert run.info["data"]["images"] == 1
    assert run.plan.graph.training.batch == 3


def test_missing_images(folder):
    result = lnetc("run", "small.lnet", "--data", "none", status=1)
    assert "E701: there is no file or folder" in result.stderr
    assert not (folder / "runs").exists()


def test_a_loss_that_explodes_exits_with_3(folder):
    result = lnetc("run", "small.lnet", "-d", "a", "--set", "train.update=sgd(rate = 1e9)", status=3)
    assert "small.lnet:" in result.stderr
    assert "E730" in result.stderr


def test_a_report(folder):
    lnetc("run", "small.lnet", "-d", "a")
    assert lnetc("report", "a").stdout == "a/report.html\n"
    assert lnetc("report", "a", "-o", "page.html").stdout == "page.html\n"
    assert "E740" in lnetc("report", "images", status=1).stderr
    assert "E701" in lnetc("report", "a", "--data", "none", status=1).stderr
    assert "E608" in lnetc("report", "a", "-o", "none/page.html", status=1).stderr


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_exits_with_130_after_a_checkpoint(folder, number):
    command = [sys.executable, "-m", "lnet", "run", "small.lnet", "-d", "a", "--steps", "1000000"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for_steps(Path("a/events.jsonl"), process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 130
    step = max(lnet.open_run("a").checkpoints.files())
    assert f"stopped at step {step:,}; go on with: lnetc resume a" in errors
    assert "Traceback" not in errors
    lnetc("resume", "a", "--steps", step + 1)


def wait_for_steps(log, process):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if log.exists() and '"event": "step"' in log.read_text():
            return
        time.sleep(0.05)
    raise AssertionError("no step was taken")


def test_a_written_file_has_the_usual_permissions(folder):
    lnetc("compile")
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(os.stat("small.plan").st_mode) == 0o666 & ~mask


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["train", "small.lnet"], "Did you mean 'run'? The commands are"),
        (["Resume", "runs/a"], "Did you mean 'resume'?"),
        (["small.lnet"], "Did you mean 'lnetc run small.lnet'?"),
        (["bake"], "No such command 'bake'. The commands are"),
        (["explain", "--batch", "5"], "Write '--set train.batch=...'."),
        (["compile", "--lr=0.1"], "update = adam(rate = 0.001)"),
        (["run", "--batch-size", "5"], "did you mean 'batch'?"),
        (["run", "--epochs", "5"], "Write '--set train.epochs=...'."),
        (["run", "--stepz", "5"], "--steps"),
    ],
)
def test_commands_and_options_of_other_programs(arguments, hint):
    assert hint in lnetc(*arguments, status=2).output


# --- index ---------------------------------------------------------------------------------------------------------------


def test_images_are_indexed_ahead(folder):
    said = lnetc("index", "images").stdout
    assert said.startswith(f"indexed: 3 images in 'images', {folder}/images.")
    assert lnetc("index", "images").stdout == said.replace("indexed:", "indexed already:")
    assert lnetc("index", "small.lnet").stdout == said.replace("indexed:", "indexed already:")
    run = lnet.train(lnet.compile("small.lnet"), steps=1)
    assert run.info["data"]["index"] == said.split()[5]
    assert run.info["data"]["order"] == 1


def test_what_is_not_indexed(folder):
    assert (
        "already states which labels" in lnetc("index", "small.lnet", "--labels", "folder", status=2).stderr
    )
    np.save(folder / "a.npy", np.zeros((2, 3, 3, 1), np.uint8))
    assert (
        "E718: 'a.npy' has images that an index does not find: array file"
        in lnetc("index", "a.npy", status=1).stderr
    )
    (folder / "empty").mkdir()
    assert "E702: there are no images in 'empty'" in lnetc("index", "empty", status=1).stderr
