"""`lnetc`: the command line. Exit status 0, 1 (the input is wrong), 2 (usage), 3 (the run failed), 130."""

from . import (
    analysis,
    export,
    files,
    index,
    init,
    kinds,
    listing,
    lsp,
    measure,
    pictures,
    plans,
    rsa,
    runs,
    sheet,
    simulate,
    sweep,
    watch,
)
from .program import main

__all__ = [
    "analysis",
    "export",
    "files",
    "index",
    "init",
    "kinds",
    "listing",
    "lsp",
    "main",
    "measure",
    "pictures",
    "plans",
    "rsa",
    "runs",
    "sheet",
    "simulate",
    "sweep",
    "watch",
]
