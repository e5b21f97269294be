"""Labels on top: how much does a network that learned without labels help one that is given a few?

python examples/faces/labels.py 'images/*.tar' --index images.csv --run faces/all-images-0 -o labels

The images of the index are halved by source. Of one half, some of each kind are learned from; of the other, at most
HELD of each kind are named. Frozen, only the classes on top are learned; tuned, all weights are.
"""

from __future__ import annotations

import csv
import glob
import os
import random
import tarfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import click
from continued import found
from rich.console import Console

import lnet
from lnet.cli.progress import reporter_for

HERE = Path(__file__).parent
HELD = 400
"""Images of each kind that are named, none of a source that was learned from."""
LAYERS = ("V1", "usual", "minus", "V2")


@dataclass(frozen=True)
class Image:
    name: str
    kind: str
    source: str


@dataclass(frozen=True)
class Trial:
    """`learned`: begin with the weights of the run, else with random ones; `frozen`: keep those."""

    name: str
    learned: bool
    frozen: bool


TRIALS = (
    Trial("learned without labels, frozen", True, True),
    Trial("random weights, frozen", False, True),
    Trial("learned without labels, all tuned", True, False),
    Trial("random weights, all tuned", False, False),
)


def listed(index: Path) -> list[Image]:
    """Return the images of an index with the columns `name`, `kind` and, if it has one, `source`."""
    with open(index, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for column in ("name", "kind"):
        if not rows or column not in rows[0]:
            raise click.ClickException(f"'{index}' has no column '{column}'")
    return [Image(row["name"], row["kind"], row.get("source", row["name"]).partition("@")[0]) for row in rows]


def halves(images: Sequence[Image], labels: int, seed: int) -> tuple[list[Image], list[Image]]:
    """Return which images are learned from, and which are held out: no source is in both."""
    shuffled = random.Random(seed)
    sources = sorted({image.source for image in images})
    shuffled.shuffle(sources)
    first = set(sources[: len(sources) // 2])
    by_kind: dict[tuple[bool, str], list[Image]] = defaultdict(list)
    for image in shuffled.sample(images, len(images)):
        by_kind[image.source in first, image.kind].append(image)
    kinds = sorted({image.kind for image in images})
    learned = [image for kind in kinds for image in by_kind[True, kind][:labels]]
    return learned, [image for kind in kinds for image in by_kind[False, kind][:HELD]]


def archive(images: Sequence[Image], data: str, path: Path) -> None:
    """Write a tar with a folder for each kind, unless it is there."""
    if path.exists():
        return
    wanted = {image.name: image.kind for image in images}
    aside = path.with_suffix(".writing")
    with tarfile.open(aside, "w") as out:
        for name in sorted(glob.glob(data)):
            with tarfile.open(name) as file:
                for member in file:
                    if member.name in wanted:
                        content = file.extractfile(member)
                        member.name = f"{wanted.pop(member.name)}/{Path(member.name).name}"
                        out.addfile(member, content)
    if wanted:
        aside.unlink()
        raise click.ClickException(f"'{data}' has no '{min(wanted)}', which the index names")
    os.replace(aside, path)


def trained(trial: Trial, begun: Path, data: Path, seed: int, steps: int, console: Console) -> lnet.Run:
    """Return the run of a trial, trained to its end, beside the images that it learns from."""
    directory = data.with_name(f"{trial.name.replace(', ', '-').replace(' ', '-')}-{data.stem}")
    reporter = reporter_for(console)
    console.print(f"[bold]{directory}", highlight=False)
    if (run := found(directory, reporter)) is not None:
        return run
    frames = f'frames("{data.absolute()}", labels = folder)'
    settings = {"train.data": frames, "train.seed": seed, "train.steps": steps}
    return lnet.train(
        lnet.compile(HERE / "labels.lnet", set=settings),
        directory=directory,
        reporter=reporter,
        start=begun if trial.learned else None,
        freeze=LAYERS if trial.frozen else (),
    )


def table(shares: dict[str, list[float]], labels: int, kinds: int) -> Iterator[str]:
    yield f"| {labels} labels of each of {kinds} kinds | top-1 of images of other sources |"
    yield "|---|--:|"
    for name, several in shares.items():
        low, high = min(several), max(several)
        yield f"| {name} | {100 * mean(several):.1f} ({100 * low:.1f}..{100 * high:.1f}) |"


@click.command()
@click.argument("data")
@click.option("--index", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=True,
              help="A csv: columns 'name', 'kind' and, to keep apart what belongs together, 'source'.")  # fmt: skip
@click.option("--run", "runs", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True, multiple=True,
              help="A run of model.lnet, one for each seed.")  # fmt: skip
@click.option("--labels", default=100, show_default=True, type=click.IntRange(min=1), help="Of each kind.")
@click.option("--steps", default=400, show_default=True, type=click.IntRange(min=1))
@click.option(
    "-o", "out", type=click.Path(file_okay=False, path_type=Path), default=Path("labels"), show_default=True
)
def main(data: str, index: Path, runs: tuple[Path, ...], labels: int, steps: int, out: Path) -> None:
    """Give the kinds of some images of DATA (a pattern of tars) to networks, and let them name the kinds of others."""
    console, images = Console(), listed(index)
    out.mkdir(parents=True, exist_ok=True)
    shares: dict[str, list[float]] = {trial.name: [] for trial in TRIALS}
    for seed, begun in enumerate(runs):
        halved = halves(images, labels, seed)
        learned, held = out / f"{labels}-{seed}.tar", out / f"held-out-{seed}.tar"
        archive(halved[0], data, learned)
        archive(halved[1], data, held)
        for trial in TRIALS:
            run = trained(trial, begun, learned, seed, steps, console)
            (named,) = lnet.probe(run, held, label=halved[0][0].kind, baselines=False).named
            shares[trial.name].append(named.top_1)
    text = "\n".join(table(shares, labels, len({image.kind for image in images})))
    (out / "labels.md").write_text(text + "\n", encoding="utf-8")
    console.print(text, highlight=False, markup=False, soft_wrap=True)


if __name__ == "__main__":
    main()
