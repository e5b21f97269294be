"""Runs that can never go on: processes that really end again and again, each in another way, and what the error says."""

import os
import re
import signal
import textwrap
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import pytest
from distributed import Nanny
from limited import memory_group
from processes import Striking, Watching, cluster, images, plan_of, process_of, separate_processes

import lnet
from lnet.compiler.core.shapes import Size
from lnet.dsl.diagnostics import LnetError, render_all
from lnet.runtime.cluster import launch
from lnet.runtime.cluster.config import RunConfig
from lnet.runtime.cluster.protocol.spec import Need, Times

pytestmark = pytest.mark.slow

FUTILITY = 6.0

PRELOAD = '''
"""Ends a worker as soon as it is given a role."""
import os, signal, sys, threading, time

def has_a_role(worker):
    hosts = [plugin for name, plugin in list(worker.plugins.items()) if name.startswith("lnet-")]
    states = [host.state for host in hosts if hasattr(host, "state")]
    return any(state.tiles or state.servers for state in states)

def dask_setup(worker):
    def watch():
        while not has_a_role(worker):
            time.sleep(0.01)
        {end}

    threading.Thread(target=watch, daemon=True).start()
'''


@pytest.fixture(autouse=True)
def times(monkeypatch):
    usual = Times.for_workers(2)
    monkeypatch.setattr(Times, "for_workers", lambda workers: replace(usual, no_progress_timeout=FUTILITY))


def preload(tmp_path, end):
    """What ends a worker at its first step, by some lines of Python."""
    file = tmp_path / "ending.py"
    file.write_text(PRELOAD.format(end=end.replace("\n", "\n        ")))
    return str(file)


def given_up(tmp_path, client, **asked):
    """Train, and return what the error says."""
    watching = Watching()
    asked = {"workers": 2, "replicas": 2, **asked}
    with pytest.raises(LnetError) as caught:
        lnet.train(plan_of(**asked), images(), directory=tmp_path / "run", client=client, reporter=watching)
    assert watching.logged("failed")
    return render_all(caught.value.diagnostics, caught.value.source)


ENDS = {
    "signal": ("os.kill(os.getpid(), signal.SIGKILL)", "signal 9 (SIGKILL)"),
    "exit": ("os._exit(3)", "exit 3"),
}


@pytest.mark.parametrize("kind", ENDS)
def test_workers_that_end_at_their_first_step_E764(tmp_path, kind):
    end, cause = ENDS[kind]
    with cluster(2, preload=[preload(tmp_path, end)]) as client:
        text = given_up(tmp_path, client)
        assert not [name for name in client.cluster.scheduler.plugins if name.startswith("lnet-")]
        assert not client.cluster.scheduler.nanny_plugins
    assert text.startswith("error E764: workers end again and again, and no step is finished: ")
    for worker in ("worker-0", "worker-1"):
        (line,) = [line for line in text.splitlines() if f"{worker} was lost " in line]
        assert cause in line
        assert "unknown" not in line
    assert "find out why they end" in text
    assert f"begin again, for no checkpoint was written: lnetc resume {tmp_path / 'run'}" in text


LIMIT = 700 * 2**20
BALLAST = f"ballast = bytearray(b'x') * {2 * LIMIT}\ntime.sleep(60)"


def test_workers_over_the_limit_that_Dask_gives_them_E764(tmp_path):
    with cluster(2, preload=[preload(tmp_path, BALLAST)], memory_limit=LIMIT) as client:
        text = given_up(tmp_path, client)
    for worker in ("worker-0", "worker-1"):
        (line,) = [line for line in text.splitlines() if f"{worker} was lost " in line]
        assert "over its memory limit of 734,003,200 bytes" in line
        assert "unknown" not in line
        assert "signal" not in line
    assert "give each worker more memory" in text


def test_workers_that_the_system_ends_for_memory_E764(tmp_path):
    """In a cgroup with a limit, as a container's is: Dask knows of none."""
    ending = preload(tmp_path, BALLAST)
    with memory_group(LIMIT) as group, separate_processes(tmp_path, 0) as (client, _, _, start):
        start("a", "--preload", ending, "--memory-limit", 0, nanny=True, group=group)
        client.wait_for_workers(1, timeout=60)
        text = given_up(tmp_path, client)
    (line,) = [line for line in text.splitlines() if "a was lost " in line]
    assert "over its memory limit of 734,003,200 bytes" in line


def test_workers_without_nannies_say_nothing_E764(tmp_path):
    """Somebody starts a new one for each that ends; of why it ended nobody but he knows."""
    ending = preload(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)")
    with (
        separate_processes(tmp_path, 0) as (client, _, _, start),
        started_again(lambda name: start(name, "--preload", ending), "a", "b"),
    ):
        client.wait_for_workers(2, timeout=60)
        text = given_up(tmp_path, client)
    for worker in "ab":
        (line,) = [line for line in text.splitlines() if f"{worker} was lost " in line]
        assert re.search(r" was lost (once|\d+ times): unknown$", line)


UNIMPORTABLE = """
class Broken:
    def find_spec(self, name, path=None, target=None):
        if name == "optax":
            raise ImportError("libgomp.so.1: cannot open shared object file")
sys.meta_path.insert(0, Broken())
"""
UNFORESEEN = """
import lnet.runtime.cluster.actors.roles_plugin as plugin
def broken():
    raise OSError(5, "Input/output error", "/proc/self/limits")
plugin.limit = broken
"""


