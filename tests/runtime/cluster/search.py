"""Looks for seeds of the protocol's simulator that reach a wrong state, and counts what was tried.

    python tests/runtime/cluster/search.py [--seconds 600] [--first 0] [--kinds disturbed slept ...]
    python tests/runtime/cluster/search.py --lines 400     which lines of the protocol so many seeds of each kind reach
    python tests/runtime/cluster/search.py --replay disturbed 1234

A seed of a kind is always the same run at the same commit. Ends with 1 if anything was found.
"""

import argparse
import os
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import coverage
from disorder import among_a_hundred, disturbed, drained, slept, undisturbed
from parted import parted

from lnet.runtime.cluster import protocol

BLOCK = 20
"""Seeds of a kind that a process tries before it says what it found."""


def synchronous_as_undisturbed(run):
    """Check besides that a synchronous run ends as one that nothing happens to."""
    watch, states = run
    spec = watch.cluster.spec
    if spec.synchronous:
        expected = undisturbed(spec)
        assert [state.fold for state in states] == [expected] * spec.shards
    return watch


KINDS = {
    "disturbed": lambda seed: synchronous_as_undisturbed(disturbed(seed)),
    "slept": lambda seed: slept(seed)[0],
    "drained": lambda seed: drained(seed)[0],
    "parted": lambda seed: parted(seed)[0],
    "hundred": lambda seed: synchronous_as_undisturbed(among_a_hundred(seed)),
}
"""Crashes of workers and of the whole cluster, stops, one-way cuts and full disks; machines that sleep; workers drained
while messages get lost; cut pairs; twenty faults among a hundred workers. All clocks drift, most lose messages."""
OFTEN = ("disturbed", "disturbed", "disturbed", "slept", "drained", "parted")


@dataclass
class Tried:
    """`wrong`: kind, seed and what was violated."""

    seeds: Counter = field(default_factory=Counter)
    seconds: float = 0.0
    faults: Counter = field(default_factory=Counter)
    wrong: list = field(default_factory=list)

    def add(self, other):
        self.seeds += other.seeds
        self.seconds += other.seconds
        self.faults += other.faults
        self.wrong += other.wrong


def tried(kind, seeds):
    """Run some seeds of a kind."""
    found = Tried()
    for seed in seeds:
        found.seeds[kind] += 1
        try:
            watch = KINDS[kind](seed)
        except AssertionError as error:
            found.wrong.append((kind, seed, str(error)))
        else:
            found.seconds += watch.cluster.time
            found.faults += watch.struck
    return found


def search(kinds, first, seconds):
    """Try seeds in all processors until the time is over; say at once what is wrong."""
    ends, everything, next_of = time.monotonic() + seconds, Tried(), dict.fromkeys(KINDS, first)
    with ProcessPoolExecutor() as processes:
        waiting = set()
        for kind in (kinds[number % len(kinds)] for number in count()):
            size = 1 if kind == "hundred" else BLOCK
            waiting.add(processes.submit(tried, kind, range(next_of[kind], next_of[kind] + size)))
            next_of[kind] += size
            while len(waiting) >= 2 * (os.cpu_count() or 1):
                for done in [each for each in waiting if each.done()]:
                    waiting.remove(done)
                    say(everything, done.result())
                time.sleep(0.01)
            if time.monotonic() >= ends:
                break
        for last in waiting:
            say(everything, last.result())
    return everything


def say(everything, found):
    everything.add(found)
    for kind, seed, what in found.wrong:
        print(f"{kind} {seed}: {what}", flush=True)


def report(found, first, seconds):
    seeds = ", ".join(f"{kind} {number:,}" for kind, number in found.seeds.items())
    faults = ", ".join(f"{name.replace('_', ' ')} {number:,}" for name, number in found.faults.most_common())
    print(f"commit {commit()}, {seconds:,.0f} s; of each kind the seeds from {first} on: {seeds}")
    print(f"seeds: {found.seeds.total():,}")
    print(f"simulated: {found.seconds / 3600:,.1f} hours")
    print(f"faults survived: {found.faults.total():,} ({faults})")
    print(f"wrong states found: {len(found.wrong):,}")


def commit():
    said = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True)
    return said.stdout.strip() or "unknown"


def lines(kinds, seeds):
    """Print which lines of the protocol some seeds of each kind do not reach."""
    folder = Path(protocol.__file__).parent
    measured = coverage.Coverage(data_file=None, include=[f"{folder.resolve()}/*"])
    measured.start()
    for kind in kinds:
        tried(kind, range(1 if kind == "hundred" else seeds))
    measured.stop()
    reached = total = 0
    for path in sorted(folder.resolve().glob("*.py")):
        _, statements, _, missing, listed = measured.analysis2(str(path))
        reached, total = reached + len(statements) - len(missing), total + len(statements)
        if missing and len(missing) < len(statements):
            print(f"{path.name:22} {len(statements) - len(missing):4} of {len(statements):4}; not {listed}")
    print(f"lines of the protocol reached: {reached:,} of {total:,}, {reached / total:.1%}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=OFTEN)
    parser.add_argument("--lines", type=int, metavar="SEEDS")
    parser.add_argument("--replay", nargs=2, metavar=("KIND", "SEED"))
    asked = parser.parse_args()
    if asked.replay:
        kind, seed = asked.replay
        KINDS[kind](int(seed))
        return
    if asked.lines:
        lines(sorted({*asked.kinds, "hundred"}), asked.lines)
        return
    began = time.monotonic()
    found = search(asked.kinds, asked.first, asked.seconds)
    report(found, asked.first, time.monotonic() - began)
    sys.exit(bool(found.wrong))


if __name__ == "__main__":
    main()
