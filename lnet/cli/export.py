"""The command that exports a trained network to other programs: export."""

from __future__ import annotations

from pathlib import Path

import click

import lnet

from .options import Existing, Output, say_skipped
from .program import main


@main.command()
@click.argument("directory", type=Existing)
@click.option("-o", "--output", type=Output, metavar="FILE", help="Weights: a .npz or .safetensors file.")
@click.option("--activations", metavar="SET", help="Also write the responses to a set of images into FILE.")
@click.option(
    "--layer", "layers", multiple=True, metavar="LAYER", help="Only the responses of LAYER; may be repeated."
)
@click.option(
    "--stablehlo",
    type=Output,
    metavar="PROGRAM",
    help="The computation: a jax.export file.",
)
def export(
    directory: Path,
    output: Path | None,
    activations: str | None,
    layers: tuple[str, ...],
    stablehlo: Path | None,
) -> None:
    """Export a run's weights, responses or computation.

    Arrays have named axes, and nothing is pickled. The computation takes weights by name and images [batch, row, column,
    channel] in batches of any size, on CPU and CUDA.
    """
    from lnet.runtime.analysis.images import open_set

    if output is None and stablehlo is None:
        raise click.UsageError("nothing to write: name a file with '-o' or '--stablehlo'")
    if activations is not None and output is None:
        raise click.UsageError("'--activations' needs a file to write into: name one with '-o'")
    if layers and activations is None:
        raise click.UsageError("'--layer' chooses among responses: name a set of images with '--activations'")
    run = lnet.open_run(directory)
    network = run.network()
    if output is not None:
        images = None if activations is None else open_set(run, activations)
        lnet.export(network, output, images, layers)
        say_skipped({} if images is None else images.skipped)
        click.echo(str(output))
    if stablehlo is not None:
        lnet.export_program(network, stablehlo)
        click.echo(str(stablehlo))
