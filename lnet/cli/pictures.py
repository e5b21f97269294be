"""Commands that draw the responses of neurons: draw, invariance."""

from __future__ import annotations

import json
from pathlib import Path

import click

import lnet

from .bar import bar
from .options import Existing, Output, json_option, say_skipped, write_file
from .program import main

seed_option = click.option("--seed", type=click.IntRange(0), default=0, help="Random seed.")


@main.command()
@click.argument("directory", type=Existing)
@click.argument("neurons", nargs=-1, required=True, metavar="NEURON...")
@click.option("--data", metavar="SET", help="Images to choose from, instead of the run's own.")
@click.option(
    "--samples",
    type=click.IntRange(1),
    help="Number of samples of the run's images to choose from (default: one pass).",
)
@click.option(
    "--top", type=click.IntRange(1), default=16, show_default=True, help="Number of real images to show."
)
@click.option(
    "--starts",
    type=click.IntRange(1),
    default=8,
    show_default=True,
    help="Random starts of the gradient ascent.",
)
@click.option(
    "--components",
    type=click.IntRange(0),
    default=300,
    show_default=True,
    help="Principal components of the likely stimulus; 0: leave it out.",
)
@seed_option
@click.option(
    "-o", "--output", type=Output, metavar="PICTURE", help="One PNG with all pictures side by side."
)
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
    """Draw the images that neurons respond to most.

    A NEURON is a layer, row, column and map: 'V3.norm[4, 7, 2]'.

    Shows the real images with the strongest responses, and two stimuli found by gradient ascent: the likely stimulus,
    the best among images as likely as the training images, and the optimal stimulus, the best of all images with the mean
    norm of real ones. Pictures are kept in the run and shown in its report.
    """
    from lnet.runtime.analysis.contact import png
    from lnet.runtime.analysis.draw import side_by_side

    if data is not None and samples is not None:
        raise click.UsageError("'--samples' counts the run's own images: leave it out, or '--data'")
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
@click.option(
    "--label", help="Positive label (default: the other one, if there are two and one is 'distractor')."
)
@click.option(
    "--count",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="Number of positives to average over.",
)
@seed_option
@json_option
def invariance(
    directory: Path, neuron: str, data: str, label: str | None, count: int, seed: int, as_json: bool
) -> None:
    """Measure a neuron's invariance to changes of its image.

    SET has its labels as folder names. The mean response to random positives is normalised: 1 for undistorted images, 0 for
    the mean distractor. The plot is kept in the run in DIRECTORY and shown in its report.
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
