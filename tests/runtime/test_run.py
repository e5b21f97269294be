"""A run directory: what is none, what is damaged, and who may write it."""

import shutil

import pytest
from commands import lnetc
from small_run import TEXT, empty, furnish, plan_of

import lnet
from lnet.dsl.diagnostics import LnetError, LnetWarning
from lnet.runtime.store.run import locked


@pytest.fixture
def folder(tmp_path):
    return furnish(tmp_path)


def test_directories_in_use(folder):
    (folder / "a").mkdir()
    (folder / "a" / "thesis.txt").write_text("precious")
    with pytest.raises(LnetError, match="E743"):
        lnet.train(plan_of(folder), directory=folder / "a")
    assert (folder / "a" / "thesis.txt").read_text() == "precious"
    (folder / "file").write_text("")
    with pytest.raises(LnetError, match="E744"):
        lnet.train(plan_of(folder), directory=folder / "file" / "a")


def test_what_is_no_run(folder):
    with pytest.raises(LnetError, match=r"E740: .* is no run"):
        lnet.open_run(folder)
    for name in ("b-1", "b-2"):
        (folder / "runs" / name).mkdir(parents=True)
        (folder / "runs" / name / "run.json").write_text("{")
    listed = rf"\n = note: the runs in '{folder}/runs' are {folder}/runs/b-1, {folder}/runs/b-2"
    with pytest.raises(LnetError, match=rf"E740: '.*' is no run: .*{listed}"):
        lnet.open_run(folder / "runs")
    with pytest.raises(LnetError, match=rf"E740: there is no run '.*'{listed}\n = hint: did you mean "):
        lnet.open_run(folder / "runs" / "b-3")
    (folder / "run.json").write_text("{")
    with pytest.raises(LnetError, match=r"E740: .* is damaged"):
        lnet.open_run(folder)
    for text, missing in (("[]", "data.base"), ('{"data": {"base": "/"}}', "data.images")):
        (folder / "run.json").write_text(text)
        with pytest.raises(LnetError, match=rf"E740: .* is damaged\n = note: it has no '{missing}'"):
            lnet.open_run(folder)


def test_checkpoints_that_are_not_there(folder):
    run = lnet.train(plan_of(folder), directory=folder / "a")
    with pytest.raises(LnetError, match=r"E741: .* has no checkpoint at step 3; it has 15, 20"):
        run.network(3)
    files = run.checkpoints.files()
    empty(files[15])
    with pytest.raises(LnetError, match=r"E742: the checkpoint .* is damaged"):
        run.network(15)
    empty(files[20])
    with pytest.raises(LnetError, match=r"E742: no checkpoint of .* is whole") as caught:
        run.network()
    assert "'step-00000015-3.shards': " in str(caught.value)
    for path in files.values():
        shutil.rmtree(path)
    with pytest.raises(LnetError, match=r"E741: .* has no checkpoint yet"):
        run.network()


def test_whoever_looks_at_a_run_is_warned_of_a_damaged_checkpoint(folder):
    run = lnet.train(plan_of(folder), directory=folder / "a")
    empty(run.checkpoints.files()[20])
    with pytest.warns(LnetWarning, match=r"passed over the damaged checkpoint 'step-00000020-4.shards'"):
        assert run.checkpoint().step == 15
    result = lnetc("export", folder / "a", "-o", folder / "weights.npz")
    assert result.stderr.startswith("warning: passed over the damaged checkpoint 'step-00000020-4.shards': ")


def test_a_run_that_cannot_be_written(folder):
    run = lnet.train(plan_of(folder), directory=folder / "a")
    (run.directory / ".lock").unlink()
    (run.directory / ".lock").mkdir()
    with pytest.raises(LnetError, match=r"E744: .* cannot be written"):
        lnet.resume(folder / "a", steps=25)


def test_a_checkpoint_of_another_network(folder):
    lnet.train(plan_of(folder), directory=folder / "a")
    (folder / "small.lnet").write_text(TEXT.replace("sense(3)", "sense(4)"))
    plan_of(folder).save(folder / "a" / "plan.json")
    with pytest.raises(LnetError, match="E742: the checkpoint at step 20 is of another network"):
        lnet.resume(folder / "a")


def test_two_processes_never_train_one_run(folder):
    run = lnet.train(plan_of(folder), directory=folder / "a")
    with locked(run), pytest.raises(LnetError, match="E745: another process is training"):
        lnet.resume(folder / "a")
