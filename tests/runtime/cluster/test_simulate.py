"""A run in virtual time: as predicted without failures, and what failures cost."""

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner

import lnet
from lnet.cli import main
from lnet.compiler.cut.cluster_spec import read_rates
from lnet.compiler.predict.explain_time import predict
from lnet.compiler.predict.goodput import PER_HOURS, Struck
from lnet.compiler.predict.goodput import Failures as UnderFailures
from lnet.compiler.predict.stages import tile_stages
from lnet.dsl.diagnostics import LnetError
from lnet.runtime.cluster.protocol.spec import Times
from lnet.runtime.cluster.simulation.costs import Costs
from lnet.runtime.cluster.simulation.failures import Failures, role_of
from lnet.runtime.cluster.simulation.links import Links
from lnet.runtime.cluster.simulation.machines import Machines
from lnet.runtime.cluster.simulation.simulate import Asked, simulate

NETWORK = """network n {{
    image: input(16x16x1)
    f: local(3, 2)
    g: local(3, 2)
    out: l2()
}}

train {{
    data = frames("x")
    batch = 10
    update = adagrad(rate = 0.1)
    replicas = {replicas}
    {more}
}}
"""
CLUSTER = """
[links]
between = {{ latency = 1e-3, bandwidth = {bandwidth} }}
overhead = 1.0
copies = 1e6
[[hosts]]
name = "h"
count = {hosts}
{memory}
[rates]
layers = {{ local = 3e5 }}
updates = {updates}
images = 1e3
source = "a test"
"""


@pytest.fixture
def described(tmp_path):
    """Write a network and a cluster, and return the plan and the rates."""

    def write(replicas=1, tiles="1x2", hosts=2, more="", bandwidth=1e6, updates=3e4, memory=""):
        spec = tmp_path / "cluster.toml"
        spec.write_text(CLUSTER.format(hosts=hosts, bandwidth=bandwidth, updates=updates, memory=memory))
        (tmp_path / "n.lnet").write_text(NETWORK.format(replicas=replicas, more=more))
        return lnet.compile(tmp_path / "n.lnet", tiles=tiles, cluster_spec=spec), read_rates(spec)

    return write


@pytest.mark.parametrize(
    ("replicas", "tiles", "hosts"), [(1, "1x2", 2), (1, "2x2", 4), (2, "1x2", 4), (2, "1x2", 2)]
)
def test_a_synchronous_run_takes_as_long_as_predicted(described, replicas, tiles, hosts):
    """Within 5 %: a fetch, a push, its log and a commit follow each other, and the prediction lets some overlap."""
    plan, rates = described(replicas, tiles, hosts, "staleness = 0", bandwidth=1e7)
    found = simulate(plan, rates, Asked())
    assert found.images_a_second == pytest.approx(predict(plan, rates).images_a_second, rel=0.05)
    assert found.ages is None
    assert found.again == 0


def test_a_step_with_two_tiles_on_a_worker_takes_the_time_of_both(described):
    plan, rates = described(2, "1x2", 4, "staleness = 0")
    costs = Costs(plan, rates)
    apart = costs.step(0, {0: (0, 1), 1: (2, 3)})
    crowded = costs.step(0, {0: (0, 1), 1: (1, 3)})
    assert sum(apart.busy) < sum(crowded.busy)
    assert crowded.busy[1] == pytest.approx(apart.busy[1] + costs.step(1, {0: (0, 1), 1: (2, 3)}).busy[0])
    assert crowded.seconds > apart.seconds


def test_large_messages_wait_for_each_other(described):
    plan, _ = described(hosts=3, bandwidth=1e6)
    one, two, three = plan.placement.cluster.workers
    links = Links(plan.placement.cluster)
    assert links.arrival(0.0, one, two, 10**6) == pytest.approx(1.001)
    assert links.arrival(0.0, one, three, 10**6) == pytest.approx(2.001), "the sender's link is taken"
    assert links.arrival(0.0, two, three, 10**6) == pytest.approx(3.001), "the receiver's is"
    assert links.arrival(0.0, one, two, 0) == pytest.approx(0.001), "what is small does not queue"
    assert links.arrival(0.0, one, one, 10**6) == 0.0


def test_updates_are_as_old_as_others_are_many(described):
    plan, rates = described(3, "1x1", 3, updates=3e6)
    found = simulate(plan, rates, Asked(steps=40))
    mean = sum(age * count for age, count in found.ages.items()) / found.ages.total()
    assert 1 < mean < 4, "two other replicas push while one computes"
    alone, rates = described(1, "1x2", 2, updates=3e6)
    assert set(simulate(alone, rates, Asked()).ages) == {0}


def test_what_takes_longer_than_the_protocol_first_waits_is_soon_sent_only_once(described):
    """A first fetch is repeated after three quarters of a second, the next ones wait as long as it took."""
    plan, rates = described(2, "1x1", 2, bandwidth=3e4)
    found = simulate(plan, rates, Asked())
    assert found.step * found.waiting.parameters > Times.for_workers(2).retry / 4
    assert found.again == 0


def struck(plan, rates, kind, role):
    """Strike a worker with a role in the middle of a run that has a spare; return its times, and the longest stand-still."""
    machines = Machines(plan, rates)
    machines.run(15.0)
    failures = Failures(machines, 1.0, repair=1000.0)
    victim = next(
        process for process in machines.processes.values() if role_of(machines.table, process.name) == role
    )
    machines.record.restart()
    failures.hit([victim], kind)
    machines.run(machines.time + 20.0)
    assert all(slot.staffed for slot in machines.table.slots)
    assert all(shard.ready for shard in machines.table.shards)
    return machines, failures


