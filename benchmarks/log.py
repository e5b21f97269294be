"""What the log of a long run takes: bytes, processor time to write and to read, memory of the report, thinned or not.

"/ json" is the time of reading the events over that of `json.loads` of the same lines.

    .venv/bin/python benchmarks/log.py [STEPS]

The losses are those of a network of three stages; on a cluster the steps are those of five replicas of 169 tiles together,
a checkpoint every 1,000 steps.
"""

import json
import os
import platform
import resource
import sys
import tempfile
from collections import deque
from multiprocessing import get_context
from pathlib import Path
from random import Random
from time import process_time

from lnet.runtime.analysis.history import history_of
from lnet.runtime.store.events import CheckpointWritten, ClusterBegun, ClusterStepDone, StepDone
from lnet.runtime.store.log import EventLog, stream_events
from lnet.runtime.store.owner import own
from lnet.runtime.store.sums import Slowest

STAGES = ("V1.learn", "V2.learn", "V3.learn")


def steps(count, spread):
    draw = Random(0)
    if spread:
        yield ClusterBegun("tcp://10.0.0.1:8786", 845, 5, "13x13", "standby")
    for number in range(1, count + 1):
        terms = {f"{s}.{t}": 100 * draw.random() for s in STAGES for t in ("reconstruction", "sparsity")}
        objectives = {stage: 200 * draw.random() for stage in STAGES}
        common = {
            "step": number,
            "images": 100 * number,
            "loss": sum(objectives.values()),
            "terms": terms,
            "objectives": objectives,
            "seconds": round(draw.random(), 6),
            "waited": round(draw.random() / 9, 6),
        }
        slowest = Slowest(number % 169, draw.random(), draw.random() / 9, draw.random() / 10)
        where = {"replica": number % 5, "generation": 1, "bytes": 123_456_789, "traffic": 987_654_321}
        yield ClusterStepDone(**common, **where, slowest=slowest) if spread else StepDone(**common)
        if number % 1000 == 0:
            yield CheckpointWritten(number // (5 if spread else 1), f"step-{number:08}-1.shards")


def taken(work):
    """Return the processor time of a function, and what it returns."""
    began = process_time()
    found = work()
    return process_time() - began, found


def read(path):
    """Print what reading costs in a process of its own: as events, over `json.loads` of the lines alone, and as a report."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report, history = taken(lambda: history_of(stream_events(path)))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    events, _ = taken(lambda: deque(stream_events(path), maxlen=0))
    with path.open("rb") as lines:
        plain, _ = taken(lambda: deque(map(json.loads, lines), maxlen=0))
    print(f"{events:9.1f} s {events / plain:6.2f} {report:8.1f} s {(most - before) / 1024:7.0f} MiB", end="")
    print(f"   {len(history.steps):,} steps")


def main(count):
    cores = os.cpu_count()
    print(
        f"{count:,} steps; {platform.machine()}, {cores} cores, load {os.getloadavg()[0]:.1f}, processor time"
    )
    print(f"{'':24}{'bytes':>15} {'write':>10} {'read':>11} {'/ json':>6} {'report':>10} {'memory':>11}")
    for spread in (False, True):
        for thin in (False, True):
            with tempfile.TemporaryDirectory() as folder:
                here = Path(folder)
                began = process_time()
                log = EventLog(here / "events.jsonl", owner=own(here, "a" * 32) if thin else None)
                for event in steps(count, spread):
                    log.add(event)
                log.close()
                took = process_time() - began
                name = f"{'5 x 169' if spread else 'one process'}, {'thinned' if thin else 'whole'}"
                size = (here / "events.jsonl").stat().st_size
                print(f"{name:24}{size:15,} {took:8.1f} s ", end="", flush=True)
                reader = get_context("spawn").Process(target=read, args=(here / "events.jsonl",))
                reader.start()
                reader.join()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
