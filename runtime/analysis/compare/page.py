"""The page of a comparison: groups of runs in a table, their curves over each other, every run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup

from lnet.runtime.analysis.history import Averages
from lnet.runtime.pages.templates import template
from lnet.runtime.store.summary import RECENT, Summary

from .curves import histories, pictures
from .groups import Comparison, Group


def page(comparison: Comparison) -> str:
    """Return the page, self-contained; raises `LnetError` for a log that cannot be read."""
    groups = comparison.groups
    told = [(group, histories(group)) for group in groups]
    drawn = (
        ("losses", "Losses", pictures(told, Averages.losses, "loss", logarithmic=True)),
        (
            "accuracies",
            "Accuracies",
            pictures(told, Averages.shares, "share of the images", logarithmic=False),
        ),
    )
    curves = [
        (anchor, heading, [(name, Markup(svg)) for name, svg in found])
        for anchor, heading, found in drawn
        if found
    ]
    runs = [run for group in groups for run in group.runs]
    networks = dict.fromkeys(run.network for run in runs)
    return template("compare.html", __package__).render(
        title=", ".join(networks),
        summary=f"{len(runs):,} runs in {len(groups):,} {'groups' if len(groups) > 1 else 'group'}",
        contents=[
            ("groups", "Groups"),
            *((anchor, heading) for anchor, heading, _ in curves),
            ("runs", "Runs"),
        ],
        recent=RECENT,
        differing=comparison.differing,
        figures=comparison.figures,
        groups=groups,
        curves=curves,
        rows=list(_rows(comparison)),
        changes=[f"{run.path}: {line}" for run in runs for line in run.change_lines],
    )


def _rows(comparison: Comparison) -> Iterator[dict[str, Any]]:
    for group in comparison.groups:
        for run in group.runs:
            alone = replace(group, runs=(run,))
            yield {
                "path": run.path,
                "group": group.name,
                "seed": run.settings.get("seed", ""),
                "begun": _date(run),
                "state": run.state,
                "step": alone.step,
                "cells": _cells(comparison, alone),
            }


def _cells(comparison: Comparison, alone: Group) -> list[str]:
    return [figure.cell(alone) for figure in comparison.figures]


def _date(run: Summary) -> str:
    return f"{datetime.fromtimestamp(run.begun, UTC):%Y-%m-%d %H:%M} UTC"