@pytest.mark.parametrize(("kind", "least", "most"), [("kill", 0.0, 1.5), ("stop", 4.0, 6.5)])
def test_a_lost_primary_costs_its_lease_or_silence(described, kind, least, most):
    """A process that is seen to end costs hardly more than its step; a silent one the failure timeout of 5 s, and a beat."""
    plan, rates = described(2, "1x2", 5, updates=3e6)
    machines, failures = struck(plan, rates, kind, "primary")
    assert failures.struck[0].role == "primary"
    times = machines.spec.times
    assert (times.lease, times.failure_timeout, times.heartbeat_interval) == (4.0, 5.0, 0.5)
    step = predict(
        plan, rates
    ).time.seconds  # one is begun again, and has been computed almost to its end at most
    _, replica = machines.record.longest(machines.time)
    assert least + step <= replica <= most + 2 * step


def test_a_lost_tile_stops_its_own_replica_alone(described):
    """The other one goes on: it has primaries and standbys of its own."""
    plan, rates = described(3, "1x2", 7, updates=3e6)
    machines, _ = struck(plan, rates, "stop", "tile")
    run, replica = machines.record.longest(machines.time)
    assert run < replica


def test_goodput_falls_with_failures(described):
    plan, rates = described(2, "1x2", 5, updates=3e6)
    few, many = (
        simulate(plan, rates, Asked(seconds=200.0, failures=each, repair=30.0, seed=1)).storm
        for each in (10_000.0, 60_000.0)
    )
    assert 0.3 < many.goodput < few.goodput <= 1.02
    assert len(many.struck) > len(few.struck) > 0
    assert {failure.kind for failure in many.struck} == {"kill", "stop"}


def test_a_run_without_room_is_an_error(described):
    plan, rates = described(1, "1x1", 2)
    hosts = tuple(replace(worker, memory=1) for worker in plan.placement.cluster.workers)
    plan = replace(
        plan, placement=replace(plan.placement, cluster=replace(plan.placement.cluster, workers=hosts))
    )
    with pytest.raises(LnetError, match="makes no step") as caught:
        simulate(plan, rates, Asked())
    assert caught.value.diagnostics[0].code == "E612"


# --- the command ---------------------------------------------------------------------------------------------------


def lnetc(*arguments):
    return CliRunner().invoke(main, ["simulate", *map(str, arguments)])


def test_the_command_shows_a_run(described, tmp_path):
    plan, rates = described(2, "1x2", 5)
    plan.save(tmp_path / "n.plan")
    result = lnetc(tmp_path / "n.plan", "--cluster-spec", tmp_path / "cluster.toml", "--steps", 10)
    assert result.exit_code == 0, result.output
    assert "8 steps of each replica" in result.output
    assert f"the {predict(plan, rates).images_a_second:,.4g} of 'explain --time'" in result.output
    assert "staleness" in result.output
    assert "for parameters" in result.output


def test_the_same_seed_is_the_same_run(described, tmp_path):
    described(2, "1x2", 5)
    arguments = (tmp_path / "n.lnet", "--cluster-spec", tmp_path / "cluster.toml", "--tiles", "1x2")
    storm = (*arguments, "--failures", 20_000, "--seconds", 60, "--repair", 20)
    first, again, other = (lnetc(*storm, "--seed", seed).output for seed in (1, 1, 2))
    assert first == again != other
    assert "goodput" in first
    data = json.loads(lnetc(*storm, "--seed", 1, "--json").stdout)
    assert data["failures"]["rate"] == 20_000
    assert sum(sum(by_role.values()) for by_role in data["failures"]["counts"].values()) == len(
        data["failures"]["list"]
    )
    assert data["images_a_second"] > 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "E611"),
        (("--steps", 5, "--seconds", 5), "leave one out"),
    ],
)
def test_errors(described, tmp_path, arguments, expected):
    described()
    result = lnetc(tmp_path / "n.lnet", *arguments)
    assert result.exit_code != 0
    assert expected in result.output


def test_a_rate_that_is_missing_is_an_error(described, tmp_path):
    described()
    spec = tmp_path / "cluster.toml"
    spec.write_text(spec.read_text().replace("local = 3e5", "dense = 3e5"))
    result = lnetc(tmp_path / "n.lnet", "--cluster-spec", spec)
    assert result.exit_code == 1
    assert "E611" in result.output


@pytest.mark.parametrize(("tiles", "more"), [("1x2", ""), ("1x1", ""), ("1x2", "staleness = 0")])
def test_a_machine_that_is_missing_costs_as_much_as_predicted(described, tiles, more):
    """Where arithmetic takes most of a step, and nobody is spare."""
    hosts = 6 if tiles == "1x2" else 3
    plan, rates = described(3, tiles, hosts, more, bandwidth=1e9, updates=1e9)
    times = Times.for_workers(hosts)
    machines = Machines(plan, rates, 0, times)
    machines.run(20)
    step = predict(plan, rates).time.seconds
    before = used_in(machines, 40 * step)
    victim = next(p for p in machines.processes.values() if role_of(machines.table, p.name) == "tile")
    Failures(machines, 1.0, 1e9).hit([victim], "stop")
    machines.run(machines.time + 4 * times.failure_timeout)
    left = used_in(machines, 40 * step) / before
    rate = 1e-6 * PER_HOURS / hosts  # so that 1e-6 of the machines is missing
    struck = Struck(plan, rates, UnderFailures(rate, 1.0, 0.0), tile_stages(plan, rates))
    staffed = struck.goodput(plan.graph.training, predict(plan, rates).time).staffed
    assert left == pytest.approx(1 - (1 - staffed) / 1e-6, abs=0.05)


def used_in(machines, seconds):
    """Return the batches used in so many virtual seconds."""
    used = machines.table.pool.used
    machines.run(machines.time + seconds)
    return machines.table.pool.used - used
