"""Train the sheet with and without the wish for smoothness, and say how much neighbours resemble each other."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console

import lnet
from lnet.cli.progress import reporter_for
from lnet.runtime.analysis.filters import flat, oriented_fraction
from lnet.runtime.analysis.neighbours import neighbour_similarity

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
        vectors = weight.reshape(*weight.shape[:2], -1, weight.shape[-1])
        resemblance = f"cosine of neighbouring filters {neighbour_similarity(vectors)[0]:.2f}"
        console.print(
            f"smoothness {smoothness:,}: {resemblance}, {share:.0%} of them oriented", highlight=False
        )


if __name__ == "__main__":
    main()
