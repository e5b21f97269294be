"""Machines that are network namespaces of this one, each joined to each by a cable of its own, and a run on them.

    head ---- w0          head: the scheduler and the command; w0, w1, ...: one worker each
      | \\   / |           10.177.0.1, .2, ...: addresses of the machines; every route to one goes over one cable
      |   X   |           a link is cut by what a broken network does, never by telling lnet anything
      | /   \\ |
     w2 ---- w1

Needs root and `ip`. Nothing of it touches this machine's own network.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from itertools import combinations
from pathlib import Path

import numpy as np
from PIL import Image

PROGRAM = """
stage s() {
    filter: local(5, maps = 3)
    pool: l2pool(3)
    norm: lcn(3)
    learn: rica(sparsity = 0.3)
}
network small { image: input(16x16x1); V1: s() }
train {
    data = frames("images")
    update = adagrad(rate = 0.05)
    batch = 4
    steps = 1000000
    staleness = none
}
"""
WAIT = """
import sys
from distributed import Client
Client(sys.argv[1], timeout=120).wait_for_workers(int(sys.argv[2]), 120)
"""
CLOSE = """
import sys
from distributed import Client
async def close(dask_worker):
    pool = dask_worker.rpc
    hosts = [plugin for plugin in dask_worker.plugins.values() if hasattr(plugin, "lines")]
    lines = [line.comm for host in hosts for line in host.lines.lines]
    for comm in lines + [comm for found in (*pool.available.values(), *pool.occupied.values()) for comm in found]:
        if comm.peer_address != dask_worker.scheduler.address:
            comm.abort()
Client(sys.argv[1], timeout=120).run(close)
"""
NOWHERE = "02:00:00:00:de:ad"
"""A network card that nobody has."""
NOBODY = "nobody"


def allowed():
    """Whether this process may make network namespaces."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    name = f"lnet-{os.getpid()}-try"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True).returncode == 0
    if made:
        subprocess.run(["ip", "netns", "del", name], check=True)
    return made


class Mesh:
    """`names`: head, w0, w1, ...; made by `mesh`. One more is joined to all, and nobody: it refuses what it is sent."""

    def __init__(self, workers):
        self.names = ["head", *(f"w{number}" for number in range(workers)), NOBODY]

    @property
    def workers(self):
        return self.names[1:-1]

    def space(self, name):
        return f"lnet-{os.getpid()}-{name}"

    def address(self, name):
        return f"10.177.0.{self.names.index(name) + 1}"

    def ip(self, name, *commands):
        """Let `ip` do some things in a namespace."""
        batch = ["ip", "-n", self.space(name), "-batch", "-"]
        subprocess.run(batch, input="\n".join(commands), text=True, check=True, stdout=subprocess.DEVNULL)

    def hosts(self, name):
        """The file of names that a machine knows: `ip netns exec` puts it in place of /etc/hosts."""
        return Path("/etc/netns") / self.space(name) / "hosts"

    def begin(self):
        known = "".join(f"{self.address(name)} {name}.mesh\n" for name in self.names)
        for name in self.names:
            subprocess.run(["ip", "netns", "add", self.space(name)], check=True)
            self.hosts(name).parent.mkdir(parents=True)
            self.hosts(name).write_text(f"127.0.0.1 localhost\n{known}")
            self.ip(name, "link set lo up", f"addr add {self.address(name)}/32 dev lo")
        for a, b in combinations(self.names, 2):
            self.ip(a, f"link add to-{b} type veth peer name to-{a} netns {self.space(b)}")
            for here, there in ((a, b), (b, a)):
                whole_packets = (
                    f"link set to-{there} gso_max_segs 1"  # so that none is too large before it is sent
                )
                self.ip(here, whole_packets, f"link set to-{there} up", self._route(here, there))

    def _route(self, here, there, over="", more=""):
        return (
            f"route replace {self.address(there)}/32 dev to-{over or there} src {self.address(here)} {more}"
        )

    def end(self):
        for name in self.names:
            subprocess.run(["ip", "netns", "del", self.space(name)], capture_output=True)
            shutil.rmtree(self.hosts(name).parent, ignore_errors=True)

    def start(self, name, *command, **settings):
        """Start a process on a machine; `ip netns exec` becomes it."""
        inside = ["ip", "netns", "exec", self.space(name), *map(str, command)]
        return subprocess.Popen(inside, **settings)

    # --- what happens to links; `mend` undoes all --------------------------------------------------------------------

    def one_way(self, a, b):
        """What `a` sends to `b` is gone, without a word; the other way all is well."""
        self.ip(a, f"neigh replace {self.address(b)} lladdr {NOWHERE} nud permanent dev to-{b}")

    def both_ways(self, a, b):
        """What either sends to the other is gone."""
        self.one_way(a, b)
        self.one_way(b, a)

    def large_packets(self, a, b):
        """Large packets from `a` to `b` are gone: the other end takes no more than 600 bytes, and does not say so."""
        self.ip(b, f"link set to-{a} mtu 600", self._route(b, a, more="advmss 1460"))

    def reset(self, a, b):
        """Connections between the two are refused, those that there are reset."""
        self.ip(NOBODY, *(f"addr replace {self.address(name)}/32 dev lo" for name in (a, b)))
        self.ip(a, self._route(a, b, over=NOBODY))
        self.ip(b, self._route(b, a, over=NOBODY))

    def forget(self, a, b):
        """`a` finds no address for the name of `b` any more."""
        names = self.hosts(a).read_text().splitlines(keepends=True)
        self.hosts(a).write_text("".join(line for line in names if f" {b}.mesh" not in line))

    def mend(self, a, b):
        """Let a link be as it was."""
        for here, there in ((a, b), (b, a)):
            anew = (
                f"link set to-{there} down",
                f"link set to-{there} mtu 1500 up",
            )  # forgets the cards of others
            self.ip(here, *anew, self._route(here, there))


