"""The report of a run, one self-contained page: network, losses, filters, reconstructions, probes, configuration."""

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
    """Write the report of a run and return its path, by default `report.html` in the run's directory.

    `data` names images to reconstruct, in place of the training images. Raises `LnetError` if
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
