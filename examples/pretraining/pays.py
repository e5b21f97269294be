"""Does learning without labels pay? A network that has seen all images without labels, and few with, against random weights.

python examples/pretraining/pays.py cifar10-train cifar10-test -o pays

Both folders have a folder of images for each class. For each seed, some images of each class are learned with their labels.
Each way is tried with three rates on other training images, with another seed and 40 labels of each class; the best is
taken. Finished runs are kept; the same command goes on.
"""

from __future__ import annotations

import csv
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console

import lnet
from lnet.cli.progress import reporter_for
from lnet.runtime.analysis.intervals import Interval

HERE = Path(__file__).parent
FIELD, PATCHES, FLAT = 6, 100_000, 0.01
"""Rows and columns of a patch; patches that are whitened by; what is added to their variances."""
CHOICE, CHOICE_LABELS, HELD = 9, 40, 200
"""The seed that rates are chosen with, its labels of each class, and how many other images of each class choose."""


@dataclass(frozen=True)
class Way:
    """`after`: the run whose weights it begins with; `frozen`: layers that stay; `longer`: times as many steps."""

    name: str
    after: str | None
    frozen: tuple[str, ...]
    rates: tuple[float, ...]
    longer: int = 1


WAYS = (
    Way("random, kept", None, ("V1",), (0.003, 0.01, 0.03)),
    Way("random, all tuned", None, (), (0.001, 0.003, 0.01), 2),
    Way("learned, kept", "unlabelled", ("V1",), (0.003, 0.01, 0.03)),
    Way("learned, then all tuned", "learned, kept", (), (0.0001, 0.0003, 0.001)),
)


@dataclass(frozen=True)
class Experiment:
    train: Path
    out: Path
    pace: float
    console: Console

    def run(
        self, name: str, plan: lnet.Plan, start: Path | None = None, frozen: Sequence[str] = ()
    ) -> lnet.Run:
        """Return a run, trained to its end."""
        directory, reporter = self.out / name, reporter_for(self.console)
        self.console.print(f"[bold]{name}", highlight=False)
        if not (directory / "run.json").exists():
            return lnet.train(plan, directory=directory, start=start, freeze=frozen, reporter=reporter)
        if not any(event.name == "done" for event in lnet.open_run(directory).events()[-1:]):
            lnet.resume(directory, reporter=reporter)
        return lnet.open_run(directory)

    def unlabelled(self, seed: int) -> lnet.Run:
        white = self.out / f"white-{seed}.npz"
        if not white.exists():
            np.savez(white, **{"V1.white.weight": whitening(patches(self.train, seed))})
        changes = {"train.data": f'frames("{self.train.absolute()}")', "train.seed": seed}
        plan = lnet.compile(HERE / "unlabelled.lnet", set=changes)
        return self.run(f"unlabelled-{seed}", plan, white, ("V1.white",))

    def labelled(self, way: Way, seed: int, labels: int, rate: float) -> lnet.Run:
        """Return the run of a way, which has learned so many labels of each class."""
        learned, held = self.lists(seed, labels)
        steps = way.longer * max(1, round(self.pace * (10 * labels) ** 0.5))
        settings = f"{labels}-labels-{steps}-steps-rate-{rate}-seed-{seed}"
        name = f"{way.name.replace(', ', '-').replace(' ', '-')}-{settings}"
        changes = {
            "train.data": f'frames("{learned.absolute()}", labels = file, augment = [shift(3)])',
            "train.steps": steps,
            "train.update": f"adam(rate = {rate}, schedule = cosine)",
            "train.seed": seed,
        }
        if seed == CHOICE:
            changes |= {"train.validation": f'frames("{held.absolute()}")', "train.validate_every": steps}
        plan = lnet.compile(HERE / "labelled.lnet", set=changes)
        return self.run(name, plan, self.start(way, seed, labels), way.frozen)

    def start(self, way: Way, seed: int, labels: int) -> Path | None:
        if way.after is None:
            return None
        if way.after == "unlabelled":
            return self.unlabelled(seed).directory
        before = next(other for other in WAYS if other.name == way.after)
        return self.labelled(before, seed, labels, self.rate(before)).directory

    def rate(self, way: Way) -> float:
        """Return the rate with which a way names most of other training images."""
        scores = {}
        for rate in way.rates:
            run = self.labelled(way, CHOICE, CHOICE_LABELS, rate)
            (last,) = (event for event in run.events() if event.name == "validation")
            scores[rate] = last.accuracies["learn top-1"]
        self.console.print(f"{way.name}: {scores}", highlight=False)
        return max(way.rates, key=scores.__getitem__)

    def lists(self, seed: int, labels: int) -> tuple[Path, Path]:
        """Return lists of images of each class with their labels: so many to learn, and others to choose rates by."""
        learned, held = self.out / f"labelled-{labels}-{seed}.csv", self.out / f"held-{seed}.csv"
        shuffled = random.Random(seed)
        mixed = {name: shuffled.sample(paths, len(paths)) for name, paths in by_class(self.train).items()}
        if few := [name for name, paths in mixed.items() if len(paths) < labels + HELD]:
            raise click.ClickException(f"'{self.train / few[0]}' has fewer than {labels} + {HELD} images")
        write_list(learned, {name: paths[:labels] for name, paths in mixed.items()})
        write_list(held, {name: paths[-HELD:] for name, paths in mixed.items()})
        return learned, held


