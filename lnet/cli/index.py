"""The command that indexes many images ahead of a run."""

from __future__ import annotations

from pathlib import Path

import click

from lnet.compiler.core.shapes import Size
from lnet.compiler.pipeline import Layout
from lnet.compiler.settings import Frames
from lnet.dsl.diagnostics import refused

from .bar import bar
from .plans import plan_of
from .program import main


@main.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option(
    "--labels", type=click.Choice(["folder", "file"]), help="Like the argument of frames(...) in a file."
)
@click.option("--exclude", metavar="FILE", help="Like the argument of frames(...) in a file.")
def index(paths: tuple[str, ...], labels: str | None, exclude: str | None) -> None:
    """Index many images ahead of a run.

    PATH is a folder, an archive, a .csv list, a pattern in quotes, or a .lnet file, for the images that it names.
    Writes PATH.*.index beside the images. A run on 100,000 images or more that finds no index there writes one into
    its own directory, which takes as long.
    """
    from lnet.runtime.data.dataset import requested
    from lnet.runtime.data.indexes import find_index, make_index

    for path in paths:
        frames, base = _frames(path, labels, exclude)
        with bar():
            request = requested(frames, 1, base)
            found = find_index(request, request.beside)
            written = found or make_index(request, request.beside)
        done = "indexed already" if found else "indexed"
        size = written.path.stat().st_size / 1e6
        click.echo(f"{done}: {len(written):,} images in '{frames.path}', {written.path} ({size:,.1f} MB)")


def _frames(path: str, labels: str | None, exclude: str | None) -> tuple[Frames, Path]:
    """Return the images of a path, or those that a .lnet file or plan names, and the folder that their path starts from."""
    if Path(path).suffix not in (".lnet", ".plan"):
        return Frames(path, Size(1, 1), labels=labels, exclude=exclude), Path.cwd()
    if labels is not None or exclude is not None:
        raise click.UsageError(f"'{path}' already states which labels it takes and which names it excludes")
    plan = plan_of(Path(path), (), Layout())
    if plan.graph.training.data is None:
        hint = "name the images themselves: lnetc index PATH"
        raise refused("E747", f"'{path}' names no images", hint=hint)
    if plan.graph.arrays is not None:
        raise refused("E747", f"'{path}' names arrays, which need no index")
    return plan.graph.frames, Path(plan.source_name).resolve().parent
