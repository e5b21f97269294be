"""Files and connections of the processes of a cluster: how many a plan needs, and limits that are too low."""

import subprocess
import sys

import pytest
from processes import DECODED, images, plan_of, separate_processes

import lnet
from lnet.compiler.core.shapes import Size
from lnet.compiler.cut.partners import partners
from lnet.compiler.cut.schedule import schedule
from lnet.dsl.diagnostics import LnetError, render_all
from lnet.runtime.cluster import descriptors
from lnet.runtime.cluster.descriptors import OWN, TO_SCHEDULER, needed, of_plan
from lnet.runtime.cluster.transport.connect import LOCAL, connected
from lnet.runtime.engine.exchanges import exchanges

DENSE = """
network small {
    image: input(16x16x1)
    f: local(3, maps = 2)
    d: dense(40)
    q: cross_entropy()
}
train { batch = %d; steps = %d; replicas = %d; staleness = %s; update = adagrad(rate = 0.05) }
"""


@pytest.mark.parametrize(("program", "most"), [(DECODED, 8), (DENSE, 15)])
def test_partners_are_those_that_send_something(program, most):
    plan = plan_of(workers=16, tiles=Size(4, 4), program=program)
    expected = [set() for _ in range(16)]
    for tile in range(16):
        programme = schedule(plan.graph, plan.partition, tile)
        for sender, _ in exchanges(plan.graph, plan.partition, programme, plan.graph.training.batch):
            expected[tile].add(sender)
            expected[sender].add(tile)
    found = partners(plan.graph, plan.partition, shared=False)
    assert [set(each) for each in found] == expected
    assert max(map(len, found)) == most
    assert {len(each) for each in partners(plan.graph, plan.partition, shared=True)} == {15}


def test_a_worker_is_connected_to_those_that_its_roles_exchange_with():
    plan = plan_of(workers=32, replicas=2, tiles=Size(4, 4))
    found = of_plan(plan)
    alone = needed(plan.placement, ((),) * 16, 32)
    assert alone.lines == 1  # the primary of its tile, or the other replica's tile
    assert 1 < found.lines <= 16
    assert found.worker == OWN + 2 * found.lines
    assert found.scheduler == OWN + TO_SCHEDULER * 32
    few = needed(plan.placement, ((),) * 16, 2)
    assert (few.lines, few.worker) == (1, OWN + 2)


def test_a_limit_is_raised_as_far_as_the_system_admits():
    code = (
        "import resource; from lnet.runtime.cluster.descriptors import limit\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (60, 90))\n"
        "print(limit(), resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "90 (90, 90)\n"


def text_of(run):
    with pytest.raises(LnetError) as error:
        run()
    return render_all(error.value.diagnostics, None)


def test_a_command_that_may_not_start_so_many_workers_E766(monkeypatch):
    monkeypatch.setattr(descriptors, "limit", lambda: 90)

    def start():
        with connected(LOCAL, plan_of(workers=2)):
            raise AssertionError("it has started")

    text = text_of(start)
    assert text.startswith("error E766: processes may open too few files and connections")
    assert "this process may have 90 descriptors; 2 workers need 92" in text
    assert "ulimit -n 92" in text


@pytest.mark.slow
def test_a_worker_whose_limit_is_too_low_is_refused_by_name_E766(tmp_path):
    plan = plan_of(workers=2)
    need = of_plan(plan).worker
    with separate_processes(tmp_path, 1) as (client, _, _, start):
        start("narrow", limit=need - 1)
        client.wait_for_workers(2, timeout=60)
        text = text_of(lambda: lnet.train(plan, images(), directory=tmp_path / "run", client=client))
        assert text.startswith("error E766: processes may open too few files and connections")
        assert "note: narrow (tcp://127.0.0.1:" in text
        assert f"may have {need - 1}, needs {need}" in text
        assert "worker-0" not in text
        assert f"'ulimit -n {need}'" in text
        assert f"LimitNOFILE={need}" in text
        assert not list((tmp_path / "run").glob("checkpoints/*"))


@pytest.mark.slow
def test_a_scheduler_whose_limit_is_too_low_is_refused_by_name_E766(tmp_path):
    need = of_plan(plan_of(workers=2)).scheduler
    with separate_processes(tmp_path, 2, limit=need - 1) as (client, *_):
        text = text_of(
            lambda: lnet.train(plan_of(workers=2), images(), directory=tmp_path / "run", client=client)
        )
    assert "note: the scheduler (process " in text
    assert f"may have {need - 1}, needs {need}" in text
    assert text.count("note: ") == 1
