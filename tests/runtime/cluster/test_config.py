"""What each process of a run gets before its first message: as few bytes as there are, and nothing of them lost."""

import pickle
from dataclasses import fields, replace
from pathlib import Path

import pytest
from processes import plan_of

import lnet
from lnet.compiler.plugins.identity import Plugin
from lnet.runtime.cluster.actors.coordinator_plugin import CoordinatorPlugin
from lnet.runtime.cluster.actors.entrance import Entrance
from lnet.runtime.cluster.config import RunConfig, ValidationConfig, unpacked, versions
from lnet.runtime.cluster.protocol.spec import Times
from lnet.runtime.data import Kept
from lnet.runtime.data.expected import Expected
from lnet.runtime.store.best import Score

CATFACE = Path(__file__).parents[3] / "examples/catface/model.lnet"
RUN = "3f2a9b1c" * 4


def config_of(plan):
    """A configuration of which no field has its default."""
    return RunConfig(
        RUN,
        plan.to_json(),
        "/shared/run",
        "/shared",
        "/shared/run/images.npy",
        workers=2,
        capacity=2,
        durability="single",
        versions=versions(),
        origin=(7, "/shared/run/checkpoints/step-00000500-7.shards"),
        times=Times.for_workers(845),
        no_worker_timeout=61.5,
        wire="bfloat16",
        kept=Kept(classes=("cat", "Katze")),
        expected=Expected("/shared/run", 10, "1f0c"),
        prepared=True,
        plugins=(Plugin("divisive", "", "93ab"),),
        shared=True,
        validation=ValidationConfig(7, "2e1d", best=Score("loss", 0.5, "2e1d"), newest=3),
    )


def test_a_configuration_travels_whole_and_without_what_was_derived_from_it():
    config = config_of(plan_of())
    for field in fields(config):
        assert getattr(config, field.name) != field.default, field.name
    assert config.plan.graph.name
    assert config.spec.tiles
    found = pickle.loads(pickle.dumps(CoordinatorPlugin(config, "client"))).config
    assert found == config == unpacked(Entrance(config).config)
    assert not {"plan", "spec"} & vars(found).keys()


def test_workers_of_one_process_decode_the_plan_once():
    packed = config_of(plan_of()).packed
    assert unpacked(packed).plan is unpacked(packed).plan
    assert (
        replace(unpacked(packed), plan_text=plan_of(replicas=2).to_json()).plan is not unpacked(packed).plan
    )


@pytest.mark.slow
def test_a_worker_of_845_gets_at_most_250_kilobytes():
    config = config_of(lnet.compile(CATFACE, workers=845))
    assert len(config.plan.placement.cluster.workers) == 845
    for plugin in Entrance(config), CoordinatorPlugin(config, "client"):
        assert len(pickle.dumps(plugin)) < 250_000
    assert len(config.plan_text) > 10 * len(config.packed)
