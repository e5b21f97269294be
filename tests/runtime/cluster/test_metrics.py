"""What Prometheus is told, at the address where it asks: over HTTP, of the scheduler and of every worker."""

import re
import sys
import time
import urllib.request
from collections import Counter
from pathlib import Path
from threading import Thread

import pytest
from made_events import tile
from processes import Watching, cluster, images, plan_of
from prometheus_client.parser import text_string_to_metric_families

import lnet
from lnet.compiler.core.shapes import Size
from lnet.runtime.cluster.actors.coordinator_plugin import CoordinatorPlugin
from lnet.runtime.cluster.monitor import prometheus
from lnet.runtime.cluster.monitor.metrics import AGE, METRICS, REFUSED, STEPS, Sample, Tally, worker_samples
from lnet.runtime.cluster.protocol import worker as machine
from lnet.runtime.cluster.protocol.spec import Spec
from lnet.runtime.cluster.published import UpdateApplied

DOCUMENT = Path(__file__).parents[3] / "docs" / "cluster.md"


def pages(client):
    """The addresses of `/metrics`: the scheduler's, then those of the workers."""
    info = client.sync(client.scheduler.identity, n_workers=-1)
    found = [info, *info["workers"].values()]
    hosts = [one["address"].partition("://")[2].partition(":")[0] for one in [info]]
    hosts += [one["host"] for one in info["workers"].values()]
    return [
        f"http://{host}:{one['services']['dashboard']}/metrics"
        for host, one in zip(hosts, found, strict=True)
    ]


def scraped(*addresses):
    """All samples of runs, as Prometheus parses them: `{(name, labels): value}`."""
    found = {}
    for address in addresses:
        with urllib.request.urlopen(address, timeout=30) as answer:
            families = list(text_string_to_metric_families(answer.read().decode()))
        names = [family.name for family in families if family.name.startswith("lnet_")]
        assert len(set(names)) == len(names), Counter(names).most_common(1)
        for family in families:
            for sample in family.samples:
                if sample.name.startswith("lnet_"):
                    key = (sample.name, tuple(sorted(sample.labels.items())))
                    assert key not in found
                    found[key] = sample.value
    return found


def total(found, name, **labels):
    """The sum of a metric's samples with these labels."""
    return sum(
        value for (n, have), value in found.items() if n == name and labels.items() <= dict(have).items()
    )


def label(found, name):
    """All values of a label."""
    return {value for _, labels in found for key, value in labels if key == name}


def wait_until_gone(addresses):
    deadline = time.monotonic() + 60
    while scraped(*addresses):
        assert time.monotonic() < deadline, "the run is still there"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def client():
    with cluster(2) as running:
        yield running


@pytest.mark.slow
def test_a_run_is_seen_while_it_trains_and_not_after(tmp_path, client):
    at_step = []
    addresses = pages(client)
    watching = Watching({20: lambda: at_step.append(scraped(*addresses))}, until=lambda: at_step)
    plan = plan_of(steps=1000, replicas=2, workers=2, tiles=Size(1, 2))
    with pytest.raises(lnet.Interrupted):
        lnet.train(plan, images(), directory=tmp_path / "run", client=client, reporter=watching)
    (found,) = at_step
    steps = total(found, "lnet_steps_total")
    assert 20 <= steps <= 2000
    assert total(found, "lnet_images_total") == 4 * steps
    assert total(found, "lnet_planned_steps") == 2000
    assert total(found, "lnet_tile_steps_total") >= 2 * 20
    assert total(found, "lnet_tile_seconds_total") > total(found, "lnet_tile_waited_seconds_total") > 0
    assert total(found, "lnet_updates_total") == total(found, "lnet_update_age_count") >= 20
    assert total(found, "lnet_update_age_bucket", le="+Inf") == total(found, "lnet_update_age_count")
    assert total(found, "lnet_workers") == 2
    assert total(found, "lnet_lost_workers_total") == 0
    assert total(found, "lnet_checkpoint_step") >= 10 * total(found, "lnet_checkpoints_total")
    for role, count in (("tile", 4), ("primary", 2), ("standby", 2)):
        assert total(found, "lnet_roles", role=role) == count
    for what in ("push", "params", "log"):
        sent, received = (total(found, f"lnet_{way}_bytes_total", what=what) for way in ("sent", "received"))
        assert sent > 0
        assert received > 0
    assert label(found, "process") == {"scheduler", "worker-0", "worker-1"}
    assert label(found, "network") == {"small"}
    wait_until_gone(addresses)


