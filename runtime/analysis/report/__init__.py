"""The report of a run, one self-contained page: network, losses, filters, reconstructions, probes, configuration."""

from __future__ import annotations

import os
from pathlib import Path

from lnet.compiler.files import readable, write_aside
from lnet.dsl.diagnostics import refused
from lnet.runtime.store.run import Run

from .material import Material


def write_report(run: Run, path: Path | None = None, data: str | os.PathLike[str] | None = None) -> Path:
    """Write the report of a run and return its path, by default `report.html` in the run's directory.

    `data` names images to reconstruct, in place of the training images. Raises `LnetError` if
    the page cannot be written.
    """
    target = run.directory / "report.html" if path is None else path
    material = Material(run, data)
    material.compute()
    from .page import page  # loads matplotlib

    text = readable(page(material))
    try:
        write_aside(target, text)
    except OSError as error:
        raise refused("E744", f"'{target}' cannot be written", str(error)) from error
    return target
