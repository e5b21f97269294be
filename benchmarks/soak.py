"""What a cluster of this machine's own processes gets done while they are killed and stopped: python benchmarks/soak.py

Strikes by a seed, every two to six seconds (tests/runtime/cluster/soaking.py): goodput is the useful steps a second in
disorder, over the steps a second before it in the same run.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from timing import machine

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "runtime" / "cluster"))

from soaking import soak


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=5.0, help="of disorder")
    parser.add_argument("--calm", type=float, default=30.0, help="seconds before it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--staleness", default="none", help="0: synchronous")
    asked = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(Path(folder) / "compiled")
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"  # workers that come back start at once
        soaked = soak(Path(folder) / "run", asked.calm, 60 * asked.minutes, asked.seed, asked.staleness)
        end = soaked.run.events()[-1].name
    kinds = ", ".join(f"{kind} {count}" for kind, count in soaked.strikes.most_common())
    print(f"{asked.minutes:g} minutes, seed {asked.seed}: {sum(soaked.strikes.values())} strikes ({kinds})")
    print(
        f"goodput {soaked.goodput:.2f}: {soaked.struck:.1f} useful steps a second, {soaked.calm:.1f} undisturbed"
    )
    print(f"longest stand-still {soaked.still:.1f} s")
    print(
        f"acknowledged updates lost: {soaked.lost}; of shards that had a standby: {len(soaked.unexplained)}"
    )
    print(f"stopped, and resumed in one process: {end}")


if __name__ == "__main__":
    main()
