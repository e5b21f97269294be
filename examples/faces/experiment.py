"""Does a neuron arise that tells faces, from images that nobody labelled? Train, take the faces away, train again.

python examples/faces/experiment.py 'images/*.tar' --index images.csv --sought face --set faces.tar -o results

Every run and every probe is kept under the folder of `-o`: what is there already is not made again, and a run that was
stopped goes on. The tables at the end are made of all that is there.
"""

from __future__ import annotations

import csv
import json
import random
import shlex
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
from continued import found
from rich.console import Console
from tables import markdown

import lnet
from lnet.cli.progress import reporter_for
from lnet.compiler.files import write_aside
from lnet.runtime.analysis.probe import read_probes, save_probe

HERE = Path(__file__).parent
RARE = 0.03
"""The share of sought images where they are rare."""

Names = list[str]


@dataclass(frozen=True)
class Arm:
    """A network, and what is left of the images that it learns from."""

    name: str
    model: str = "model"
    left: str = "all"
    first: bool = True
    """Whether its first stage learns before, alone."""

    def directory(self, out: Path, seed: int) -> Path:
        return out / f"{self.name.replace(' ', '-')}-{seed}"


ARMS = (
    Arm("all images"),
    Arm("sought ones rare", left="rare"),
    Arm("none sought", left="none"),
    Arm("as many others left out", left="others"),
)
"""The experiment, and its controls."""
PEERS = (
    Arm("averaged over the sheet", "averaged", first=False),
    Arm("three stages as published", "published", first=False),
    Arm("no normalisation", "unnormalised"),
    Arm("autoencoder, 3 layers", "autoencoder3", first=False),
    Arm("autoencoder, 6 layers", "autoencoder6", first=False),
)
"""Networks of other kinds: rows in the tables of the probes of the first arm."""