@pytest.mark.slow
def test_two_runs_at_once_are_told_apart(tmp_path, client):
    found, addresses, steps = [], pages(client), {"a": 10**5, "b": 10**5 + 1}

    def look():
        found.append(scraped(*addresses))
        for head in [
            plugin
            for plugin in client.cluster.scheduler.plugins.values()
            if isinstance(plugin, CoordinatorPlugin)
        ]:
            client.sync(client.scheduler.lnet_control, run=head.config.run, what="stop")

    def train(name, watching):
        with pytest.raises(lnet.Interrupted):
            lnet.train(
                plan_of(steps=steps[name]),
                images(),
                directory=tmp_path / name,
                client=client,
                reporter=watching,
            )

    second = Thread(target=train, args=("b", Watching({10: look})))
    first = Thread(target=train, args=("a", Watching({10: second.start})))
    first.start()
    first.join()
    second.join()
    (seen,) = found
    tokens = label(seen, "run")
    assert len(tokens) == 2
    assert all(re.fullmatch("[0-9a-f]{8}", token) for token in tokens)
    assert {total(seen, "lnet_planned_steps", run=token) for token in tokens} == set(steps.values())
    assert all(total(seen, "lnet_sent_bytes_total", run=token, what="exchange") > 0 for token in tokens)
    wait_until_gone(addresses)


# --- without a cluster ---------------------------------------------------------------------------------------------


def test_every_metric_is_in_the_document():
    text = DOCUMENT.read_text(encoding="utf-8")
    for metric in METRICS:
        name = metric.name + ("_total" if metric.kind == "counter" else "")
        assert f"`{name}`" in text, name


def test_counts_of_a_worker():
    tally = Tally()
    for seconds in (0.5, 0.25):
        tally.take(tile(replica=1, seconds=seconds, waited=0.125))
    for age in (0, 0, 3):
        tally.take(UpdateApplied(2, 0, 0, age))
    tally.refused.update({"malformed: Push: expected ...": 2, "malformed: expected an address": 1})
    state, _ = machine.begin(Spec("run", replicas=1, tiles=1, batches=8), "me", "host", 0.0)
    found = {(s.metric.name, s.labels): s.value for s in worker_samples(tally, state)}
    assert found["lnet_tile_steps", ("1", "0")] == 2
    assert found["lnet_tile_seconds", ("1", "0")] == 0.75
    assert found["lnet_tile_waited_seconds", ("1", "0")] == 0.25
    assert found["lnet_updates", ("2",)] == 3
    assert found["lnet_update_age", ()] == {0: 2, 3: 1}
    assert found["lnet_refused_messages", ("malformed",)] == 3
    assert found["lnet_roles", ("tile",)] == 0


class Run:
    """Stands for the configuration of a run."""

    def __init__(self, short):
        self.short = short
        self.plan = type("Plan", (), {"graph": type("Graph", (), {"name": "small"})})


def test_runs_share_one_collector_which_ends_with_the_last():
    from prometheus_client import REGISTRY, generate_latest

    def shown():
        return [line for line in generate_latest().decode().splitlines() if line.startswith("lnet_")]

    ages = Sample(AGE, {0: 3, 1: 1, 3: 2, 99: 1})
    left = prometheus.Source(Run("aaaa"), "worker-0", lambda: [Sample(STEPS, 7), ages])
    right = prometheus.Source(Run("bbbb"), "worker-0", lambda: [Sample(REFUSED, 2, ("late",))])
    for source in (left, right):
        prometheus.publish(source)
    lines = shown()
    assert 'lnet_steps_total{network="small",process="worker-0",run="aaaa"} 7.0' in lines
    assert (
        'lnet_refused_messages_total{network="small",process="worker-0",reason="late",run="bbbb"} 2.0'
        in lines
    )
    buckets = [float(line.split()[-1]) for line in lines if "_bucket" in line]
    assert buckets == [3, 4, 4, 6, 6, 6, 6, 6, 7]
    assert 'lnet_update_age_sum{network="small",process="worker-0",run="aaaa"} 106.0' in lines
    prometheus.withdraw(left)
    prometheus.withdraw(left)
    assert all('run="bbbb"' in line for line in shown())
    prometheus.withdraw(right)
    assert not shown()
    assert not any("_Collector" in repr(collector) for collector in REGISTRY._collector_to_names)


def test_without_prometheus_client_nothing_is_published(monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    source = prometheus.Source(Run("aaaa"), "worker-0", list)
    prometheus.publish(source)
    prometheus.withdraw(source)
