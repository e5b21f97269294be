"""Training on real worker processes: the same numbers as in one process, and what goes wrong said plainly."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
import warnings
from contextlib import suppress
from dataclasses import replace

import dask
import numpy as np
import pytest
from distributed import Client
from PIL import Image
from processes import (
    Watching,
    address_of,
    cluster,
    images,
    plan_of,
    process_of,
    separate_processes,
)
from unreadable import act_as_another_user, act_as_before, shared_folder

import lnet
from lnet.compiler.core.shapes import Size
from lnet.compiler.cut.cost import tile_costs
from lnet.compiler.cut.placement import Placement
from lnet.dsl.diagnostics import LnetError, render_all
from lnet.runtime.cluster import check, launch
from lnet.runtime.cluster.transport.connect import LOCAL, connected, workers_of
from lnet.runtime.engine.rounding import BFLOAT16, FLOAT32
from lnet.runtime.store.events import ReplicaRoles

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with cluster(3) as running:
        yield running


def trained(tmp_path, client=None, name="run", **asked):
    return lnet.train(plan_of(**asked), images(), directory=tmp_path / name, client=client)


def assert_close(run, expected, seed_run):
    """As RUNTIME.md defines it: the difference is small beside what was learned."""
    start = lnet.Network(run.plan).params
    found, wanted = run.network().params, expected.network().params
    for name in wanted:
        moved = np.linalg.norm(wanted[name] - start[name])
        assert np.linalg.norm(found[name] - wanted[name]) < 1e-4 * moved, name
        assert moved > 0


@pytest.mark.parametrize("workers", [2, 3])
def test_tiles_compute_what_one_process_does(tmp_path, client, workers):
    alone = trained(tmp_path, name="alone", workers=1)
    spread = trained(tmp_path, client, name="spread", workers=workers)
    assert_close(spread, alone, alone)
    steps = [event.loss for event in spread.events() if event.name == "step"]
    expected = [event.loss for event in alone.events() if event.name == "step"]
    np.testing.assert_allclose(steps, expected, rtol=1e-4)


@pytest.mark.parametrize("shards", [1, 2, 3])
def test_synchronous_replicas_are_one_with_their_batches_together(tmp_path, client, shards):
    alone = trained(tmp_path, name="alone", workers=1, batch=8)
    replicas = trained(
        tmp_path, client, name="replicas", workers=2, replicas=2, staleness=0, shards_per_tile=shards
    )
    assert_close(replicas, alone, alone)
    *_, ages = [event.ages for event in replicas.events() if event.name == "ages"]
    assert ages == {0: 40 * shards}


def placed_by_lot(plan, seed):
    """The plan with its tiles on workers drawn at random, these on hosts drawn at random; some may get nothing."""
    rng = np.random.default_rng(seed)
    workers = plan.placement.cluster.workers
    hosts = tuple(replace(worker, host=f"host-{rng.integers(2)}") for worker in workers)
    tiles = rng.integers(len(workers), size=np.shape(plan.placement.tiles)).tolist()
    servers = rng.integers(len(workers), size=plan.partition.shards).tolist()
    cluster_spec = replace(plan.placement.cluster, workers=hosts)
    return replace(
        plan, placement=Placement(cluster_spec, tuple(tuple(homes) for homes in tiles), tuple(servers))
    )


def test_numbers_do_not_depend_on_placement(tmp_path, client):
    plan = plan_of(workers=3, replicas=2, staleness=0, steps=5, tiles=Size(1, 2), shards_per_tile=2)
    plans = [plan, placed_by_lot(plan, 1), placed_by_lot(plan, 2)]
    runs = [
        lnet.train(plan, images(), directory=tmp_path / str(number), client=client)
        for number, plan in enumerate(plans)
    ]
    places = {str(first_roles(run)) for run in runs}
    assert len(places) == 3
    first, *others = [run.network().params for run in runs]
    for found in others:
        for name, value in first.items():
            np.testing.assert_array_equal(found[name], value, err_msg=name)


def first_roles(run):
    return next(event.replicas for event in run.events() if event.name == "roles")


def test_asynchronous_replicas_learn(tmp_path, client):
    run = trained(tmp_path, client, workers=2, replicas=2, steps=40)
    losses = [event.loss for event in run.events() if event.name == "step"]
    assert len(losses) == 80
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])
    *_, ages = [event.ages for event in run.events() if event.name == "ages"]
    assert sum(ages.values()) == 80


def test_parameters_are_rounded_on_the_wire(tmp_path, client):
    asked = plan_of(workers=2, replicas=2, staleness=0)
    exact, rounded = [
        lnet.train(asked, images(), directory=tmp_path / wire, client=client, wire=wire)
        for wire in (FLOAT32, BFLOAT16)
    ]
    (tile,) = tile_costs(asked.graph, asked.partition)
    for run, value in ((exact, 4), (rounded, 2)):
        steps = [event for event in run.events() if event.name == "step"]
        crossed = [[step.traffic for step in steps if step.replica == replica] for replica in (0, 1)]
        beside, elsewhere = sorted(np.median(crossed, axis=1))  # of some steps a message was sent twice
        assert (beside, elsewhere) == (0, tile.traffic * value / 4)
    losses = [event.loss for event in rounded.events() if event.name == "step"]
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])
    start, wanted = lnet.Network(asked).params, exact.network().params
    for name, found in rounded.network().params.items():
        difference = np.linalg.norm(found - wanted[name]) / np.linalg.norm(wanted[name] - start[name])
        assert 0 < difference < 0.02, name
    further = lnet.resume(rounded.directory, images(), steps=21, client=client)
    wires = [event.wire for event in further.events() if event.name == "cluster"]
    assert wires == ["bfloat16", "bfloat16"]


def test_a_run_goes_on_in_any_shape(tmp_path, client):
    first = trained(tmp_path, client, workers=3, steps=10, shards_per_tile=2)
    after_cluster = first.network().params
    alone = lnet.resume(tmp_path / "run", images(), steps=10)
    for name, value in after_cluster.items():
        np.testing.assert_array_equal(alone.network().params[name], value)
    further = lnet.resume(tmp_path / "run", images(), steps=15)
    on_two = lnet.resume(tmp_path / "run", images(), steps=20, client=client)
    assert sorted(on_two.checkpoints.files()) == [10, 15, 20]
    whole = trained(tmp_path, name="whole", workers=1, steps=20)
    assert_close(on_two, whole, whole)
    assert further.directory == on_two.directory


def test_settings_change_on_a_cluster_as_in_one_process(tmp_path, client):
    """Another batch, and a schedule that the checkpoint does not know: the same images, and the same rates."""
    change = {"train.batch": 6, "train.update": "adagrad(rate = 0.02, schedule = cosine)"}
    runs = []
    for name, place in (("spread", client), ("alone", None)):
        run = trained(tmp_path, place, name=name, workers=2, steps=5)
        runs.append(lnet.resume(run.directory, images(), steps=10, client=place, set=change))
    assert_close(*runs, runs[0])
    for run in runs:
        assert [e.images for e in run.events() if e.name == "step"][3:7] == [16, 20, 26, 32]
        assert set(lnet.open_run(run.directory).info["changes"][0]["settings"]) == {
            "batch",
            "steps",
            "update",
        }


def test_a_dry_run_asks_the_processes_of_a_cluster(tmp_path, client):
    plan = plan_of(steps=1)
    launch.check_cluster(client, plan, tmp_path, tmp_path, ())
    text = refusal(lambda: launch.check_cluster(client, plan, tmp_path, tmp_path / "images", ()))
    assert "E761" in text
    assert f"sees no '{tmp_path / 'images'}'" in text


CLASSES = """
network small {
    image: input(16x16x1)
    f: local(6, 2, stride = 2, act = relu)
    h: dense(9, act = tanh)
    d: dense(7)
    q: cross_entropy()
}
train { batch = %d; steps = %d; replicas = %d; staleness = %s; update = adagrad(rate = 0.1) }
"""


def test_a_classifier_in_tiles_goes_on_in_any_shape(tmp_path, client):
    """Each tile's server has a part of the dense layers; softmax and ranks are those of one process."""
    labels = np.arange(60) % 7
    plans = {
        workers: plan_of(program=CLASSES, workers=workers, steps=steps, shards_per_tile=2)
        for workers, steps in ((1, 12), (3, 4))
    }
    alone = lnet.train(plans[1], images(), labels=labels, directory=tmp_path / "alone")
    run = lnet.train(plans[3], images(), labels=labels, directory=tmp_path / "spread", client=client)
    lnet.resume(run.directory, images(), labels=labels, steps=8)
    spread = lnet.resume(run.directory, images(), labels=labels, steps=12, client=client)
    assert_close(spread, alone, alone)
    found, expected = ([event for event in run.events() if event.name == "step"] for run in (spread, alone))
    for name in ("q top-1", "q top-5"):
        counts = [[round(4 * event.accuracies[name]) for event in events] for events in (found, expected)]
        assert counts[0] == counts[1]
    np.testing.assert_allclose([e.loss for e in found], [e.loss for e in expected], rtol=1e-4)


