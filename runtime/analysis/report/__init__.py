"""One page about a run, whole in itself: network, losses, filters, reconstructions, probes, configuration."""

from __future__ import annotations

import os
from pathlib import Path

from lnet.compiler.files import readable, write_aside
from lnet.dsl.diagnostics import refused
from lnet.runtime.process.counted import counted
from lnet.runtime.store.run import Run

from .head import head
from .material import Data, Material
from .sections import SECTIONS, check_anchors, template


def write_report(run: Run, path: Path | None = None, data: str | os.PathLike[str] | None = None) -> Path:
    """Write the page about a run and return where it is: `report.html` in the run's directory unless `path` says.

    `data` names images that are reconstructed, in place of those that the run was trained on. Raises `LnetError` if
    the page cannot be written.
    """
    target = run.directory / "report.html" if path is None else path
    page = readable(_page(run, data))
    try:
        write_aside(target, page)
    except OSError as error:
        raise refused("E744", f"'{target}' cannot be written", str(error)) from error
    return target


def _page(run: Run, data: Data) -> str:
    check_anchors(SECTIONS)
    material, shown = Material(run, data), []
    for section in counted("parts of the report", SECTIONS, len(SECTIONS)):
        body = section.body(material)
        if body is not None:
            shown.append({"anchor": section.anchor, "title": section.title, "body": body})
    return template("page.html").render(head(material), sections=shown)