@pytest.mark.parametrize(
    ("broken", "cause"),
    [
        (UNIMPORTABLE, "import error: ImportError: libgomp.so.1: cannot open shared object file"),
        (UNFORESEEN, "start-up error: OSError: [Errno 5] Input/output error: '/proc/self/limits'"),
    ],
)
def test_workers_that_can_begin_no_more_E764(tmp_path, broken, cause):
    """A node breaks: the processes that ended are followed by ones that cannot take part."""
    mark = str(tmp_path / "broken")
    file = Path(preload(tmp_path, "open(broken, 'w').close()\nos._exit(3)"))
    then = textwrap.indent(broken, "    ")
    file.write_text(f"{file.read_text()}\nbroken = {mark!r}\nif os.path.exists(broken):\n{then}")
    with cluster(2, preload=[str(file)]) as client:
        text = given_up(tmp_path, client)
        assert client.submit(sum, [1, 2]).result(timeout=60) == 3, "they are of use to others"
    assert cause in text
    assert "exit 3" in text


def test_a_worker_that_ends_again_and_again_beside_a_sound_one_ends_no_run(tmp_path):
    ending = preload(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)")
    with separate_processes(tmp_path, 0) as (client, _, _, start):
        start("sound")
        client.wait_for_workers(1, timeout=60)
        with started_again(lambda name: start(name, "--preload", ending), "broken"):
            client.wait_for_workers(2, timeout=60)
            watching = Watching(until=lambda: len(watching.logged("worker lost")) >= 4)
            with pytest.raises(lnet.Interrupted):
                lnet.train(
                    plan_of(workers=2, replicas=2, steps=10**6),
                    images(),
                    directory=tmp_path / "run",
                    client=client,
                    reporter=watching,
                )
    assert watching.steps > 100


@contextmanager
def started_again(start, *names):
    """Processes of some names; one that ends is followed by another."""
    over = Event()

    def keep(name):
        while not over.is_set():
            process = start(name)
            while process.poll() is None and not over.wait(0.1):
                pass

    threads = [Thread(target=keep, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


# --- memory that is not there ----------------------------------------------------------------------------------------


def test_workers_without_memory_for_the_plan_are_given_no_roles_E761(tmp_path, monkeypatch):
    needs = (Need(10**15, 10**6),)
    monkeypatch.setattr(RunConfig, "needs", property(lambda self: needs))  # the scheduler is in this process
    config = launch._config
    monkeypatch.setattr(launch, "_config", lambda *a: replace(config(*a), no_worker_timeout=20.0))
    watching = Watching()
    with cluster(2, memory_limit=8 * 2**30) as client, pytest.raises(LnetError) as caught:
        lnet.train(
            plan_of(workers=2, replicas=2, tiles=Size(1, 1)),
            images(),
            directory=tmp_path / "run",
            client=client,
            reporter=watching,
        )
    text = render_all(caught.value.diagnostics, caught.value.source)
    assert re.match(
        r"error E761: no workers to go on with: 999,99\d,\d{3},\d{3},\d{3} bytes of memory are missing", text
    )
    rooms = [
        int(found.replace(",", "")) for found in re.findall(r"worker-\d has (\S+) bytes for its roles", text)
    ]
    assert len(rooms) == 2
    assert all(0 < there < 0.9 * 0.95 * 8 * 2**30 for there in rooms)
    assert watching.told("replica 0 waits: ") == watching.told("replica 1 waits: ") == 1


def test_a_worker_without_room_does_not_take_what_another_lost(tmp_path, monkeypatch):
    """Each has room for one replica: the other one lapses, and goes on when there is a worker again."""
    limit = 8 * 2**30
    needs = (Need(limit // 2, 10**6),)
    monkeypatch.setattr(RunConfig, "needs", property(lambda self: needs))
    watching = Striking(
        lambda: os.kill(process_of(client, "worker-1"), signal.SIGKILL),
        until=lambda: watching.told(" lapses: ") and computed().count("worker-1") >= 2,
    )

    def computed():
        said = [re.findall(r"is computed by (.*)", message) for message in watching.messages]
        return [name for found in said for names in found for name in names.split(", ")]

    with cluster(2, memory_limit=limit) as client, pytest.raises(lnet.Interrupted):
        lnet.train(
            plan_of(workers=2, replicas=2, tiles=Size(1, 1), steps=10**6),
            images(),
            directory=tmp_path / "run",
            client=client,
            reporter=watching,
        )
    roles = [event.replicas for event in watching.logged("roles")]
    computing = [[replica.workers[0] for replica in each if replica.workers[0]] for each in roles]
    assert all(len(set(names)) == len(names) for names in computing)


def test_a_nanny_that_cannot_tell_is_said_and_keeps_no_run_from_beginning(tmp_path, monkeypatch):
    def add(self, plugin=None, name=None):
        raise ImportError("this nanny has no such package")

    monkeypatch.setattr(Nanny, "plugin_add", add)
    watching = Watching()
    with cluster(1) as client:
        lnet.train(
            plan_of(workers=1, steps=3),
            images(),
            directory=tmp_path / "run",
            client=client,
            reporter=watching,
        )
    assert watching.told("why workers end will not be told by all nannies: ") == 1
