"""Commands that analyse a trained run: report, probe."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click
from click.core import ParameterSource

import lnet

from .bar import bar
from .options import Existing, Output, json_option
from .places import places_text
from .program import main
from .runs import client_of


@main.command()
@click.argument("directory", type=Existing)
@click.option(
    "-o", "--output", type=Output, metavar="PAGE", help="File to write (default: report.html in the run)."
)
@click.option("--data", metavar="PATH", help="Images to reconstruct, instead of the training images.")
def report(directory: Path, output: Path | None, data: str | None) -> None:
    """Write an HTML report about a run.

    One file with the network, losses, filters, reconstructions, analyses and settings of the run in DIRECTORY.
    """
    from lnet.runtime.analysis.report import write_report
    from lnet.runtime.process.given_back import keep_little

    keep_little()
    with bar():
        page = write_report(lnet.open_run(directory), output, data)
    click.echo(str(page))


@main.command()
@click.argument("directory", metavar="RUN", type=Existing)
@click.argument("images", metavar="SET")
@click.option(
    "--label", help="Positive label (default: the other one, if there are two and one is 'distractor')."
)
@click.option("--against", metavar="LABEL", help="Negative label (default: all other labels).")
@click.option(
    "--sources",
    multiple=True,
    metavar="FILE.csv[:COLUMN]|REGEX",
    help="How an image's name gives its source (person, photo, video): a column of a table, or a regular expression. "
    "If repeated, each applies to the result of the one before.",
)
@click.option(
    "--layers",
    multiple=True,
    metavar="LAYER",
    help="Layers to probe (default: the last of each stage with weights).",
)
@click.option("--step", type=int, help="The checkpoint to probe (default: the newest).")
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Random seed of the split into two halves.",
)
@click.option(
    "--baseline",
    "compare",
    multiple=True,
    metavar="NAME=RUN",
    help="Another run to compare with; may be repeated.",
)
@click.option("--no-baselines", is_flag=True, help="Leave out the baselines.")
@click.option(
    "--templates",
    type=click.IntRange(1),
    metavar="N",
    help="Number of patches and of centroids in the baselines (default: the neurons of the last layer).",
)
@click.option("--data", metavar="PATH", help="Path of the training images, if they have moved.")
@click.option(
    "--cluster",
    is_flag=False,
    flag_value="local",
    metavar="[ADDRESS]",
    help="Distribute the images over a Dask cluster, as in 'lnetc run'; the results are the same.",
)
@click.option(
    "--places",
    type=click.IntRange(1),
    metavar="N",
    help="Test only the accuracy of a network that learned labels, on images shown at N x N places of its field.",
)
@click.option(
    "--scale",
    type=click.FloatRange(0, 1, min_open=True),
    help="With --places: the share of the field that an image fills (default: 1/N).",
)
@click.option(
    "--background",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="With --places: the field around it, from 0 (black) to 1 (white).",
)
@click.option(
    "--maps",
    multiple=True,
    metavar="FILE",
    help="With --places: accuracies of others (.npy, .npz, .csv) to correlate with; may be repeated.",
)
@json_option
@click.pass_context
def probe(
    context: click.Context,
    directory: Path,
    images: str,
    label: str | None,
    against: str | None,
    sources: tuple[str, ...],
    layers: tuple[str, ...],
    step: int | None,
    seed: int,
    compare: tuple[str, ...],
    no_baselines: bool,
    templates: int | None,
    data: str | None,
    cluster: str | None,
    places: int | None,
    scale: float | None,
    background: float,
    maps: tuple[str, ...],
    as_json: bool,
) -> None:
    """Test neurons for a label, or how well images are named.

    SET has labelled images, which the network of RUN was not trained on. The best neuron is chosen on one half of their
    sources and tested on the other. A network that learned labels is also tested on naming the images; if SET has more
    than two labels, that is the only test unless --label gives the one to detect.
    """
    for option in _written(context, OF_PLACES if places is None else OF_NEURONS):
        raise click.UsageError(
            f"'{option}' is for '--places'" if places is None else f"'{option}' has no use with '--places'"
        )
    if places is not None:
        run = lnet.open_run(directory)
        with client_of(cluster, run.plan) as client, bar():
            found_at = lnet.places(
                run,
                images,
                places,
                scale=scale,
                background=background,
                step=step,
                compare=_named(compare),
                maps=maps,
                client=client,
            )
        if as_json:
            click.echo(json.dumps(found_at.record.figures, indent=2))
        else:
            click.echo(places_text(found_at))
        return
    from lnet.compiler.text_table import terminal_width
    from lnet.runtime.analysis.probe import accuracy_text, free_name, names_labels, probe_text, save_probe
    from lnet.runtime.analysis.probe.result import CODEC

    if no_baselines and (templates is not None or data is not None):
        unused = "--templates" if templates is not None else "--data"
        raise click.UsageError(f"'{unused}' is for baselines: leave it out, or '--no-baselines'")
    run = lnet.open_run(directory)
    if not _written(context, OF_NEURONS) and names_labels(run, images):
        with client_of(cluster, run.plan) as client, bar():
            named = lnet.accuracy(run, images, step=step, compare=_named(compare), client=client)
        click.echo(json.dumps(CODEC.encode(named), indent=2) if as_json else accuracy_text(named))
        return
    with client_of(cluster, run.plan) as client, bar():
        found = lnet.probe(
            run,
            images,
            label,
            against,
            sources=sources,
            layers=layers,
            step=step,
            seed=seed,
            baselines=not no_baselines,
            compare=_named(compare),
            templates=templates,
            data=data,
            client=client,
        )
    click.echo(json.dumps(CODEC.encode(found), indent=2) if as_json else probe_text(found, terminal_width()))
    kept = save_probe(run, found, free_name(run, found))
    if not as_json:
        click.echo(str(kept))


OF_NEURONS = ("label", "against", "sources", "layers", "seed", "no_baselines", "templates", "data")
OF_PLACES = ("scale", "background", "maps")
"""The options of one kind of probe that the other has no use for."""


def _written(context: click.Context, names: Sequence[str]) -> list[str]:
    """Return those of some options that stand on the command line."""
    return [
        option.opts[0]
        for option in context.command.params
        if option.name in names and context.get_parameter_source(option.name) is ParameterSource.COMMANDLINE
    ]


def _named(runs: tuple[str, ...]) -> dict[str, str]:
    """Return the runs by name."""
    named = {}
    for text in runs:
        name, equals, place = text.partition("=")
        if not equals or not name or not place or name in named:
            raise click.BadParameter(f"expected another NAME=RUN, found '{text}'", param_hint="--baseline")
        named[name] = place
    return named
