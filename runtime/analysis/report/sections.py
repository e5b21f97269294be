"""The sections of the page, in their order. A section is registered in `SECTIONS` and nowhere else."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from markupsafe import Markup

from lnet.compiler.cut.cost import layer_cost
from lnet.compiler.plan.diagram import diagram
from lnet.runtime.pages.templates import template
from lnet.runtime.store.events import Validated, Warned

from .cluster import cluster_section
from .curves import accuracy_curves, loss_curves, throughput_curve
from .drawn import KINDS, drawn_section
from .material import Material
from .probe import probe_sections
from .settings import origin, settings

Made = str | Markup | None


@dataclass(frozen=True)
class Section:
    """A part of the page under a heading; raises ValueError for an invalid anchor.

    `make` returns HTML as `Markup`, or text, which is escaped; None, with nothing to show, omits the heading too.
    """

    anchor: str
    title: str
    make: Callable[[Material], Made]

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9-]*", self.anchor):
            raise ValueError(
                f"the section '{self.title}' has '{self.anchor}' as an anchor: write small letters"
            )

    def body(self, material: Material) -> Made:
        """Return the content under the heading; raises TypeError if it is no text."""
        made = self.make(material)
        if not isinstance(made, str | None):
            raise TypeError(f"the section '{self.anchor}' is not text, but {type(made).__name__}")
        return made


def check_anchors(sections: Sequence[Section]) -> None:
    """Raise ValueError if two sections have the same anchor."""
    for anchor, count in Counter(section.anchor for section in sections).items():
        if count > 1:
            raise ValueError(f"there are {count} sections '{anchor}'")


def _filled(name: str, content: Callable[[Material], Mapping[str, Any] | None]) -> Callable[[Material], Made]:
    """Return the `make` of a section from a template and its content."""

    def make(material: Material) -> Made:
        found = content(material)
        return None if found is None else Markup(template(name, __package__).render(found))

    return make


# --- content -------------------------------------------------------------------------------------------------------


def _network(material: Material) -> dict[str, Any]:
    graph = material.run.plan.graph
    return {
        "diagram": Markup(diagram(graph)),
        "layers": [layer_cost(graph, layer) for layer in graph.visible],
    }


def _losses(material: Material) -> dict[str, Any]:
    history, steps = material.history, material.history.steps
    accuracies, validated = accuracy_curves(history), history.validations.newest
    found = {} if validated is None else validated.objectives
    return {
        "losses": Markup(loss_curves(history)) if len(steps) else None,
        "accuracies": Markup(accuracies) if accuracies else None,
        "validation": None if validated is None else _validation(history.validations.best, validated),
        "objectives": [
            {
                "name": name,
                "first": _figure(first),
                "last": _figure(steps.last[name]),
                "validation": _figure(found[name]) if name in found else "-",
            }
            for name, first in steps.first.items()
        ],
    }


def _validation(best: Validated | None, newest: Validated) -> str:
    """Return a sentence on the newest validation, and on the best if its parameters are kept."""
    shown = f"last validation, on {newest.images:,} images: {_after(newest)}"
    return shown if best is None else f"{shown}; parameters kept in 'best': {_after(best)}"


def _after(event: Validated) -> str:
    figures = {"loss": event.loss, **event.accuracies}
    return f"step {event.step:,}, {', '.join(f'{name} {_figure(value)}' for name, value in figures.items())}"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _throughput(material: Material) -> dict[str, Any]:
    steps = material.history.steps
    return {"throughput": Markup(throughput_curve(steps)) if len(steps) else None}


def _probes(material: Material) -> dict[str, Any] | None:
    probes = probe_sections(material.run)
    return {"probes": probes} if probes else None


def _cluster(material: Material) -> dict[str, Any] | None:
    found = cluster_section(material.run.plan, material.history)
    return None if found is None else {"cluster": found}


def _configuration(material: Material) -> dict[str, Any]:
    run = material.run
    return {
        "settings": settings(run),
        "origin": origin(run),
        "warnings": material.history.messages(Warned),
        "sources": run.plan.source.files,
    }


SECTIONS: list[Section] = [
    Section("network", "Network", _filled("network.html", _network)),
    Section("losses", "Losses", _filled("losses.html", _losses)),
    Section("filters", "First-layer filters", _filled("filters.html", lambda material: material.filters)),
    *(Section(kind.id, kind.title, _filled("drawn.html", partial(drawn_section, kind))) for kind in KINDS),
    Section(
        "reconstructions",
        "Reconstructions",
        _filled("reconstructions.html", lambda material: material.reconstructed),
    ),
    Section("probes", "Probes", _filled("probes.html", _probes)),
    Section("throughput", "Throughput", _filled("throughput.html", _throughput)),
    Section("cluster", "Cluster", _filled("cluster.html", _cluster)),
    Section("configuration", "Configuration", _filled("configuration.html", _configuration)),
]
