"""The language: text to syntax tree and back, and what is wrong with a file."""

from .diagnostics import Collector, Diagnostic, LnetError
from .parser import parse, parse_source
from .printer import format_module, format_source
from .reader import read_source
from .source import Source, Span

__all__ = [
    "Collector",
    "Diagnostic",
    "LnetError",
    "Source",
    "Span",
    "format_module",
    "format_source",
    "parse",
    "parse_source",
    "read_source",
]
