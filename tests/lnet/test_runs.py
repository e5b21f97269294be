"""`lnetc runs`: a table of runs, of whatever state they are in."""

import fcntl
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from commands import lnetc
from small_run import furnish, plan_of

import lnet
from lnet.runtime.store.summary import find_runs, natural, summary


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two runs of one network, which differ by their rate; one is validated."""
    folder = furnish(tmp_path_factory.mktemp("made"))
    settings = {"steps": 60, "validation": 'frames("images")', "validate_every": 20, "batch": 2}
    for name, rate in (("a", 0.01), ("b", 0.001)):
        plan = plan_of(folder, update=f"sgd(rate = {rate})", **settings)
        lnet.train(plan, directory=folder / "runs" / name)
    return folder / "runs"


@pytest.fixture
def runs(made, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs"


def lines_of(run):
    return (run / "events.jsonl").read_text().splitlines()


def rewrite(run, lines):
    (run / "events.jsonl").write_text("\n".join(lines) + "\n")


def test_a_row_tells_losses_and_what_differs(runs):
    said = lnetc("runs").output
    head, _, a, b = said.splitlines()
    assert head.split() == ["run", "network", "begun", "state", "step", "loss", "val.", "loss", "update.rate"]
    found = summary(runs / "a")
    steps = [event.loss for event in lnet.open_run(runs / "a").events() if event.name == "step"]
    validated = [event for event in lnet.open_run(runs / "a").events() if event.name == "validation"]
    assert found.trained.loss == pytest.approx(np.mean(steps[-50:]))
    assert (found.validated.step, found.validated.loss) == (60, validated[-1].loss)
    assert found.begun == lnet.open_run(runs / "a").events()[0].time
    assert a.split()[0] == "a"
    assert a.split()[4:] == [
        "done",
        "60/60",
        f"{found.trained.loss:,.4g}",
        f"{validated[-1].loss:,.4g}",
        "0.01",
    ]
    assert b.split()[-1] == "0.001"


def test_the_table_fits_a_narrow_terminal(runs, monkeypatch):
    monkeypatch.setattr("lnet.cli.listing.terminal_width", lambda: 80)
    said = lnetc("runs", "runs").output
    assert max(map(len, said.splitlines())) <= 80
    assert "update.rate" in said


def test_json_is_the_same_in_full(runs):
    lines = lines_of(runs / "b")
    rewrite(
        runs / "b",
        [
            line if '"step"' not in line else line.replace('"loss": ', '"loss": NaN, "was": ')
            for line in lines
        ],
    )
    data = json.loads(lnetc("runs", "--json").output)
    assert [run["network"] for run in data["runs"]] == ["small", "small"]
    assert data["runs"][0]["settings"]["update.rate"] == "0.01"
    assert data["runs"][1]["trained"]["loss"] is None
    assert data["unreadable"] == []


def test_damaged_and_foreign_folders_are_said_and_end_nothing(runs):
    shutil.copytree(runs / "a", runs / "cut")
    (runs / "cut" / "plan.json").write_text((runs / "cut" / "plan.json").read_text()[:200])
    shutil.copytree(runs / "a", runs / "lost")
    (runs / "lost" / "run.json").unlink()
    (runs / "foreign").mkdir()
    (runs / "foreign" / "run.json").write_text('{"id": 3}')
    (runs / "notes" / "deep").mkdir(parents=True)
    (runs / "a" / "events.jsonl").write_bytes(b'\xff\x00{"event": "st')
    said = lnetc("runs").output.splitlines()
    assert [line for line in said if "left out" in line] == [
        "'runs/cut' is left out: 'plan.json' is damaged, or of another program: Input data was truncated",
        "'runs/foreign' is left out: 'run.json' is damaged, or of another program: "
        "Object missing required field `data`",
        "'runs/lost' is left out: there is no 'run.json' in it",
    ]
    assert [line.split()[0] for line in said[-2:]] == ["a", "b"]
    assert len(json.loads(lnetc("runs", "--json").stdout)["unreadable"]) == 3


def test_how_a_run_stands(runs):
    lines = lines_of(runs / "a")
    assert summary(runs / "a").state == "done"
    rewrite(runs / "a", [*lines[:-1], '{"event": "interrupted", "time": 1, "step": 60}'])
    assert summary(runs / "a").state == "stopped"
    rewrite(runs / "a", [*lines[:-1], '{"event": "failed", "time": 1, "step": 60, "message": "no"}'])
    assert summary(runs / "a").state == "failed"
    rewrite(runs / "a", [*lines[:9], lines[9][:20]])
    assert summary(runs / "a").state == "killed"
    with open(runs / "a" / ".lock") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert summary(runs / "a").state == "running"
    (runs / "a" / "events.jsonl").unlink()
    found = summary(runs / "a")
    assert (found.state, found.trained, found.validated) == ("killed", None, None)
    assert "0/60" in lnetc("runs").output


def test_what_a_resume_did_again_is_not_counted_twice(runs):
    """Killed after step 60, and gone on from step 30: steps 31 to 60 and their validations are void."""
    lines = lines_of(runs / "a")
    steps = [line for line in lines if line.startswith('{"event": "step"')]
    again = [line.replace('"loss": ', '"loss": 7, "was": ') for line in steps[30:35]]
    rewrite(runs / "a", [*lines[:-1], '{"event": "resume", "time": 5, "step": 30, "torn": 0}', *again])
    found = summary(runs / "a")
    before = [json.loads(line)["loss"] for line in steps[:30]]
    assert found.trained.step == 35
    assert found.trained.loss == pytest.approx(np.mean([*before, *[7] * 5]))
    assert found.validated.step == 20


def test_the_last_steps_are_averaged_however_long_their_lines_are(runs):
    """A step of a network with hundreds of objectives is a line of many kilobytes."""
    lines = [
        line.replace('"objectives"', f'"padding": "{5000 * "x"}", "objectives"')
        for line in lines_of(runs / "a")
    ]
    before = summary(runs / "a")
    rewrite(runs / "a", lines)
    assert (runs / "a" / "events.jsonl").stat().st_size > 300_000
    assert summary(runs / "a") == before


def test_steps_of_a_cluster_are_those_of_each_replica(runs):
    data = json.loads((runs / "a" / "plan.json").read_text())
    data["plan"]["placement"]["tiles"] *= 3
    (runs / "a" / "plan.json").write_text(json.dumps(data))
    lines = [line.replace('"step": ', '"replica": 0, "step": ', 1) for line in lines_of(runs / "a")]
    rewrite(runs / "a", [line for line in lines if '"done"' not in line])
    assert summary(runs / "a").step == 20


def test_probes_and_changes_are_told(runs):
    choice = {"neuron": "V2.norm[0, 1, 2]", "figures": {"accuracy": 0.825}}
    rows = [
        {"baseline": True, "above": {"honest": {"neuron": "", "figures": {"accuracy": 0.9}}}},
        {"baseline": False, "above": {"honest": choice}},
        {"baseline": False, "above": None},
    ]
    (runs / "a" / "probes").mkdir()
    (runs / "a" / "probes" / "faces.json").write_text(json.dumps({"rows": rows}))
    (runs / "a" / "probes" / "cut.json").write_text("{")
    info = json.loads((runs / "b" / "run.json").read_text())
    info["changes"] = [{"step": 1000, "settings": {"batch": ["2", "4"], "seed": ["0", "1"]}}]
    (runs / "b" / "run.json").write_text(json.dumps(info))
    said = lnetc("runs").output
    assert "faces: V2.norm[0, 1, 2] 82.5%" in said
    assert "batch, seed at step 1,000" in said
    assert said.endswith("\nb: from step 1,000 on batch = 4, was 2\nb: from step 1,000 on seed = 1, was 0\n")


def test_runs_are_found_below_and_sorted_by_the_numbers_in_their_names(runs):
    for name in ("x-10", "x-9"):
        shutil.copytree(runs / "a", runs / "deep" / "er" / name)
    assert [path.name for path in find_runs(runs)] == ["a", "b", "x-9", "x-10"]
    assert list(find_runs(runs / "a")) == [runs / "a"]
    assert sorted(["r10", "r9", "r009", "s"], key=natural) == ["r009", "r9", "r10", "s"]
    (runs.parent / "none").mkdir()
    assert lnetc("runs", "none").output == "there are no runs in 'none'\n"
    assert "E740" in lnetc("runs", "nowhere", status=1).output


def test_a_list_of_runs_does_without_jax(runs):
    program = "import sys; from lnet.cli import main; main(['runs'], standalone_mode=False); print('jax' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said.splitlines()[-1] == "False"
    assert len(said.splitlines()) == 5
