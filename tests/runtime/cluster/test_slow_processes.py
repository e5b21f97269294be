"""Processes that compute, read or save slowly: a slow worker's tile moves to a spare, a slow disk holds up nobody else."""

from contextlib import closing

import pytest
from hindered import hindered
from processes import Watching, cluster, images, plan_of, process_of
from shares import Shares, may_share

import lnet
from lnet.compiler.cut.cost import tile_work

pytestmark = [pytest.mark.slow, pytest.mark.long]

STEP = "lnet.runtime.cluster.actors.tiles:finite"
READ = "lnet.runtime.cluster.actors.images:Dataset.batch"
SAVE = "lnet.runtime.cluster.actors.servers:save_shard"
MOST = 100_000
"""Steps of a run that is stopped when it has shown what it is about."""


def trained(directory, client, watching, **asked):
    with pytest.raises(lnet.Interrupted):
        lnet.train(
            plan_of(steps=MOST, **asked), images(), directory=directory, client=client, reporter=watching
        )
    return lnet.open_run(directory)


class Going(Watching):
    """Knows how many steps were made since something was said."""

    def __init__(self, **calls):
        super().__init__(**calls)
        self.lines = []

    def since(self, words):
        """How many steps there are since some words were first said; None before."""
        return next((self.steps - step for step, text in self.lines if words in text), None)

    def said(self, message):
        self.lines.append((self.steps, message))
        super().said(message)


def check_moved(run):
    """Its tile is at the worker that was to spare, and steps were made there."""
    events = run.events()
    (slow,) = {event.worker for event in events if event.name == "slow" and event.slow}
    assert slow == "worker-1"
    assert [event for event in events if event.name == "roles"][-1].replicas[0].workers == (
        "worker-0",
        "worker-2",
    )
    generations = {event.generation for event in events if event.name == "step"}
    assert len(generations) >= 2


def test_the_tile_of_a_worker_that_is_held_up_moves_to_a_spare(tmp_path):
    file = tmp_path / "slow"
    with cluster(3, **hindered({STEP: 1.5}, file)) as client:
        watching = Going(
            at={20: lambda: file.write_text("worker-1")},
            until=lambda: (watching.since("worker-1 is slow") or 0) > 40,
        )
        check_moved(trained(tmp_path / "run", client, watching, workers=2))


@pytest.mark.skipif(not may_share(), reason="needs the right to make cgroups")
def test_the_tile_of_a_worker_with_a_fifth_of_its_processor_moves_to_a_spare(tmp_path):
    with closing(Shares()) as shares, cluster(3) as client:

        def limit():
            for number in range(3):
                worker = f"worker-{number}"
                shares.give(process_of(client, worker), 0.06 if number == 1 else 0.3)

        watching = Going(at={20: limit}, until=lambda: (watching.since("worker-1 is slow") or 0) > 40)
        check_moved(trained(tmp_path / "run", client, watching, workers=2))


def test_images_that_come_late_hold_up_the_replica_that_needs_them_alone_and_are_called_so(tmp_path):
    """A worker reads nothing until 70 steps more are made. It is slow to read, not to compute, so it is not named."""
    file = tmp_path / "slow"
    with cluster(5, **hindered({READ: 600.0}, file)) as client:
        watching = Going(
            at={20: lambda: file.write_text("worker-3"), 90: file.unlink}, until=lambda: watching.steps >= 120
        )
        run = trained(tmp_path / "run", client, watching, workers=4, replicas=2)
    steps = [event for event in run.events() if event.name == "step"]
    meanwhile = [step.replica for step in steps if 20 < step.step <= 90]
    assert meanwhile.count(1) <= 15, "it computes what it has read, and no more"
    assert {step.replica for step in steps if step.step > 90} == {0, 1}
    held = max((step for step in steps if step.replica == 1 and step.step > 20), key=waited_for_images)
    assert waited_for_images(held) > 0.5 * held.slowest.seconds
    assert "worker-3" not in {event.worker for event in watching.logged("slow")}


def waited_for_images(step):
    return step.slowest.waited - step.slowest.exchanged


@pytest.mark.parametrize("staleness", ["none", 0])
def test_a_shard_that_is_saved_slowly_holds_up_its_checkpoint_alone(tmp_path, staleness):
    """It is not saved before 60 steps more are made: if they waited for it, this would never end."""
    file = tmp_path / "slow"
    file.write_text("worker-1")
    with cluster(2, **hindered({SAVE: 600.0}, file)) as client:
        watching = Going(
            at={70: file.unlink}, until=lambda: (watching.since("checkpoint 1 is committed") or 0) > 20
        )
        run = trained(tmp_path / "run", client, watching, workers=2, staleness=staleness)
    events = run.events()
    places = [number for number, event in enumerate(events) if event.name == "checkpoint"]
    before = [event.step for event in events[: places[0]] if event.name == "step"]
    assert max(before) >= 70 > events[places[0]].step + 30
    assert max(run.checkpoints.files()) > 70


def test_work_is_planned_by_tile():
    plan = plan_of(workers=4)
    work = tile_work(plan.graph, plan.partition)
    assert len(work) == 4
    assert min(work) > 0
