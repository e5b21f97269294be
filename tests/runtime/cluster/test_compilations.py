"""Processes that come back compile nothing, nor does a standby that is promoted, nor a spare that gets a tile."""

import os
import signal

import pytest
from processes import Striking, Watching, cluster, images, plan_of, process_of, started_by_hand

import lnet
from lnet.runtime.cluster.protocol.spec import Times
from lnet.runtime.process.compilations import compilations

pytestmark = pytest.mark.slow

MOST = 20_000
TIMES = Times(heartbeat_interval=0.2, failure_timeout=2.0, lease=1.5, retry=1.0, grace_period=4.0)


def trained(directory, client, watching):
    with pytest.raises(lnet.Interrupted):
        lnet.train(
            plan_of(workers=2, steps=MOST), images(), directory=directory, client=client, reporter=watching
        )
    return watching


def ready(watching):
    return [(event.worker, event.compilations) for event in watching.logged("ready")]


@pytest.mark.long
def test_what_an_undisturbed_run_compiles_is_all_that_one_with_losses_needs(tmp_path, monkeypatch):
    """In the second one a primary's worker is killed, its standby promoted, and a new process gets a tile."""
    monkeypatch.setattr(Times, "for_workers", lambda workers: TIMES)
    options = {"env": {"LNET_CACHE": str(tmp_path / "cache"), "JAX_COMPILATION_CACHE_DIR": ""}}
    with cluster(2, **options) as client:
        watching = Watching(until=lambda: watching.steps > 40 and watching.told("is ready") >= 2)
        first = ready(trained(tmp_path / "first", client, watching))
        compiled = sum(client.run(_compilations).values())
    assert sorted(worker for worker, _ in first) == ["worker-0", "worker-1"]
    assert compiled > 0
    with cluster(2, **options) as client:
        striking = Striking(
            lambda: os.kill(process_of(client, striking.servers[0][0]), signal.SIGKILL),
            until=lambda: striking.told("is promoted") and len(ready(striking)) >= 3,
        )
        second = ready(trained(tmp_path / "second", client, striking))
        counts = client.run(_compilations)
    assert len(second) >= 3
    assert {count for _, count in second} == {0}
    assert set(counts.values()) == {0}


def ahead(watching):
    return {event.worker: event.compilations for event in watching.logged("compiled ahead")}


def test_a_spare_has_compiled_what_it_inherits(tmp_path, monkeypatch):
    """Its machine is another one, with a cache of its own, where nothing has ever been compiled."""
    monkeypatch.setattr(Times, "for_workers", lambda workers: TIMES)
    kept = [{"LNET_CACHE": str(tmp_path / name), "JAX_COMPILATION_CACHE_DIR": ""} for name in ("a", "b")]
    with cluster(2, env=kept[0]) as client, started_by_hand(client, "spare", env=kept[1]):
        client.wait_for_workers(3, timeout=60)
        striking = Striking(
            lambda: os.kill(process_of(client, "worker-0"), signal.SIGKILL),
            when=lambda: "spare" in ahead(striking),
            until=lambda: "spare" in dict(ready(striking)),
        )
        trained(tmp_path / "run", client, striking)
    assert ahead(striking)["spare"] > 0
    assert dict(ready(striking))["spare"] == 0


def _compilations():
    return compilations()
