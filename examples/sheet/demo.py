"""Train the sheet with and without the wish for smoothness, and say how much neighbours resemble each other."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

import lnet
from lnet.runtime.analysis.filters import flat, oriented_fraction
from lnet.runtime.progress import reporter_for

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "photographs"))
from collect import collect  # noqa: E402


def main() -> None:
    console = Console()
    collect(HERE / "images")
    for smoothness in (0, 1000):
        plan = lnet.compile(HERE / "model.lnet", set={"let.smoothness": smoothness})
        run = lnet.train(plan, reporter=reporter_for(console))
        weight = run.network().params["V1.weight"]
        share, _ = oriented_fraction(flat(weight))
        resemblance = f"cosine of neighbouring filters {resemblance_of_neighbours(weight):.2f}"
        console.print(
            f"smoothness {smoothness:,}: {resemblance}, {share:.0%} of them oriented", highlight=False
        )


def resemblance_of_neighbours(weight: NDArray[np.floating]) -> float:
    """Return the mean cosine of the filters of one map at positions side by side or one above the other."""
    filters = weight.reshape(*weight.shape[:2], -1, weight.shape[-1])
    filters = filters / np.linalg.norm(filters, axis=2, keepdims=True)
    beside = (filters[:, 1:] * filters[:, :-1]).sum(2)
    below = (filters[1:] * filters[:-1]).sum(2)
    return float(np.concatenate([beside.ravel(), below.ravel()]).mean())


if __name__ == "__main__":
    main()
