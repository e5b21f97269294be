"""Train on the photographs that scikit-image carries, and say what was learned: `make demo`."""

from __future__ import annotations

from pathlib import Path

from collect import UNSEEN, collect
from rich import box
from rich.console import Console
from rich.table import Table

import lnet
from lnet.cli.progress import reporter_for
from lnet.runtime.analysis.filters import flat, oriented_fraction
from lnet.runtime.analysis.reconstruction import reconstructions
from lnet.runtime.analysis.report import write_report

HERE = Path(__file__).parent
PATCHES = 500


def main() -> None:
    console = Console()
    collect(HERE / "images")
    collect(HERE / "unseen", (UNSEEN,))
    plan = lnet.compile(HERE / "model.lnet")
    console.print(plan.summary(), highlight=False, soft_wrap=True)
    run = lnet.train(plan, reporter=reporter_for(console))
    show_what_was_learned(run, console)
    console.print(f"report: {write_report(run, data=HERE / 'unseen')}", highlight=False, soft_wrap=True)


def show_what_was_learned(run: lnet.Run, console: Console) -> None:
    trained, untrained = run.network(), lnet.Network(run.plan)
    patches = run.samples(PATCHES, HERE / "unseen").images
    console.print(
        f"{PATCHES} patches of '{UNSEEN}', which it has not seen: squared error of reconstructions",
        soft_wrap=True,
    )
    errors = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    errors.add_column("stage")
    errors.add_column("reconstructs")
    for column in ("mean image", "untrained", "trained"):
        errors.add_column(column, justify="right")
    both = zip(reconstructions(trained, patches), reconstructions(untrained, patches), strict=True)
    for after, before in both:
        errors.add_row(after.objective, after.of, "1.000", f"{before.error:.3f}", f"{after.error:.3f}")
    console.print(errors, highlight=False)
    name = "V1.filter.weight"
    after, threshold = oriented_fraction(flat(trained.params[name]))
    before, _ = oriented_fraction(flat(untrained.params[name]))
    console.print(
        f"{after:.0%} of the filters in V1 are oriented, {before:.0%} were before training (oriented: the resultant "
        f"length of the Fourier energy's orientations is over {threshold:.2f}, as in 1% of random filters)",
        highlight=False,
        soft_wrap=True,
    )


if __name__ == "__main__":
    main()
