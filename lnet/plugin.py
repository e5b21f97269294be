"""The interface of plug-ins: layers, objectives, update rules, image sources and report sections.

docs/plugins.md shows how.
"""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, TypeVar

from lnet.compiler.core.arguments import (
    Count,
    Extent,
    Flag,
    Natural,
    NonNegative,
    OptionalExtent,
    OptionalNatural,
    OptionalPositive,
    Pad,
    Padding,
    Positive,
    Refused,
    one_of,
)
from lnet.compiler.core.layer import Weights
from lnet.compiler.core.shapes import Sheet, Size
from lnet.compiler.objectives import PerValue
from lnet.compiler.ops.custom import PerPosition, ProjectiveField, ReceptiveField
from lnet.compiler.plugins import registry
from lnet.compiler.plugins.guard import guarded
from lnet.compiler.plugins.load import load_plugin
from lnet.compiler.rules import Stale, Update
from lnet.compiler.schedules import Schedule

if TYPE_CHECKING:
    from lnet.runtime.analysis.report.material import Material
    from lnet.runtime.analysis.report.sections import Section
    from lnet.runtime.data import Corrupt
    from lnet.runtime.data.samples import Place
    from lnet.runtime.data.sources import Source

_OF_THE_RUNTIME = {
    "Corrupt": "lnet.runtime.data",
    "Material": "lnet.runtime.analysis.report.material",
    "Place": "lnet.runtime.data.samples",
    "Section": "lnet.runtime.analysis.report.sections",
    "Source": "lnet.runtime.data.sources",
}

__all__ = [
    "Corrupt",
    "Count",
    "Extent",
    "Flag",
    "Material",
    "Natural",
    "NonNegative",
    "OptionalExtent",
    "OptionalNatural",
    "OptionalPositive",
    "Pad",
    "Padding",
    "PerPosition",
    "PerValue",
    "Place",
    "Positive",
    "ProjectiveField",
    "ReceptiveField",
    "Refused",
    "Schedule",
    "Section",
    "Sheet",
    "Size",
    "Source",
    "Stale",
    "Update",
    "Weights",
    "load_plugin",
    "one_of",
    "register",
]


Part = TypeVar("Part")


def register(part: Part) -> Part:
    """Register a part of a plug-in beside the built-in ones, and return it.

    A subclass of `PerPosition`, `ReceptiveField`, `ProjectiveField`, `PerValue` or `Update` is registered under its `kind`,
    and becomes a frozen dataclass, unless it is one, whose fields are its arguments; a `Source` of images is registered
    under its name, a `Section` of the report under its anchor. Raises `LnetError` for an incomplete part, and for a name
    that is taken.
    """
    if isinstance(part, type):
        return registry.register(part)
    source, section = (import_module(_OF_THE_RUNTIME[name]) for name in ("Source", "Section"))
    if isinstance(part, source.Source):
        names = [each.name for each in source.SOURCES]
        registry.enter(registry.SOURCE, source.SOURCES, part, part.name, names, part.open)
    elif isinstance(part, section.Section):
        names = [each.anchor for each in section.SECTIONS]
        guarded_part = replace(part, make=guarded(part.make, f"the plug-in's report section '{part.anchor}'"))
        registry.enter(registry.SECTION, section.SECTIONS, guarded_part, part.anchor, names, part.make)
    else:
        registry.register(part)  # says what can be registered
    return part


def __getattr__(name: str) -> object:
    """Import names that need JAX on first use."""
    if name not in _OF_THE_RUNTIME:
        raise AttributeError(f"module 'lnet.plugin' has no attribute '{name}'")
    return getattr(import_module(_OF_THE_RUNTIME[name]), name)
