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
    "--torch", type=Output, metavar="PROGRAM.py", help="PyTorch: source, and its weights beside it."
)
@click.option("--onnx", type=Output, metavar="GRAPH.onnx", help="ONNX: the computation, with its weights.")
@click.option(
    "--batch", type=click.IntRange(1), metavar="N", help="Images in a batch of GRAPH (default: any)."
)
@click.option(
    "--stablehlo", type=Output, metavar="PROGRAM", help="JAX: the computation, as jax.export has it."
)
def export(
    directory: Path,
    output: Path | None,
    activations: str | None,
    layers: tuple[str, ...],
    torch: Path | None,
    onnx: Path | None,
    batch: int | None,
    stablehlo: Path | None,
) -> None:
    """Export a run's weights, responses or computation.

    Arrays have named axes, and nothing is pickled. Programs of PyTorch and ONNX take prepared images [batch, channel, row,
    column]. That of JAX takes weights by name and images [batch, row, column, channel], on CPU and CUDA. ONNX needs: pip
    install 'lnetc[onnx]'.
    """
    from lnet.runtime.analysis.images import open_set

    if output is None and torch is None and onnx is None and stablehlo is None:
        raise click.UsageError(
            "nothing to write: name a file with '-o', '--torch', '--onnx' or '--stablehlo'"
        )
    if batch is not None and onnx is None:
        raise click.UsageError("'--batch' needs '--onnx GRAPH'")
    if activations is not None and output is None:
        raise click.UsageError("'--activations' needs a file to write into: name one with '-o'")
    if layers and activations is None:
        raise click.UsageError("'--layer' chooses among responses: name a set of images with '--activations'")
    if torch is not None and output == torch.with_suffix(".safetensors"):
        raise click.UsageError(f"'{output}' is the file of '{torch}', too: name another with '-o'")
    run = lnet.open_run(directory)
    network = run.network()
    if output is not None:
        images = None if activations is None else open_set(run, activations)
        lnet.export(network, output, images, layers)
        say_skipped({} if images is None else images.skipped)
        click.echo(str(output))
    if torch is not None:
        lnet.export_torch(network, torch)
        click.echo(f"{torch}\n{torch.with_suffix('.safetensors')}")
    if onnx is not None:
        lnet.export_onnx(network, onnx, batch)
        click.echo(str(onnx))
    if stablehlo is not None:
        lnet.export_program(network, stablehlo)
        click.echo(str(stablehlo))
