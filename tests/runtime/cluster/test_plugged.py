"""Workers of a cluster that lack a plug-in of the run, or have another."""

import os
import shutil
import signal
from pathlib import Path

import pytest
from plugged import no_plugins
from processes import Watching, cluster, separate_processes
from small_run import furnish
from test_failures import process_of

import lnet
from lnet.dsl.diagnostics import LnetError

EXAMPLE = Path(__file__).parents[3] / "examples" / "plugin" / "divisive.py"
MODEL = """
network own { image: input(12x12x1); filter: local(3, 4, act = mish(sharpness = 2)); norm: divisive(3); learn: l2(of = norm) }
train { data = frames("images"); batch = 4; steps = 100000; update = sgd(rate = 0.0001) }
"""


@pytest.fixture
def plan(tmp_path, monkeypatch):
    furnish(tmp_path)
    (tmp_path / "own.lnet").write_text(MODEL)
    shutil.copy(EXAMPLE, tmp_path / "divisive.py")
    monkeypatch.chdir(tmp_path)
    with no_plugins():
        lnet.load_plugin("divisive.py")
        yield lnet.compile("own.lnet", workers=2)


@pytest.mark.slow
def test_processes_without_the_plugin_are_refused_by_name_E606(plan, tmp_path):
    with (
        separate_processes(tmp_path, 1, env={"LNET_PLUGINS": ""}) as (client, *_),
        pytest.raises(LnetError) as caught,
    ):
        lnet.train(plan, directory="run", client=client)
    text = str(caught.value)
    assert "error E606: not all of the cluster has the plug-ins of this run" in text
    assert "the scheduler: the plug-in 'divisive' (SHA-256 " in text
    assert "worker-0 (tcp://" in text
    assert "LNET_PLUGINS=FILE" in text


@pytest.mark.slow
def test_a_worker_that_comes_back_with_another_plugin_is_left_out(plan, tmp_path):
    with cluster(2) as client:

        def strike():
            with open(tmp_path / "divisive.py", "a") as file:
                file.write("# changed")
            os.kill(process_of(client, "worker-1"), signal.SIGKILL)

        watching = Watching(at={40: strike})
        watching.until = lambda: any("is left out" in text for text in watching.messages)
        with pytest.raises(lnet.Interrupted):
            lnet.train(plan, directory="run", client=client, reporter=watching)
    (said,) = [text for text in watching.messages if "is left out" in text]
    assert said.startswith("worker-1 (tcp://")
    assert "it lacks plug-ins of the run" in said