@contextmanager
def mesh(workers):
    """Give a mesh of a head and some workers, taken down afterwards."""
    found = Mesh(workers)
    try:
        found.begin()
        yield found
    finally:
        found.end()


class Training:
    """A run on a mesh: a scheduler, workers and the command, and what its log says."""

    def __init__(self, net, folder, by_name=False):
        self.net, self.folder, self.by_name = net, folder, by_name
        self.log, self.events = folder / "run" / "events.jsonl", []

    @contextmanager
    def begun(self, **layout):
        """Train until the block ends, which begins when all replicas have made some steps."""
        self._furnish(**layout)
        with ExitStack() as processes:
            self._start(processes)
            self.wait(lambda: all(len(self.steps(r)) > 20 for r in range(self.replicas)), 240)
            yield self
            self.command.send_signal(signal.SIGINT)
            assert self.command.wait(120) == 130

    def _furnish(self, workers, replicas, tiles):
        images = self.folder / "images"
        images.mkdir()
        rng = np.random.default_rng(0)
        for number in range(20):
            smooth = rng.normal(size=(8, 8)).repeat(2, 0).repeat(2, 1)
            Image.fromarray((127 + 50 * smooth).clip(0, 255).astype(np.uint8)).save(images / f"{number}.png")
        (self.folder / "small.lnet").write_text(PROGRAM)
        self.replicas = replicas
        layout = ["--workers", workers, "--replicas", replicas, "--tiles", tiles]
        command = [sys.executable, "-m", "lnet", "compile", "small.lnet", *map(str, layout)]
        subprocess.run(command, cwd=self.folder, check=True, stdout=subprocess.DEVNULL)

    @property
    def scheduler(self):
        return f"tcp://{self.net.address('head')}:8786"

    def close_connections(self):
        """Close all connections between workers."""
        assert self.net.start("head", sys.executable, "-c", CLOSE, self.scheduler).wait(120) == 0

    def _start(self, processes):
        python, here = sys.executable, ["--host", self.net.address("head")]
        dask = [python, "-m", "distributed.cli.dask_scheduler", *here, "--dashboard-address", ":0"]
        processes.enter_context(self._process("head", *dask))
        for name in self.net.workers:
            command = [
                python,
                "-m",
                "distributed.cli.dask_worker",
                self.scheduler,
                "--nthreads",
                1,
                "--no-nanny",
            ]
            where = ["--host", self.net.address(name)]
            if self.by_name:
                where = [
                    "--listen-address",
                    "tcp://0.0.0.0:9000",
                    "--contact-address",
                    f"tcp://{name}.mesh:9000",
                ]
            more = ["--name", name, "--no-dashboard", *where]
            processes.enter_context(self._process(name, *command, *more))
        count = len(self.net.workers)
        assert self.net.start("head", python, "-c", WAIT, self.scheduler, count).wait(240) == 0
        run = [python, "-m", "lnet", "run", "small.plan", "-d", "run", "--cluster", self.scheduler]
        self.command = processes.enter_context(self._process("head", *run, quiet=False))

    @contextmanager
    def _process(self, name, *command, quiet=True):
        out = subprocess.DEVNULL if quiet else None
        process = self.net.start(name, *command, cwd=self.folder, stdout=out, stderr=out)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    # --- what is seen ------------------------------------------------------------------------------------------------

    def read(self):
        """Read what has been logged so far, but for a line that is being written."""
        if self.log.exists():
            text = self.log.read_text()
            self.events = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
        return self.events

    def steps(self, replica):
        """When a replica made its steps."""
        return [e["time"] for e in self.read() if e["event"] == "step" and e["replica"] == replica]

    def noted(self, words, since=0.0):
        """What was said with some words in it since a time."""
        notes = [e for e in self.read() if e["event"] == "note" and e["time"] >= since]
        return [note["message"] for note in notes if words in note["message"]]

    def roles(self):
        """The newest roles."""
        return next(event for event in reversed(self.read()) if event["event"] == "roles")

    def wait(self, until, seconds):
        """Wait for something to hold."""
        deadline = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < deadline, (
                self.log.read_text()[-3000:] if self.log.exists() else "no run"
            )
            assert self.command.poll() is None, "the command has ended"
            time.sleep(0.1)