def test_a_cluster_goes_on_where_images_have_moved_to(tmp_path, client):
    (tmp_path / "here").mkdir()
    for number, image in enumerate(images(12)):
        pixels = (127 + 40 * image[..., 0]).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "here" / f"{number}.png")
    lnet.train(plan_of(steps=4), tmp_path / "here", directory=tmp_path / "run", client=client)
    (tmp_path / "here").rename(tmp_path / "there")
    text = refusal(lambda: lnet.resume(tmp_path / "run", steps=8, client=client))
    assert text.startswith("error E701: there is no file or folder")
    moved = lnet.resume(tmp_path / "run", tmp_path / "there", steps=8, client=client)
    alone = lnet.train(plan_of(workers=1, steps=8), tmp_path / "there", directory=tmp_path / "alone")
    assert_close(moved, alone, alone)


def test_a_cluster_goes_on_from_the_checkpoint_before_a_damaged_one(tmp_path, client):
    run = trained(tmp_path, client, steps=30, staleness=0)  # an asynchronous checkpoint may be torn
    newest = run.checkpoints.files()[30]
    before = sorted(run.checkpoints.files())[-2]
    sorted(newest.glob("shard-*"))[1].write_bytes(b"")
    watching = Watching()
    lnet.resume(tmp_path / "run", images(), client=client, reporter=watching)
    assert any(f"passed over the damaged checkpoint '{newest.name}'" in text for text in watching.messages)
    (resumed,) = [event for event in run.events() if event.name == "resume"]
    assert (resumed.step, resumed.torn) == (before, 0)
    assert_close(run, trained(tmp_path, name="whole", workers=1, steps=30), run)


