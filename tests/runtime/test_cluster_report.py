"""What the page says about a run on a cluster, from a recorded log: no cluster is needed."""

import json
import re
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import made_events
import numpy as np
import pytest
from chromium import needs_browser, open_page
from made_events import begun, lines, step

import lnet
from lnet.compiler.pipeline import Layout, compile_source
from lnet.dsl.diagnostics import Collector
from lnet.dsl.source import Source
from lnet.runtime.analysis.history import Steps, history_of
from lnet.runtime.analysis.report import write_report
from lnet.runtime.analysis.report.cluster import (
    ages_by_replica,
    cluster_section,
    failures,
    moved,
)
from lnet.runtime.analysis.report.timeline import SPENT, shares, staleness_picture, timeline_picture
from lnet.runtime.pages.templates import template
from lnet.runtime.store.events import (
    AgesCounted,
    CheckpointWritten,
    ClusterBegun,
    ClusterStepDone,
    PartLost,
    Repaired,
    ReplicaLapsed,
    Resumed,
    RolledBack,
    RunInterrupted,
    UpdatesLost,
    UpdateTorn,
)
from lnet.runtime.store.log import read_events
from lnet.runtime.store.sums import Slowest

RECORDED = Path(__file__).parent / "cluster" / "recorded.jsonl"
TEXT = """
stage s() { filter: local(5, maps = 3); pool: l2pool(3); norm: lcn(3); learn: rica(sparsity = 0.3) }
network small { image: input(16x16x1); V1: s() }
train { update = adagrad(rate = 0.05); batch = 4; steps = 50; replicas = 2 }
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cluster") / "run"
    source = Source(TEXT, "small.lnet")
    plan = compile_source(source, {}, Collector(source), Layout(workers=4))
    lnet.train(plan, np.zeros((8, 16, 16, 1), np.float32), steps=1, directory=folder)
    plan.save(folder / "plan.json")
    shutil.copy(RECORDED, folder / "events.jsonl")
    return lnet.open_run(folder)


SEEN = """
document.body.dataset.seen = JSON.stringify({
  headings: [...document.querySelectorAll('h2')].map(h => h.textContent),
  cells: [...document.querySelectorAll('.failures td')].map(cell => cell.textContent),
  replicas: [...document.querySelectorAll('.curve svg text')].map(t => t.textContent).filter(t => t.startsWith('replica')),
  drawn: [...document.querySelectorAll('.curve svg')].every(s => s.getBoundingClientRect().height > 100),
  overflow: document.documentElement.scrollWidth > document.documentElement.clientWidth,
});
"""


@needs_browser
def test_the_section_in_a_browser(run):
    dom = open_page(write_report(run), SEEN)
    seen = json.loads(re.search(r'data-seen="([^"]*)"', dom)[1].replace("&quot;", '"'))
    assert seen["headings"][-2:] == ["Cluster", "Configuration"]
    assert seen["cells"] == [
        "0:00:27",
        "worker-1 was lost: tile 1 of replica 0, primary of shard 1",
        "2 steps of tiles, for 1 update never acknowledged",
        "replica 0: 14.5 s, replica 1: 4.5 s",
    ]
    assert seen["replicas"] == ["replica 0", "replica 1"] * 2
    assert seen["drawn"]
    assert not seen["overflow"]


def test_the_page_counts_all_replicas(run):
    text = write_report(run).read_text()
    assert " of 100 steps, from small.lnet" in text
    assert "of the time waited for images and other tiles" in text
    assert "2 replicas of 1x2 tiles on 3 workers, durability single" in text


def test_bytes_are_those_that_the_plan_says(run):
    figures = dict(moved(run.plan, history_of(run.events())))
    assert figures["planned between tiles, a step"] == figures["sent between tiles, a step"] == "8,960 bytes"


def test_bytes_to_and_from_servers_are_those_of_the_wire(run):
    events = [rounded_on_the_wire(event) for event in run.events()]
    exact, rounded = (
        dict(moved(run.plan, history_of(run.events()))),
        dict(moved(run.plan, history_of(events))),
    )
    planned = "planned to and from servers, a step"
    assert bytes_of(exact[planned]) == 2 * bytes_of(rounded[planned]) > 0
    assert rounded["sent to and from servers elsewhere, a step"] == "100 bytes"


def rounded_on_the_wire(event):
    match event:
        case ClusterStepDone():
            return replace(event, traffic=100)
        case ClusterBegun():
            return replace(event, wire="bfloat16")
    return event


def bytes_of(text):
    return int(text.removesuffix(" bytes").replace(",", ""))


def test_the_recorded_ages(run):
    ages = ages_by_replica(run.events())
    assert len(ages) == 2
    assert sum(sum(counts.values()) for counts in ages) == 100 * 2


# --- failures ------------------------------------------------------------------------------------------------------


def lost(time, worker="a", replicas=(), primaries=(), standbys=()):
    parts = [PartLost(replica, (0,), 0, steps=3, updates=1) for replica in replicas]
    return made_events.lost(worker, parts, primaries, standbys, time=time)


def repaired(time, still, replica=0, worker="a"):
    return Repaired(worker, replica, still, time=time)


def rows(*events):
    return [(row.at, row.what, row.lost, row.still) for row in failures(history_of(events).timed)]


def test_a_replica_that_was_not_repaired():
    ((_, _, work, still),) = rows(lost(5, replicas=[0, 1]), repaired(9, 3.25, replica=1))
    assert still == "replica 0: to the end, replica 1: 3.2 s"
    assert work == "6 steps of tiles, for 2 updates never acknowledged"


def test_a_worker_that_is_lost_again():
    found = rows(lost(5, replicas=[0]), lost(8, replicas=[0]), repaired(9, 4.0), repaired(9, 1.0))
    assert [still for *_, still in found] == ["replica 0: until it was lost again", "replica 0: 1.0 s"]


def test_a_standby_and_a_spare():
    standby, spare = rows(lost(5, standbys=[2]), lost(6, worker="b"))
    assert standby == ("0:00:00", "a was lost: standby of shard 2", "nothing", "nobody")
    assert spare == ("0:00:01", "b was lost: it had no role", "nothing", "nobody")


def test_acknowledged_updates_that_are_lost_are_said():
    ((_, what, updates, _), (_, _, steps, _)) = rows(
        UpdatesLost(1, 2, 1, "gone", time=3),
        RolledBack(1, 2, 10, 17, "again", time=4),
    )
    assert (what, updates) == ("shard 1 had no copy left", "1 acknowledged update")
    assert steps == "steps 10 to 17, computed again"


def test_a_resume_after_a_crash_and_one_after_a_stop():
    crash = rows(begun(), step(1, time=7), Resumed(40, time=100), begun(time=101))
    assert crash == [
        (
            "0:00:07",
            "the process that ran it, or the scheduler, ended",
            "what came after step 40",
            "all, until it was resumed",
        )
    ]
    assert rows(step(1, time=7), RunInterrupted(1, time=8), Resumed(40, time=100)) == []


def test_ages_of_a_resumed_run_add_up():
    def ages(*replicas):
        return AgesCounted({}, replicas)

    found = ages_by_replica([begun(), ages({0: 1}), ages({0: 2, 4: 1}), begun(), ages({0: 5}, {1: 1})])
    assert found == [{0: 7, 4: 1}, {1: 1}]
    assert ages_by_replica([begun()]) == []


def many_losses(count=236):
    """Losses of a long run of 845 workers, the later the costlier, and one that was not repaired."""
    log = [begun(wire="float32", replicas=5)]
    for number in range(count):
        at = 100.0 * number
        log.append(lost(at, f"worker-{number % 200}", replicas=[number % 5], primaries=range(12)))
        log.append(step(number + 1, number % 5, time=at + 1, slowest=Slowest(0, 0.5, 0.1, 0.1)))
        if number != 7:
            log.append(repaired(at + 2, 1 + number / 100, number % 5, f"worker-{number % 200}"))
    return log


def test_of_many_failures_those_that_cost_most_are_shown(run):
    found = cluster_section(run.plan, history_of(many_losses()))
    assert found["total"] == (
        "236 failures of 200 workers; below are the 20 that cost most time; after a loss replicas stood still "
        "for 2.2 s in the median, 3.4 s at most and 512 s in all"
    )
    assert len(found["failures"]) == 20
    assert len(found["others"]) == 216
    first, *_, last = found["failures"]
    assert (first.still, last.still) == ("replica 2: until it was lost again", "replica 0: 3.4 s")
    assert last.what == (
        "worker-35 was lost: tile 0 of replica 0, primary of shard 0, primary of shard 1, primary of shard 2, "
        "primary of shard 3, primary of shard 4, primary of shard 5, primary of shard 6 and 5 more"
    )


def test_the_rest_of_many_failures_can_be_opened(run, tmp_path):
    text = template("cluster.html", "lnet.runtime.analysis.report").render(
        cluster=cluster_section(run.plan, history_of(many_losses()))
    )
    assert text.count("<tr><td>") == 236
    assert "<details><summary>216 more failures</summary>" in text
    text = template("cluster.html", "lnet.runtime.analysis.report").render(
        cluster=cluster_section(run.plan, history_of(many_losses(5)))
    )
    assert "<details>" not in text
    assert "in the median" not in text


def test_of_many_replicas_a_few_are_drawn():
    steps = Steps()
    for number in range(1, 501):
        replica = number % 25
        slowest = Slowest(0, 0.9, 0.8 if replica in (3, 4) else 0.1, 0.05)
        steps.add(number / 25, step(number, replica, time=number / 25, slowest=slowest))
    drawn = re.findall(r"replica \d+", re.sub("<!--.*?-->", "", timeline_picture(steps, [])))
    assert len(drawn) == 8
    assert {"replica 3", "replica 4"} <= set(drawn)
    assert "all replicas" in staleness_picture([Counter({0: 3, 2: 1})] * 25)
    assert "replica 1" in staleness_picture([Counter({0: 3, 2: 1})] * 8)


# --- the time line -------------------------------------------------------------------------------------------------


def spent(*steps):
    """The columns of steps of one replica: when each ended, its seconds, those that it waited, for tiles of these."""
    found = Steps()
    for number, (end, seconds, waited, exchanged) in enumerate(steps, 1):
        found.add(end, step(number, 0, time=end, slowest=Slowest(0, seconds, waited, exchanged)))
    return found["began"], found["ended"], [found[name] for name in SPENT]


def test_shares_of_time():
    columns = spent((2.0, 2.0, 1.0, 0.5), (4.0, 1.0, 0.0, 0.0))
    found = shares(*columns, np.array([0.0, 2.0, 3.0, 4.0, 6.0]))
    np.testing.assert_allclose(found.T, [[0.5, 0.25, 0.25, 0], [0, 0, 0, 1], [1, 0, 0, 0], [0, 0, 0, 1]])


def test_shares_never_exceed_the_time():
    columns = spent((2.0, 2.0, 0.0, 0.0), (2.5, 2.0, 1.0, 1.0), (2.5, 1.0, 0.0, 0.0))
    found = shares(*columns, np.linspace(0.0, 4.0, 9))
    np.testing.assert_allclose(found.sum(0), 1)
    assert (found >= 0).all()


# --- the log -------------------------------------------------------------------------------------------------------


def test_a_resume_voids_the_steps_of_all_replicas_after_it(tmp_path):
    def steps(*numbers):
        return [step(number, replica=0) for number in numbers]

    log = [
        begun(replicas=2),
        *steps(1, 2, 3, 4, 5),
        CheckpointWritten(3, "x"),
        Resumed(2),
        *steps(3, 4),
        Resumed(3),
    ]
    path = tmp_path / "events.jsonl"
    path.write_text(lines(*log))
    found = [(event.name, getattr(event, "step", None)) for event in read_events(path)]
    assert found == [
        ("cluster", None),
        *(("step", number) for number in (1, 2, 3, 4)),
        ("resume", 2),
        ("step", 3),
        ("resume", 3),
    ]


def test_what_was_computed_more_than_once_is_counted(run):
    more = UpdateTorn(0, 7), ReplicaLapsed(0, 3, "lapses"), ReplicaLapsed(0, 0, "lapses")
    events = [*read_events(RECORDED), *more]
    summary = cluster_section(run.plan, history_of(events))["summary"]
    assert summary.endswith(
        "; 1 update torn: shards have different attempts of them; "
        "given back by lapsed replicas: 3 batches, which shards may have twice"
    )
    assert "torn" not in cluster_section(run.plan, history_of(read_events(RECORDED)))["summary"]