def by_class(folder: Path) -> dict[str, list[Path]]:
    """Return the images of each class, both in the order of their names."""
    found: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.absolute().glob("[!.]*/[!.]*")):
        found[path.parent.name].append(path)
    return found


def write_list(file: Path, images: dict[str, list[Path]]) -> None:
    with open(file, "w", encoding="utf-8", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(("path", "label"))
        rows.writerows((path, name) for name, paths in images.items() for path in paths)


def patches(folder: Path, seed: int) -> NDArray[np.float64]:
    """Return pieces of 6x6 pixels of random images, normalised as a run normalises whole ones, `[n, values]`."""
    rng, found = np.random.default_rng(seed), []
    files = [path for paths in by_class(folder).values() for path in paths]
    for number in rng.choice(len(files), min(len(files), PATCHES // 25), replace=False):
        image = np.asarray(Image.open(files[number]).convert("RGB"), float) / 255
        image = (image - image.mean()) / (image.std() + 0.05)
        tops, lefts = (rng.integers(0, extent - FIELD + 1, 25) for extent in image.shape[:2])
        found += [
            image[top : top + FIELD, left : left + FIELD].ravel()
            for top, left in zip(tops, lefts, strict=True)
        ]
    return np.stack(found)


def whitening(patches: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return weights `[1, 1, 6, 6, 3, 108]` of patches less their means, without correlations (Coates, Lee and Ng 2011)."""
    count = patches.shape[1]
    without_mean = np.eye(count) - 1 / count
    variances, directions = np.linalg.eigh(np.cov(patches @ without_mean, rowvar=False, bias=True))
    white = without_mean @ (directions / np.sqrt(np.maximum(variances, 0) + FLAT)) @ directions.T
    return white.reshape(1, 1, FIELD, FIELD, -1, count).astype(np.float32)


def table(errors: dict[tuple[str, int], list[float]], counts: Sequence[int]) -> Iterator[str]:
    yield (
        "| errors on the test set, % | "
        + " | ".join(f"{labels} labels of each class" for labels in counts)
        + " |"
    )
    yield "|---|" + "--:|" * len(counts)
    for way in WAYS:
        cells = (errors[way.name, labels] for labels in counts)
        yield f"| {way.name} | " + " | ".join(with_interval(cell, 100, 1) for cell in cells) + " |"
    for way in WAYS[2:]:
        ratios = (
            [a / b for a, b in zip(errors[way.name, n], errors["random, all tuned", n], strict=True)]
            for n in counts
        )
        yield (
            f"| {way.name}, over random, all tuned | "
            + " | ".join(with_interval(r, 1, 2) for r in ratios)
            + " |"
        )


def with_interval(values: Sequence[float], times: int, digits: int) -> str:
    found = Interval(tuple(times * value for value in values))
    if found.low is None or found.high is None:
        return f"{found.mean:.{digits}f}"
    return f"{found.mean:.{digits}f} ({found.low:.{digits}f}..{found.high:.{digits}f})"


@click.command()
@click.argument("train", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("test", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--labels", default=(10, 40, 400), show_default=True, multiple=True, type=click.IntRange(min=1))
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(1, CHOICE))
@click.option(
    "--pace", default=20.0, show_default=True, help="Steps: so many times the root of the number of labels."
)
@click.option(
    "-o", "out", type=click.Path(file_okay=False, path_type=Path), default=Path("pays"), show_default=True
)
def main(train: Path, test: Path, labels: tuple[int, ...], seeds: int, pace: float, out: Path) -> None:
    """Learn from the images of TRAIN without labels and from some with, and name the images of TEST."""
    lnet.load_plugin(HERE / "winners.py")
    out.mkdir(parents=True, exist_ok=True)
    console = Console()
    experiment, errors = Experiment(train, out, pace, console), defaultdict(list)
    rates = {way.name: experiment.rate(way) for way in WAYS}
    for seed in range(seeds):
        for count in labels:
            for way in WAYS:
                run = experiment.labelled(way, seed, count, rates[way.name])
                (named,) = lnet.accuracy(run, test).named
                errors[way.name, count].append(1 - named.top_1)
    text = "\n".join(table(errors, labels))
    (out / "pays.md").write_text(text + "\n", encoding="utf-8")
    console.print(text, highlight=False, markup=False, soft_wrap=True)


if __name__ == "__main__":
    main()
