"""The sections on a run's gallery, one for each kind of picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from lnet.compiler.core.shapes import Size
from lnet.compiler.files import unreadable
from lnet.runtime.analysis.arrangement import Arrangement
from lnet.runtime.analysis.contact import png_url
from lnet.runtime.analysis.gallery import Record, kept
from lnet.runtime.analysis.gratings import Preference
from lnet.runtime.analysis.invariance import curve_from, invariance_figure
from lnet.runtime.analysis.neighbours import Resemblance
from lnet.runtime.analysis.plots import to_svg
from lnet.runtime.analysis.sheet_picture import class_figure, orientation_figure

from .material import Material

Figures = Any
Pictures = tuple[str | Markup, ...]
"""URLs of pictures, or pictures as SVG."""
BY_CLASS = ("classes.", "selective.")
"""Figures over seeds that a picture shows."""
MOST = 32
"""Records that a section shows; the gallery has them all."""


@dataclass(frozen=True)
class Item:
    """Pictures of one record over its name and a few lines."""

    title: str
    pictures: Pictures
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Kind:
    """How records of a kind are shown."""

    id: str
    title: str
    note: str
    item: Callable[[Figures], tuple[str, tuple[str, ...]]]
    pictures: Callable[[Record], Pictures]


def _stimuli(figures: Figures) -> tuple[str, tuple[str, ...]]:
    real, optimal = figures["top"][0]["response"], figures["optimal"]
    where = f"of '{figures['data']}'" if figures["data"] else "that it was trained on"
    likely = figures.get("likely")
    first = "" if likely is None else f"the likely stimulus {likely:.4g}, to "
    return figures["neuron"], (
        f"response to {first}the optimal stimulus {optimal:.4g}, to the best real image {real:.4g}",
        f"of {figures['images']:,} images {where}; norm {figures['norm']:.4g}; at step {figures['step']:,}",
    )


def _invariance(figures: Figures) -> tuple[str, tuple[str, ...]]:
    return f"{figures['neuron']}: {figures['label']}", (
        f"response to {len(figures['positives'])} images of '{figures['label']}' as they are {figures['undistorted']:.4g}, "
        f"to distractors {figures['distractor']:.4g}",
        f"of '{figures['data']}'; at step {figures['step']:,}",
    )


def _sheet(figures: Figures) -> tuple[str, tuple[str, ...]]:
    lines = [
        f"orientation of {figures['by']}, mean selectivity {figures['selectivity']:.2f}; at step {figures['step']:,}"
    ]
    if figures["resemblance"]:
        lines.append(Resemblance(**figures["resemblance"]).summary)
    if figures.get("arrangement"):
        lines.append(Arrangement(**figures["arrangement"]).summary)
    if figures["classes"]:
        shares = (f"{share:.0%} prefer '{name}'" for name, share in figures["classes"].items())
        lines.append(", ".join(shares) + f", of the classes of '{figures['data']}'")
    if figures.get("costs"):
        lines.append(
            ", ".join(f"{name} {cost:.3g}" for name, cost in figures["costs"].items()) + " of a neuron"
        )
    return figures["layer"], tuple(lines)


def _seeds(figures: Figures) -> tuple[str, tuple[str, ...]]:
    shown = {name: each for name, each in figures["figures"].items() if not name.startswith(BY_CLASS)}
    lines = [f"{name} {each['mean']:.3g}{_ends(each)}" for name, each in shown.items()]
    return f"{figures['layer']}, {len(figures['runs'])} runs", tuple(lines)


def _places(figures: Figures) -> tuple[str, tuple[str, ...]]:
    size, field = ("x".join(map(str, figures[name])) for name in ("object", "field"))
    lines = [f"images of {size} pixels in fields of {field}, on {figures['background']:g}"]
    for name, rows in figures["maps"].items():
        shares = [share for row in rows for share in row]
        ends = f"{min(shares):.1%} to {max(shares):.1%} by place"
        lines.append(f"{name}: top-1 {sum(shares) / len(shares):.1%}, {ends}")
    for each in figures["agreements"]:
        kinds = {"together": each["together"], "by label": each["by_label"]}
        found = ", ".join(f"{r:.2f} {kind}" for kind, r in kinds.items() if r is not None) or "none"
        low_high = each["ceilings"]
        ceiling = "" if low_high is None else f"; noise ceiling {low_high[0]:.2f} to {low_high[1]:.2f}"
        lines.append(f"correlation of {each['one']} and {each['other']}: {found}{ceiling}")
    return f"{figures['data']} at {figures['places']}x{figures['places']} places", tuple(lines)


def _rsa(figures: Figures) -> tuple[str, tuple[str, ...]]:
    lines = [f"{figures['conditions']:,} {figures['by']}, {figures['rdm']}, compared by {figures['compare']}"]
    lines += figures["sentences"]
    for of in figures["against"]:
        found = ", ".join(f"{layer} {value:.2f}" for layer, value in of["likeness"].items())
        low_high = of["ceiling"]
        ceiling = "" if low_high is None else f"; noise ceiling {low_high[0]:.2f} to {low_high[1]:.2f}"
        lines.append(f"{of['file']}: {found}{ceiling}")
    return f"{', '.join(figures['layers'])} on '{figures['data']}'", tuple(lines)


def _ends(interval: Figures) -> str:
    return "" if interval["low"] is None else f" ({interval['low']:.3g} to {interval['high']:.3g})"


def _files(record: Record) -> Pictures:
    return tuple(png_url(_content(path)) for path in record.files.values() if path.suffix == ".png")


def _curves(record: Record) -> Pictures:
    figure = invariance_figure([curve_from(curve) for curve in record.figures["curves"]])
    return (Markup(to_svg(figure, f"invariance {record.name}")),)


def _maps(record: Record) -> Pictures:
    """Draw the arrays of a record as maps."""
    with np.load(BytesIO(_content(record.files["npz"])), allow_pickle=False) as arrays:
        preference = Preference(arrays["orientation"], arrays["selectivity"])
        patch = Size(*arrays["patch"].tolist()) if "patch" in arrays else None
        figures = {"orientation": orientation_figure(preference, patch)}
        if "classes" in arrays:
            names = arrays["classes"].tolist()
            figures["classes"] = class_figure(names, arrays["preferred"], arrays["strength"], patch)
    svgs = tuple(Markup(to_svg(figure, f"{name} {record.name}")) for name, figure in figures.items())
    more = [
        record.files[name] for name in ("arrangement.png", "dprime.png", "energy.png") if name in record.files
    ]
    return svgs + tuple(png_url(_content(path)) for path in more)


KINDS = (
    Kind(
        "stimuli",
        "What neurons like",
        "Above what has the highest response that gradient ascent found; 0 is grey: first the likely stimulus, among images "
        "made of the photographs' principal components, then the optimal one, among all images with the mean norm of real "
        "ones. Below the real images with the highest responses, best first.",
        _stimuli,
        _files,
    ),
    Kind(
        "invariance",
        "Invariance",
        "Mean response to images moved, scaled and turned: 1 as they are, 0 for the mean distractor; the band is one "
        "standard error on each side.",
        _invariance,
        _curves,
    ),
    Kind(
        "sheet",
        "Sheets",
        "What neurons prefer where they stand: the orientation of bars, the class that excites them most. The weaker a "
        "preference, the greyer. Colour-blind readers can tell the colours apart. Then how orientations are arranged, d' of "
        "each class, and what neurons cost.",
        _sheet,
        _maps,
    ),
    Kind(
        "seeds",
        "Sheets over seeds",
        "Means over runs that differ by their seed, with 95 % intervals (Student's t).",
        _seeds,
        _files,
    ),
    Kind(
        "places",
        "Places",
        "How often the network names images rightly at places of its field, means over labels; then by label.",
        _places,
        _files,
    ),
    Kind(
        "rsa",
        "Representational similarity",
        "How unlike the responses of layers to conditions are, and how alike these dissimilarities are between layers and "
        "to matrices that were brought; grey: the noise ceiling.",
        _rsa,
        _files,
    ),
)


def drawn_section(kind: Kind, material: Material) -> dict[str, Any] | None:
    """Return the content of the section on a kind; None without records of it."""
    run = material.run
    records = list(kept(run, kind.id))
    items = [item for record in records[:MOST] if (item := _item(kind, record)) is not None]
    note = kind.note
    if len(records) > MOST:
        note += f" {MOST} of {len(records)} are shown; all are in '{run.directory / 'pictures'}'."
    return {"id": kind.id, "note": note, "items": items} if items else None


def _item(kind: Kind, record: Record) -> Item | None:
    """Return the item of a record; None if its figures do not fit its kind."""
    try:
        title, lines = kind.item(record.figures)
        return Item(title, kind.pictures(record), lines)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        return None


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error