def test_a_run_begins_with_anothers_parameters(tmp_path, client):
    first = trained(tmp_path, name="first", workers=1)
    how = {"start": first.directory, "freeze": ["V1.filter"]}
    alone = lnet.train(plan_of(workers=1), images(), directory=tmp_path / "alone", **how)
    spread = lnet.train(plan_of(workers=2), images(), directory=tmp_path / "spread", client=client, **how)
    wanted, found, begun = (dict(run.network().params) for run in (alone, spread, first))
    np.testing.assert_array_equal(found["V1.filter.weight"], begun["V1.filter.weight"])
    moved = np.linalg.norm(wanted["V1.learn.decode"] - begun["V1.learn.decode"])
    assert np.linalg.norm(found["V1.learn.decode"] - wanted["V1.learn.decode"]) < 1e-4 * moved


def test_two_runs_on_one_cluster(tmp_path, client):
    from threading import Thread

    alone = trained(tmp_path, name="alone", workers=1)
    runs = {}
    threads = [
        Thread(target=lambda n=name: runs.update({n: trained(tmp_path, client, name=n, workers=2)}))
        for name in ("left", "right")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_close(runs["left"], alone, alone)
    assert_close(runs["right"], alone, alone)


def test_one_process_never_imports_distributed(tmp_path):
    program = (
        "import sys, numpy as np, lnet\n"
        "plan = lnet.compile(lnet.parse('network n { image: input(6x6x1); f: local(3, 1); q: l2() } train { steps = 2 }'))\n"
        "lnet.train(plan, np.zeros((4, 6, 6, 1), np.float32), directory=sys.argv[1])\n"
        "assert not {'distributed', 'dask'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "run")], check=True)


def test_a_local_cluster_beside_another_says_nothing():
    with socket.socket() as other:
        with suppress(OSError):  # somebody has the dashboard's usual port already
            other.bind(("127.0.0.1", 8787))
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message=".*already in use")
            with connected("local", plan_of(workers=1)) as client:
                address = urllib.parse.urlsplit(client.dashboard_link)
                with urllib.request.urlopen(f"http://{address.netloc}/health", timeout=30) as answer:
                    assert answer.read() == b"ok"
        assert address.port != 8787


def test_a_worker_of_this_machine_comes_back_however_long_it_takes():
    with (
        dask.config.set({"distributed.deploy.lost-worker-timeout": "0.1s"}),
        connected(LOCAL, plan_of(workers=2)) as client,
    ):
        client.wait_for_workers(2, timeout=60)
        before, deadline = addresses(client), time.monotonic() + 60
        os.kill(process_of(client, "worker-0"), signal.SIGKILL)
        while len(addresses(client)) < 2 or addresses(client) == before:
            assert time.monotonic() < deadline, "it did not come back"
            time.sleep(0.1)
        assert "worker-0" in client.cluster.workers, "its nanny was closed"


def addresses(client):
    return set(workers_of(client))


def test_all_workers_are_seen_while_dask_forgets_them(client):
    """Its client asks for an answer without workers again and again, and keeps the last one."""
    with (
        dask.config.set({"distributed.client.scheduler-info-interval": "1ms"}),
        Client(client.scheduler.address, set_as_default=False) as other,
    ):
        assert {len(workers_of(other)) for _ in range(300)} == {len(workers_of(client))}


# --- errors --------------------------------------------------------------------------------------------------------


def refusal(call):
    with pytest.raises(LnetError) as caught:
        call()
    return render_all(caught.value.diagnostics, caught.value.source).rstrip()


def test_no_cluster_E760(tmp_path):
    def connect(where):
        with connected(where, plan_of()):
            pass

    assert refusal(lambda: connect("missing.json")) == (
        "error E760: 'missing.json' is neither an address nor a scheduler file\n"
        " = hint: write --cluster tcp://HOST:8786, or start 'dask scheduler --scheduler-file FILE'"
    )
    assert "error E760: no cluster answers at 'tcp://127.0.0.1:9'" in refusal(
        lambda: connect("tcp://127.0.0.1:9")
    )


_config = launch._config


def test_another_version_E761(tmp_path, client, monkeypatch):
    monkeypatch.setattr(launch, "_config", lambda *a: replace(_config(*a), versions=(("lnet", "0.0.1"),)))
    text = refusal(lambda: trained(tmp_path, client))
    assert text.startswith("error E761: the cluster has other versions than this process")
    assert "the scheduler has lnet 0.1.0, this process has 0.0.1" in text
    assert f"worker-2 ({address_of(client, 'worker-2')}) has lnet 0.1.0, this process has 0.0.1" in text


def test_files_that_are_not_seen_E761(tmp_path, client, monkeypatch):
    missing = {"directory": "/no/run", "base": "/no/images"}
    monkeypatch.setattr(launch, "_config", lambda *a: replace(_config(*a), **missing))
    text = refusal(lambda: trained(tmp_path, client))
    assert text.startswith("error E761: not all of the cluster sees the files of this run")
    assert "the scheduler sees no '/no/run'" in text
    assert "the scheduler sees no '/no/images'" not in text
    assert f"worker-0 ({address_of(client, 'worker-0')}) sees no '/no/images'" in text


def test_a_worker_that_does_not_answer_E761(tmp_path, client, monkeypatch):
    client.run(check.look, (), ())  # imports what it takes
    monkeypatch.setattr(check, "ANSWER_TIMEOUT", 3.0)
    process = process_of(client, "worker-1")
    os.kill(process, signal.SIGSTOP)
    try:
        text = refusal(lambda: trained(tmp_path, client))
    finally:
        os.kill(process, signal.SIGCONT)
    assert text.startswith("error E761: not all of the cluster answers")
    assert f"worker-1 ({address_of(client, 'worker-1')}) does not answer" in text
    assert "worker-0" not in text
    assert "the scheduler" not in text


def test_a_cluster_without_lnet_E761(tmp_path):
    (tmp_path / "lnet").mkdir()
    (tmp_path / "lnet" / "__init__.py").write_text("raise ImportError('no lnet here')")
    env = {"PYTHONPATH": str(tmp_path), "PYTHONSAFEPATH": "1"}
    with separate_processes(tmp_path, 1, env) as (client, _, _, _):
        text = refusal(lambda: trained(tmp_path, client))
    assert text.startswith("error E761: lnet is not installed in all of the cluster")
    assert "the scheduler: no lnet here" in text
    assert "worker-0" in text


def test_a_failure_on_a_worker_ends_the_run_E762(tmp_path, client, monkeypatch):
    (tmp_path / "no.npy").write_bytes(b"no array")
    other = {"array": str(tmp_path / "no.npy"), "expected": None}
    monkeypatch.setattr(launch, "_config", lambda *a: replace(_config(*a), **other))
    text = refusal(lambda: trained(tmp_path, client))
    assert text.startswith(f"error E762: a worker failed: '{tmp_path}/no.npy' is not a readable array file")


def test_a_loss_that_is_not_finite_E730(tmp_path, client):
    bad = np.full((8, 16, 16, 1), np.inf, np.float32)
    text = refusal(
        lambda: lnet.train(plan_of(), bad, directory=tmp_path / "run", client=client, prepared=True)
    )
    assert text.startswith("small.lnet:6:5: error E730: step 1 of replica 0, tile ")
    assert ": the objective 'V1.learn' is not finite\n" in text
    assert "the gradient of 'V1.filter.weight' is not finite" in text
    last = lnet.open_run(tmp_path / "run").events()[-1]
    assert (last.name, last.message.splitlines()[0]) == ("failed", text.splitlines()[0])


def test_progress_is_reported(tmp_path, client):
    watching = Watching()
    lnet.train(plan_of(steps=3), images(), directory=tmp_path / "run", client=client, reporter=watching)
    assert watching.steps == 3
    assert "replica 0 is computed by worker-0, worker-1" in watching.messages
    assert not any("tcp://" in message for message in watching.messages)


def test_what_it_trains_on_and_corrupt_images_are_said_once(tmp_path, client):
    """Two replicas of two tiles meet the same corrupt image in every pass."""
    (tmp_path / "pics").mkdir()
    for number, image in enumerate(images(8)):
        pixels = (127 + 40 * image[..., 0]).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pics" / f"{number}.png")
    (tmp_path / "pics" / "5.png").write_bytes(b"nothing")
    (tmp_path / "pics" / "notes.txt").write_text("no image")
    watching, plan = Watching(), plan_of(workers=4, replicas=2, steps=8)
    where = {"directory": tmp_path / "run", "client": client, "reporter": watching}
    run = lnet.train(plan, tmp_path / "pics", **where)
    line = (
        f"small.lnet: 8 images in '{tmp_path / 'pics'}' (1 file ignored: 1 .txt), "
        "4 a step of each of 2 replicas, 8 passes"
    )
    assert watching.messages[0] == line
    (data,) = [event for event in run.events() if event.name == "data"]
    assert (data.message, data.ignored) == (line, {".txt": 1})
    corrupt = "skipped the corrupt image '5.png': cannot identify image file"
    assert watching.messages.count(corrupt) == 1
    assert [e.message for e in run.events() if e.name == "warning"].count(corrupt) == 1


def test_roles_are_logged_as_they_change(tmp_path, client):
    run = trained(tmp_path, client, workers=2, steps=3)
    first, *_, last = [event for event in run.events() if event.name == "roles"]
    assert first.replicas == (ReplicaRoles("computing", ("worker-0", "worker-1"), 1),)
    assert sorted(shard.primary for shard in first.shards) == ["worker-0", "worker-1"]
    assert last.replicas[0].state == "done"
    steps = [event for event in run.events() if event.name == "step"]
    assert {event.generation for event in steps} == {1}
    assert {event.bytes for event in steps} == {
        sum(t.halo for t in tile_costs(run.plan.graph, run.plan.partition))
    }


def restricted_run(client, folder):
    """A run of which another user sees all but the content of its newest checkpoint."""
    run = lnet.train(plan_of(workers=2), images(), directory=folder / "run", client=client)
    newest = run.checkpoints.files()[20]
    for path in newest.iterdir():
        path.chmod(0)
    return run, newest


def test_a_worker_that_may_not_read_the_checkpoint_is_named_and_nothing_begins_anew(client):
    """Its user's rights are taken away, and given back."""
    with shared_folder() as folder:
        run, newest = restricted_run(client, folder)
        log = (run.directory / "events.jsonl").read_bytes()
        address = next(found for found, about in workers_of(client).items() if about["name"] == "worker-1")
        client.run(act_as_another_user, workers=[address])
        try:
            text = refusal(lambda: lnet.resume(run.directory, images(), steps=24, client=client))
        finally:
            client.run(act_as_before, workers=[address])
        assert text.startswith("error E732: not all of the cluster can read the files of this run")
        assert f"= note: worker-1 ({address}): [Errno 13] Permission denied: '{newest}/" in text
        assert run.checkpoints.files()[20] == newest
        assert (run.directory / "events.jsonl").read_bytes() == log
        for path in newest.iterdir():
            path.chmod(0o644)
        assert 24 in lnet.resume(run.directory, images(), steps=24, client=client).checkpoints.files()


def test_a_checkpoint_that_a_worker_fails_to_read_ends_the_run_with_what_its_system_said(client, monkeypatch):
    """It may open it, and its disk is broken: what a worker finds only when it is given its part."""
    with shared_folder() as folder:
        run, newest = restricted_run(client, folder)
        shard = sorted(newest.glob("shard-*"))[1]
        shard.rename(folder / "spare")
        shard.symlink_to("/proc/self/mem")
        monkeypatch.setattr(
            launch, "_origin", lambda *anything: (7, str(newest))
        )  # it was whole a moment ago
        text = refusal(lambda: lnet.resume(run.directory, images(), steps=24, client=client))
        assert text.startswith("error E732: a worker failed: "), text
        assert "[Errno 5] Input/output error" in text
        assert "= note: it was 'worker-" in text


def test_a_cluster_goes_on_past_a_checkpoint_with_a_missing_shard_and_writes_that_step_again(
    tmp_path, client
):
    run = trained(tmp_path, client, steps=30, staleness=0)
    newest = run.checkpoints.files()[30]
    sorted(newest.glob("shard-*"))[1].unlink()
    watching = Watching()
    lnet.resume(tmp_path / "run", images(), client=client, reporter=watching)
    assert any(f"passed over the incomplete checkpoint '{newest.name}'" in text for text in watching.messages)
    assert newest.exists()
    assert run.checkpoints.files()[30] != newest
    assert_close(run, trained(tmp_path, name="whole", workers=1, steps=30), run)


def test_processes_that_come_later_compile_nothing(tmp_path):
    """Workers of a second cluster find all that those of the first compiled."""
    cache = tmp_path / "cache"
    kept = []
    for name in ("first", "second"):
        place = tmp_path / name
        place.mkdir()
        with separate_processes(place, 2, {"LNET_CACHE": str(cache), "JAX_COMPILATION_CACHE_DIR": ""}) as (
            client,
            *_,
        ):
            trained(place, client)
        kept.append({path.name: path.stat().st_ino for path in cache.rglob("*") if path.is_file()})
    assert len(kept[0]) > 5
    assert kept[1] == kept[0], "an entry that was written again is another file"


def test_a_run_by_the_client_is_logged_as_the_command_would_tell_it(tmp_path, client, caplog):
    caplog.set_level("INFO", logger="lnet")
    watching = Watching(at={10: lambda: os.kill(process_of(client, "worker-0"), signal.SIGKILL)})
    lnet.train(
        plan_of(workers=3, steps=60),
        images(),
        directory=tmp_path / "run",
        client=client,
        reporter=watching,
    )
    logged = {
        level: [r.getMessage() for r in caplog.records if r.levelname == level and r.name == "lnet"]
        for level in ("INFO", "WARNING")
    }
    assert "training from step 0 to 60" in logged["INFO"]
    assert any(message.startswith("step 60/60  ") for message in logged["INFO"])
    assert "worker-0 is lost" in logged["WARNING"]
    assert "worker-0 ended: signal 9 (SIGKILL)" in logged["WARNING"]
    assert set(watching.messages) <= {*logged["INFO"], *logged["WARNING"]}
    client.wait_for_workers(3, timeout=60)


def count_decoded(dask_worker):
    """In a worker: count the images that it decodes for batches, from now on."""
    from lnet.runtime.data.dataset import Dataset

    dask_worker.decoded, dask_worker.usable = 0, Dataset._usable

    def usable(self, number):
        dask_worker.decoded += 1
        return dask_worker.usable(self, number)

    Dataset._usable = usable


def decoded(dask_worker):
    """In a worker: return how many it has decoded, and count no more."""
    from lnet.runtime.data.dataset import Dataset

    Dataset._usable = dask_worker.usable
    return dask_worker.decoded


def test_tiles_that_decode_together_compute_the_same_numbers_with_half_the_images(
    tmp_path, client, monkeypatch
):
    runs, counts = {}, {}
    for shared in (False, True):
        monkeypatch.setattr(launch, "_shares", lambda plan, workers, shared=shared: shared)
        client.run(count_decoded)
        runs[shared] = trained(tmp_path, client, name=str(shared), workers=2)
        counts[shared] = sum(client.run(decoded).values())
    alone, together = (runs[shared].network().params for shared in (False, True))
    for name, value in alone.items():
        np.testing.assert_array_equal(together[name], value, err_msg=name)
    assert counts == {False: 2 * 4 * 20, True: 4 * 20}
