"""Commands that draw what neurons do: draw, invariance."""

from __future__ import annotations

import json
from pathlib import Path

import click

import lnet

from .bar import bar
from .options import Existing, check_place, json_option, say_skipped, write_file
from .program import main

seed_option = click.option("--seed", type=click.IntRange(0), default=0, help="Of all that is drawn by lot.")


@main.command()
@click.argument("directory", type=Existing)
@click.argument("neurons", nargs=-1, required=True, metavar="NEURON...")
@click.option("--data", metavar="SET", help="Real images to choose from, in place of the run's own.")
@click.option(
    "--samples",
    type=click.IntRange(1),
    help="Choose from so many samples of the run's images (default: one pass).",
)
@click.option("--top", type=click.IntRange(1), default=16, show_default=True, help="Real images to show.")
@click.option(
    "--starts", type=click.IntRange(1), default=8, show_default=True, help="Starts of the optimal stimulus."
)
@click.option(
    "--components",
    type=click.IntRange(0),
    default=300,
    show_default=True,
    help="Principal components of the run's images that the likely stimulus is made of; 0: none is drawn.",
)
@seed_option
@click.option("-o", "--output", type=Existing, metavar="PICTURE", help="Draw all side by side into one PNG.")
@json_option
def draw(
    directory: Path,
    neurons: tuple[str, ...],
    data: str | None,
    samples: int | None,
    top: int,
    starts: int,
    components: int,
    seed: int,
    output: Path | None,
    as_json: bool,
) -> None:
    """Draw what each NEURON of the run in DIRECTORY likes: 'V3.norm[4, 7, 2]' is layer, row, column, map.

    The real images that it answers to most, and what it answers to most, found by gradient ascent: of images that are as
    likely as those the run was trained on (the likely stimulus), and of all images with the mean norm of real ones (the
    optimal stimulus). Pictures are kept in the run and shown in its report.
    """
    from lnet.runtime.analysis.contact import png
    from lnet.runtime.analysis.draw import side_by_side

    if data is not None and samples is not None:
        raise click.UsageError("'--samples' counts the run's own images: leave it out, or '--data'")
    if output is not None:
        check_place(output)
    with bar():
        drawings = lnet.draw(lnet.open_run(directory), neurons, data, samples, top, starts, seed, components)
    say_skipped(drawings[0].record.figures["skipped"])
    if output is not None:
        write_file(output, png(side_by_side(drawings)))
    if as_json:
        click.echo(json.dumps([drawing.record.figures for drawing in drawings], indent=2))
        return
    for drawing in drawings:
        click.echo(f"{drawing.neuron}: {drawing.summary}")
        for path in drawing.record.files.values():
            click.echo(f"  {path}")


@main.command()
@click.argument("directory", type=Existing)
@click.argument("neuron")
@click.argument("data", metavar="SET")
@click.option("--label", help="The positives (default: of two labels the one that is not 'distractor').")
@click.option(
    "--count", type=click.IntRange(1), default=10, show_default=True, help="Positives to average over."
)
@seed_option
@json_option
def invariance(
    directory: Path, neuron: str, data: str, label: str | None, count: int, seed: int, as_json: bool
) -> None:
    """Measure how NEURON's response changes when images of SET are moved, scaled and turned.

    SET has its labels as folder names. The mean response to positives drawn by lot is scaled: 1 undistorted, 0 for the
    mean distractor. The plot is kept in the run in DIRECTORY and shown in its report.
    """
    with bar():
        found = lnet.invariance(lnet.open_run(directory), neuron, data, label, count, seed)
    say_skipped(found.record.figures["skipped"])
    if as_json:
        click.echo(json.dumps(found.record.figures, indent=2))
        return
    click.echo(f"{found.neuron}: {found.summary}")
    for curve in found.curves:
        click.echo(f"{curve.distortion}, {curve.unit}")
        click.echo("  " + " ".join(f"{amount:7.3g}" for amount in curve.amounts))
        click.echo("  " + " ".join(f"{mean:7.2f}" for mean in curve.mean))
    for path in found.record.files.values():
        click.echo(f"  {path}")
