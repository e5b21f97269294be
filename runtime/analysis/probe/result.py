"""The result of a probe: a row for each tested layer or baseline, and its file."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from lnet.compiler.core.codec import Codec, Malformed
from lnet.compiler.files import Unreadable, listed, unreadable, write_aside
from lnet.compiler.text_table import TextTable, as_html
from lnet.dsl.diagnostics import LnetError, refused
from lnet.runtime.store.run import Run

from .scores import Figures

BINS, SPARSENESS_BINS = 200, 40
"""Bins from 0 to 1 that neurons are counted in, by accuracy and by sparseness."""

CODEC = Codec(tolerant=True)


@dataclass(frozen=True, slots=True)
class Choice:
    """A neuron and a threshold: `chosen` is their accuracy on the images of the choice, `figures` are those reported.

    `low` and `high` are the ends of 95 % intervals. A mean over several networks has none, and no neuron either.
    """

    neuron: str
    threshold: float | None
    chosen: float
    figures: Figures
    low: Figures | None = None
    high: Figures | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """The best of many neurons: chosen on all images and reported on them; chosen on one half, reported on the other."""

    flattering: Choice
    honest: Choice


@dataclass(frozen=True, slots=True)
class Histogram:
    """Images by response, in bins of equal width from `low` to `high`."""

    low: float
    high: float
    positives: tuple[int, ...]
    negatives: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """A group of neurons, or a baseline's units, and the best of them.

    layer          of a network, else empty
    above          with the decision "response > threshold"
    below          with its negation
    distribution   neurons by their accuracy above, in BINS bins from 0 to 1
    responses      of the neuron that is best above
    scrambled      its mean response to positives with scrambled phases: 1 is that to positives, 0 that to negatives
    sparseness     neurons by lifetime sparseness, in SPARSENESS_BINS bins from 0 to 1; silent ones are not counted
    note           why there are no figures, or another remark
    untrained      whether it is the mean, or the best, of several networks with random weights
    """

    name: str
    layer: str
    baseline: bool
    neurons: int
    above: Finding | None = None
    below: Finding | None = None
    distribution: tuple[int, ...] = ()
    responses: Histogram | None = None
    scrambled: float | None = None
    sparseness: tuple[int, ...] = ()
    note: str = ""
    untrained: Literal["mean", "best"] | None = None


@dataclass(frozen=True, slots=True)
class Naming:
    """The share of `images` whose class is the likeliest of `classes`, and among the five likeliest of more than five.

    They are the images with labels that the network `name` learned by its objective.
    """

    name: str
    objective: str
    classes: int
    images: int
    top_1: float
    top_5: float | None


@dataclass(frozen=True, slots=True)
class Probe:
    """How well a run's neurons tell a label from others, with baselines; and how well the run names learned labels."""

    network: str
    run: str
    step: int
    images: str
    label: str
    against: str
    positives: int
    negatives: int
    sources: int
    skipped: int
    seed: int
    rows: tuple[Row, ...]
    named: tuple[Naming, ...] = ()

    def _repr_html_(self) -> str:
        found = [(row, row.above) for row in self.rows if row.above is not None]
        rows = tuple(
            (
                row.name,
                above.flattering.neuron or row.layer,
                *(f"{chosen.figures.accuracy:.1%}" for chosen in (above.flattering, above.honest)),
            )
            for row, above in found
        )
        table = TextTable(("row", "best"), ("accuracy", "honest"), rows)
        of = f"{self.images}: {self.positives:,} {self.label} and {self.negatives:,} {self.against}"
        return as_html([f"network {self.network} after step {self.step:,}, from {self.run}", of, table])

    @property
    def layers(self) -> tuple[Row, ...]:
        """The rows of the trained network."""
        return tuple(row for row in self.rows if not row.baseline)


def save_probe(run: Run, probe: Probe, name: str) -> Path:
    """Keep a result in the run's directory, `probes/NAME.json`; raises `LnetError` if it cannot be written."""
    target = _file(run, name)
    try:
        target.parent.mkdir(exist_ok=True)
        write_aside(target, json.dumps(CODEC.encode(probe), indent=1))
    except OSError as error:
        raise refused("E744", f"'{target}' cannot be written", str(error)) from error
    return target


def free_name(run: Run, probe: Probe) -> str:
    """Return a name for a result: its set's, numbered if a result of another set or other labels has it.

    A damaged result, or one of the same set and labels, is replaced.
    """
    stem = quote(os.fsencode(Path(probe.images).stem), safe=" ") or "images"
    names = chain([stem], (f"{stem}-{number}" for number in count(2)))
    return next(name for name in names if not _is_of_others(_file(run, name), probe))


def _is_of_others(path: Path, probe: Probe) -> bool:
    try:
        kept = read_probe(path)
    except Unreadable:
        raise
    except LnetError:
        return False
    return (kept.images, kept.label, kept.against) != (probe.images, probe.label, probe.against)


def _file(run: Run, name: str) -> Path:
    return run.directory / "probes" / f"{name}.json"


def read_probes(run: Run) -> dict[str, Probe]:
    """Return all results by name; raises `LnetError` for one that cannot be read."""
    return {path.stem: read_probe(path) for path in probe_files(run)}


def probe_files(run: Run) -> list[Path]:
    """Return the paths of all results, sorted by name."""
    return listed(run.directory / "probes", "*.json")


def read_probe(path: Path) -> Probe:
    """Read a result; raises `LnetError` if it cannot be read."""
    try:
        return CODEC.decode(Probe, _in_format(json.loads(path.read_text(encoding="utf-8"))), "probe")
    except (FileNotFoundError, ValueError, Malformed) as error:
        hint = "probe again, or remove it"
        raise refused("E774", f"'{path}' is not a result of a probe", str(error), hint=hint) from error
    except OSError as error:
        raise unreadable(path, error) from error


def _in_format(data: Any) -> Any:
    """Return a result of version 0.1 in today's format: only the names of its rows told untrained networks."""
    if isinstance(data, dict) and isinstance(data.get("rows"), list):
        return data | {"rows": [_row_in_format(row) for row in data["rows"]]}
    return data


def _row_in_format(row: Any) -> Any:
    if not isinstance(row, dict):
        return row
    name = str(row.get("name"))
    kinds = [kind for kind in ("mean", "best") if name.startswith(f"random weights, {kind} of")]
    return {"untrained": kinds[0] if kinds else None} | row
