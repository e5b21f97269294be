"""The command that compares representations: rsa."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

import lnet

from .bar import bar
from .options import json_option, say_skipped
from .program import main
from .several import runs_first

if TYPE_CHECKING:
    from lnet.runtime.analysis.rsa.rsa import Rsa


@main.command()
@click.argument("arguments", metavar="RUN... LAYER... SET", nargs=-1, required=True)
@click.option(
    "--by",
    type=click.Choice(["labels", "images"]),
    default="labels",
    show_default=True,
    help="Conditions: the labels, by the mean responses to their images, or the images themselves.",
)
@click.option(
    "--rdm",
    type=click.Choice(["correlation", "euclidean", "crossnobis"]),
    default="correlation",
    show_default=True,
    help="Dissimilarity of two conditions.",
)
@click.option(
    "--compare",
    type=click.Choice(["spearman", "rho-a", "tau-a", "cosine", "pearson"]),
    default="spearman",
    show_default=True,
    help="How two matrices of dissimilarities are compared.",
)
@click.option(
    "--against",
    multiple=True,
    metavar="FILE",
    help="Dissimilarities of your own (.npy, .npz, .csv), of one or several subjects; may be repeated.",
)
@json_option
def rsa(
    arguments: tuple[str, ...], by: str, rdm: str, compare: str, against: tuple[str, ...], as_json: bool
) -> None:
    """Compare the representations of layers, runs and brains.

    Representational similarity analysis: a matrix of how much the responses of each LAYER differ between the conditions of
    SET. Matrices of layers, of runs, and of brains or behaviour are compared with each other, with noise ceilings.
    Arrays and pictures are kept in the (first) RUN and shown in its report. It needs: pip install 'lnetc[rsa]'.
    """
    directories, rest = runs_first(arguments)
    if len(rest) < 2:
        raise click.UsageError("expected RUN... LAYER... SET: a layer or the set is missing")
    *layers, data = rest
    with bar():
        found = lnet.rsa(directories, layers, data, by=by, rdm=rdm, compare=compare, against=against)
    say_skipped(found.record.figures["skipped"])
    click.echo(json.dumps(found.record.figures, indent=2) if as_json else _text(found, by, rdm, compare))


def _text(found: Rsa, by: str, rdm: str, compare: str) -> str:
    """Return a table of likenesses, a row for each layer, and of noise ceilings."""
    from lnet.compiler.text_table import TextTable, printed, terminal_width

    layers, files = list(found.rdms), [each.path for each in found.against]
    rows = [
        (
            layer,
            *(f"{value:.3f}" for value in found.likeness[place]),
            *(f"{of.likeness[place].mean():.3f}" for of in found.against),
        )
        for place, layer in enumerate(layers)
    ]
    if any(of.ceiling for of in found.against):
        ends = (
            "" if of.ceiling is None else f"{of.ceiling[0]:.3f}..{of.ceiling[1]:.3f}" for of in found.against
        )
        rows.append(("noise ceiling", *("" for _ in layers), *ends))
    heading = f"{len(found.conditions):,} {by}; dissimilarity {rdm}, compared by {compare}"
    table = TextTable(("layer",), (*layers, *files), tuple(rows))
    kept = (f"  {path}" for path in found.record.files.values())
    return "\n".join((printed((heading, *found.sentences, table), terminal_width()), *kept))
