"""What can be wrong with the images of a run."""

from __future__ import annotations

from lnet.dsl.diagnostics import Diagnostic, LnetError


def refused(code: str, message: str, *notes: str, hint: str | None = None) -> LnetError:
    """Return the error for data that cannot be used."""
    return LnetError([Diagnostic(code, message, notes=notes, hints=(hint,) if hint else ())])
