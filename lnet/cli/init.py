"""The command that writes a .lnet file for one's images: init."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lnet.dsl.diagnostics import refused
from lnet.dsl.nodes import KEYWORDS
from lnet.dsl.printer import format_source, quoted
from lnet.dsl.source import Source

from .bar import bar
from .options import Output, write_file
from .program import main

if TYPE_CHECKING:
    from lnet.runtime.data.survey import Survey

WHOLE = 2
"""Images of one size that are at most so many times as large as the input are shown whole, not in windows."""
SHOWN = 4
"""Classes that are named."""
PASSES, FEWEST = 10, 1000
"""Passes over labelled images, and the fewest steps."""


@dataclass(frozen=True)
class Fields:
    """The first fields of a network by the side of its input; `above`: the fields of the stages above the first."""

    field: int
    stride: int
    above: tuple[int, ...]


UNLABELLED = {
    64: Fields(10, 4, (5, 3)),
    48: Fields(10, 4, (3,)),
    32: Fields(9, 3, (3,)),
    24: Fields(7, 2, (3,)),
    16: Fields(5, 2, ()),
}
LABELLED = {
    64: Fields(9, 3, ()),
    48: Fields(9, 3, ()),
    32: Fields(7, 2, ()),
    24: Fields(7, 2, ()),
    16: Fields(5, 1, ()),
}


@main.command()
@click.argument("images", metavar="IMAGES")
@click.option(
    "-o",
    "--output",
    type=Output,
    metavar="FILE",
    help="File to write (default: the images' name with .lnet).",
)
@click.option("--without-labels", is_flag=True, help="Learn without labels, even if the images have some.")
@click.option("--overwrite", is_flag=True, help="Write FILE even if it exists.")
def init(images: str, output: Path | None, without_labels: bool, overwrite: bool) -> None:
    """Write a commented .lnet file for your images.

    IMAGES is a folder, an archive, a list, an array file or a pattern in quotes. Their number, sizes, colours and labels
    are looked up. With labels, the network learns to name them; without, it learns to reconstruct the images.
    """
    from lnet.runtime.data.survey import survey

    name = _name(images)
    path = Path(f"{name}.lnet") if output is None else output
    if path.exists() and not overwrite:
        hint = "name another file with '-o', or write over it with '--overwrite'"
        raise refused("E608", f"'{path}' exists already", hint=hint)
    with bar():
        found = survey(images, labelled=not without_labels)
    shown = os.path.relpath(images, path.parent) if not Path(images).is_absolute() else images
    text = "\n".join(_program(name, shown, shlex.quote(path.name), found)) + "\n"
    write_file(path, format_source(Source(text, str(path))))
    click.echo(f"{path}: {_about(found)}")
    file = shlex.quote(str(path))
    click.echo(f"next: lnetc explain {file}, then lnetc run {file}")


def _name(images: str) -> str:
    """Return the name of a network for images at a path."""
    stem = Path(images).resolve().name.partition(".")[0]
    name = re.sub(r"[^A-Za-z0-9]+", "_", stem).strip("_")
    if not name or name in KEYWORDS:
        return "images"
    return name if name[0].isalpha() else f"set_{name}"


def _about(found: Survey) -> str:
    """Return what was found, as a sentence."""
    size = str(found.least) if found.alike else f"{found.least} to {found.most}"
    colour = "grey" if found.grey else "in colour"
    looked = "" if found.looked == found.count else f" ({found.looked} looked at)"
    classes = (
        f", {len(found.classes):,} classes ({_few(found.classes)})" if found.labels else ", no labels used"
    )
    return f"{found.count:,} images, {colour}, {size} pixels{looked}{classes}"


def _few(classes: Sequence[str]) -> str:
    """Return the first of many classes, on one line."""
    return ", ".join(" ".join(name.split()) for name in classes[:SHOWN]) + ", ..." * (len(classes) > SHOWN)


def _program(name: str, images: str, file: str, found: Survey) -> Iterator[str]:
    """Yield the lines of the file, which is called `file` in commands."""
    yield "lnet 2"
    yield ""
    yield f"# {_about(found)}."
    yield "#"
    yield f"#   lnetc explain {file}  # sizes, receptive fields, parameters, memory"
    yield f"#   lnetc run {file}      # trains it; then: lnetc report runs/{name}-1"
    yield ""
    side = max((side for side in UNLABELLED if side <= found.side), default=min(UNLABELLED))
    size = f"{side}x{side}x{1 if found.grey else 3}"
    whole = found.labels is not None or (found.alike and found.side <= WHOLE * side)
    yield from (_labelled if found.labels else _unlabelled)(name, images, side, size, whole, found)


def _unlabelled(name: str, images: str, side: int, size: str, whole: bool, found: Survey) -> Iterator[str]:
    fields = UNLABELLED[side]
    yield "# Learned without labels: each stage reconstructs what it reads from few active units."
    yield ""
    yield "stage sense(maps, field, stride = 1) {"
    yield "filter: local(field, maps, stride = stride)  # every position learns its own weights"
    yield "pool: l2pool(3)  # within a map, overlapping"
    yield "norm: lcn(3)  # across all maps"
    yield "learn: rica(sparsity = 0.5, tied = true)  # higher: fewer units are active together"
    yield "}"
    yield ""
    yield f"network {name} {{"
    yield f"image: input({size})  # rows x columns x colours"
    yield "retina: lcn(9, floor = 0.3)  # even out the light, as an eye does"
    yield f"V1: sense(maps = 8, field = {fields.field}, stride = {fields.stride})"
    for number, field in enumerate(fields.above, 2):
        yield f"V{number}: sense(maps = {4 + 4 * number}, field = {field})"
    yield "}"
    yield ""
    yield "train {"
    yield from _data(images, whole, None)
    yield "batch = 100"
    yield "steps = 2000  # more, if the filters in the report are still noisy"
    yield "update = adam(rate = 0.002, schedule = cosine)"
    if fields.above:
        yield "gradients = stage  # each stage learns from its own reconstruction"
    yield "}"


def _labelled(name: str, images: str, side: int, size: str, whole: bool, found: Survey) -> Iterator[str]:
    fields, batch = LABELLED[side], 50
    yield "# Learned with labels, the names of the images' folders or what stands beside them."
    yield ""
    yield f"network {name} {{"
    yield f"image: input({size})  # rows x columns x colours"
    yield "retina: lcn(9, floor = 0.3)  # even out the light, as an eye does"
    yield f"V1: local({fields.field}, maps = 16, stride = {fields.stride})  # every position learns its own weights"
    yield "pool: l2pool(3, stride = 2)  # within a map, overlapping"
    yield "norm: lcn(3)  # across all maps"
    yield "V2: local(3, maps = 16, act = relu, bias = true)"
    yield f"class: dense({found.units})  # a unit for each class"
    yield "learn: cross_entropy()"
    yield "}"
    yield ""
    yield "train {"
    yield from _data(images, whole, found.labels)
    yield '# validation = frames("unseen")  # labelled images that are not trained on'
    yield f"batch = {batch}"
    yield f"steps = {max(FEWEST, ceil(PASSES * found.count / batch))}"
    yield "update = adam(rate = 0.003, schedule = cosine)"
    yield "}"


def _data(images: str, whole: bool, labels: str | None) -> Iterator[str]:
    """Yield the setting that names the images."""
    crop = ", crop = resize" if whole else ""
    named = "" if labels is None else f", labels = {labels}"
    what = "the whole image, scaled" if whole else "windows of the input's size, at random"
    yield f"# {what}; half of them mirrored: flip = false turns that off"
    yield f"data = frames({quoted(images)}{crop}{named})"