@dataclass(frozen=True)
class Experiment:
    """`images`: what is learned from; `index`: a table of what they show, in `column`; `sought`: what is to be told."""

    images: str
    index: Path
    column: str
    sought: str
    out: Path

    def train(self, arm: Arm, seed: int, settings: dict[str, str], console: Console) -> lnet.Run:
        """Return the run of an arm, trained to its end."""
        if not arm.first:
            return self._trained(arm, seed, settings, console)
        first = self._trained(Arm(f"first stage of {arm.left}", "first", arm.left), seed, settings, console)
        return self._trained(arm, seed, settings, console, start=first.directory, freeze=["V1"])

    def _trained(
        self, arm: Arm, seed: int, settings: dict[str, str], console: Console, **begun: Any
    ) -> lnet.Run:
        directory, reporter = arm.directory(self.out, seed), reporter_for(console)
        console.print(f"[bold]{directory}", highlight=False)
        if (run := found(directory, reporter)) is not None:
            return run
        left_out = self.out / f"{arm.left}-{seed}.txt"
        left_out.write_text("".join(f"{name}\n" for name in self.left_out(arm.left, seed)), encoding="utf-8")
        data = f'frames("{Path(self.images).absolute()}", exclude = "{left_out.absolute()}")'
        plan = lnet.compile(
            HERE / f"{arm.model}.lnet", set={**settings, "train.data": data, "train.seed": seed}
        )
        return lnet.train(plan, directory=directory, reporter=reporter, **begun)

    def left_out(self, left: str, seed: int) -> Names:
        """Return which images a network does not see."""
        sought, others = self.named()
        shuffled = random.Random(seed)
        match left:
            case "rare":
                kept = round(RARE / (1 - RARE) * len(others))
                return sorted(shuffled.sample(sought, max(len(sought) - kept, 0)))
            case "none":
                return sought
            case "others":
                return sorted(shuffled.sample(others, min(len(sought), len(others))))
        return []

    def named(self) -> tuple[Names, Names]:
        """Return which images are sought and which are not; refuses an index that does not say so."""
        with open(self.index, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        for column in ("name", self.column):
            if column not in rows[0]:
                raise click.ClickException(f"'{self.index}' has no column '{column}'")
        sought = [row["name"] for row in rows if row[self.column] == self.sought]
        if not sought:
            raise click.ClickException(f"no row of '{self.index}' has '{self.sought}' in '{self.column}'")
        return sought, [row["name"] for row in rows if row[self.column] != self.sought]


def probed(
    run: lnet.Run, labelled: Path, sources: tuple[str, ...], peers: dict[str, lnet.Run] | None
) -> None:
    """Probe a run unless that was done, beside baselines and `peers`; None: alone."""
    if labelled.stem not in read_probes(run):
        result = lnet.probe(run, labelled, sources=sources, baselines=peers is not None, compare=peers or {})
        save_probe(run, result, labelled.stem)


def keep(out: Path, asked: dict[str, str]) -> None:
    """Keep what a folder is for, so that the runs of one experiment are never taken for those of another."""
    out.mkdir(parents=True, exist_ok=True)
    note = out / "experiment.json"
    if not note.exists():
        write_aside(note, json.dumps(asked))
    elif (kept := json.loads(note.read_text(encoding="utf-8"))) != asked:
        was = ", ".join(f"{key} '{value}'" for key, value in kept.items() if asked.get(key) != value)
        raise click.ClickException(f"'{out}' holds an experiment with {was}: choose another folder with -o")


@click.command()
@click.argument("images")
@click.option("--index", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=True,
              help="A csv that says what the images show: columns 'name' and COLUMN.")  # fmt: skip
@click.option("--network", type=click.Choice(["model", "averaged"]), default="model", show_default=True,
              help="Which network learns; peers of other kinds are trained beside 'model' alone.")  # fmt: skip
@click.option("--column", default="kind", show_default=True, help="Which column of it says so.")
@click.option("--sought", default="face", show_default=True, help="What a neuron is to tell.")
@click.option("--set", "sets", type=click.Path(exists=True, path_type=Path), multiple=True, required=True,
              help="Labelled images to probe with; may be repeated.")  # fmt: skip
@click.option("--sources", multiple=True, help="The source of a labelled image, as for 'lnetc probe'.")
@click.option(
    "--seeds", default=3, show_default=True, type=click.IntRange(min=1), help="Networks of every kind."
)
@click.option("--steps", type=click.IntRange(min=1), help="Steps, in place of the files'.")
@click.option("-o", "out", type=click.Path(file_okay=False, path_type=Path), default=Path("faces"), show_default=True,
              help="Where runs and tables are kept.")  # fmt: skip
def main(
    images: str, index: Path, network: str, column: str, sought: str, sets: tuple[Path, ...], sources: tuple[str, ...],
    seeds: int, steps: int | None, out: Path,
) -> None:  # fmt: skip
    """Train networks on IMAGES (a folder, a tar, or a pattern) and probe them with labelled sets."""
    console = Console()
    experiment = Experiment(images, index, column, sought, out)
    experiment.named()
    keep(out, {"network": network, "column": column, "sought": sought})
    settings = {} if steps is None else {"train.steps": str(steps)}
    arms, peers = ARMS, PEERS
    if network != "model":
        arms, peers = tuple(replace(arm, model=network, first=False) for arm in ARMS), ()
    for seed in range(seeds):
        for arm in (*arms, *peers):
            experiment.train(arm, seed, settings, console)
    runs = {arm.name: [lnet.open_run(arm.directory(out, seed)) for seed in range(seeds)] for arm in arms}
    for name, several in runs.items():
        for seed, run in enumerate(several):
            of_seed = {arm.name: lnet.open_run(arm.directory(out, seed)) for arm in peers}
            for labelled in sets:
                console.print(f"{run.directory}: {labelled}", highlight=False)
                probed(run, labelled, sources, of_seed if name == arms[0].name else None)
    tables = markdown({name: [read_probes(run) for run in several] for name, several in runs.items()})
    text = f"{provenance(runs)}\n{tables}"
    (out / "tables.md").write_text(text, encoding="utf-8")
    console.print(text, end="", highlight=False, markup=False, soft_wrap=True)


def provenance(runs: dict[str, list[lnet.Run]]) -> str:
    """Say what the figures below come from: the command, the commit, the machine, the data and how long it was seen."""
    infos = {name: several[0].info for name, several in runs.items()}
    newest, (first, *_) = next(iter(infos.values())), runs.values()
    machine, versions = newest["machine"], newest["versions"]
    seen = ", ".join(f"{name}: {info['data']['images']:,}" for name, info in infos.items())
    seconds = sum(event.seconds for event in first[0].events() if event.name == "step")
    training = first[0].plan.graph.training
    return (
        f"`{shlex.join(['python', *sys.argv])}`\n\n"
        f"lnet {commit()}, jax {versions['jax']}, Python {versions['python']}; {machine['cores']} cores, "
        f"{', '.join(machine['devices'])}; {len(first)} seeds, {training.steps:,} steps of {training.batch} images "
        f"({seconds / 60:.0f} minutes a network). Images: {seen}.\n"
    )


def commit() -> str:
    """Return the commit of this file, or the version of lnet where it is not in a checkout."""
    command = ["git", "-C", str(HERE), "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else lnet.__version__


if __name__ == "__main__":
    main()
