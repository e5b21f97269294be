"""What a cluster of this machine's own processes gets done while they are killed and stopped: python benchmarks/soak.py

A fault every half a minute by turns (tests/runtime/cluster/soaking.py), each worker with its own share of a processor:
goodput is the useful steps a second among faults, over the steps a second before them in the same run. A fault's time
without a step, of the replica that stood still for longest, stands beside what lease and failure timeout leave.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median

from timing import machine

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "runtime" / "cluster"))

from soaking import KINDS, Soaked, bound, counted, soak

LAYOUTS = {
    "2 replicas of 1x2 tiles": {"workers": 4, "replicas": 2},
    "8 replicas of 1 tile": {"workers": 8, "replicas": 8},
}
RUNS = {
    ("2 replicas of 1x2 tiles", ("kill",)): 0.95,
    ("2 replicas of 1x2 tiles", ("stop",)): 0.85,
    ("2 replicas of 1x2 tiles", KINDS): None,
    ("8 replicas of 1 tile", ("kill",)): 0.97,
}
"""Layouts and kinds of faults, and the goal for goodput."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=5.0, help="of faults")
    parser.add_argument("--calm", type=float, default=30.0, help="seconds before it")
    parser.add_argument("--every", type=float, default=30.0, help="seconds from one fault to the next")
    parser.add_argument("--cores", type=float, default=1.4, help="of processors, shared by all workers")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--staleness", default="none", help="0: synchronous")
    parser.add_argument("runs", nargs="*", type=int, default=range(len(RUNS)), help="by number, from 0")
    asked = parser.parse_args()
    print(machine())
    for number in asked.runs:
        (layout, kinds), goal = list(RUNS.items())[number]
        of = LAYOUTS[layout]
        share = asked.cores / of["workers"]
        with tempfile.TemporaryDirectory() as folder:
            soaked = soak(
                Path(folder) / "run",
                asked.calm,
                60 * asked.minutes,
                asked.every,
                kinds,
                asked.seed,
                asked.staleness,
                {**of, "cores": share},
            )
            end = soaked.run.events()[-1].name
        shares = f"{share:.2f} cores each" if soaked.shared else "no shares of their own"
        print(
            f"\n{layout}, {of['workers']} workers with {shares}, {asked.minutes:g} minutes, seed {asked.seed}"
        )
        show(soaked, of["workers"], goal)
        print(f"stopped, and resumed in one process: {end}", flush=True)


def show(soaked: Soaked, workers: int, goal: float | None) -> None:
    print(
        f"goodput {soaked.goodput:.2f}"
        + (f" (goal {goal})" if goal else "")
        + f": {soaked.struck:.1f} useful steps a second, {soaked.calm:.1f} undisturbed"
    )
    print(f"{'fault':8}{'role hit':10}{'times':>6}{'median s':>10}{'longest s':>11}{'bound s':>9}")
    for (kind, role), count in sorted(counted(soaked.faults).items()):
        still = [fault.still for fault in soaked.faults if (fault.kind, fault.role) == (kind, role)]
        print(f"{kind:8}{role:10}{count:6}{median(still):10.1f}{max(still):11.1f}{bound(kind, workers):9.1f}")
    print(
        f"acknowledged updates lost: {soaked.lost}; of shards that had a standby: {len(soaked.unexplained)}"
    )


if __name__ == "__main__":
    main()
