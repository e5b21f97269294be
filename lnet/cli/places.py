"""Maps of accuracies at places, as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lnet.runtime.analysis.probe.places import Agreement, PlaceMaps


def places_text(found: PlaceMaps) -> str:
    """Return the accuracies of each run in percent, a row of the field a line, and how alike the maps are."""
    from lnet.compiler.text_table import TextTable, printed, terminal_width

    grid = found.grid
    parts: list[str | TextTable] = [
        f"{sum(found.labels.values()):,} images of {len(found.labels):,} labels at {grid.count}x{grid.count} places, "
        f"{grid.size} pixels of {grid.field} on {grid.background:g}"
    ]
    for each in found.maps:
        rows = ("  " + " ".join(f"{100 * share:5.1f}" for share in row) for row in each.accuracy)
        mean = 100 * each.accuracy.mean()
        parts += [f"{each.name}: top-1 in %, mean over labels; {mean:.1f} over places", *rows]
    if found.agreements:
        columns = ("with", "together", "by label", "labels", "ceilings")
        table = tuple(_cells(agreement) for agreement in found.agreements)
        parts += ["", TextTable(("correlation of",), columns, table, left=("with",))]
    files = (f"  {path}" for path in found.record.files.values())
    return "\n".join((printed(parts, terminal_width()), *files))


def _cells(agreement: Agreement) -> tuple[str, ...]:
    ceilings = agreement.ceilings
    return (
        agreement.one,
        agreement.other,
        _figure(agreement.together),
        _figure(agreement.by_label),
        str(agreement.labels),
        "" if ceilings is None else f"{ceilings[0]:.3f}..{ceilings[1]:.3f}",
    )


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
