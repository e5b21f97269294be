"""What a plug-in is written with: layers, objectives and update rules of one's own (docs/plugins.md)."""

from __future__ import annotations

from lnet.compiler.core.arguments import (
    Count,
    Extent,
    Flag,
    Natural,
    NonNegative,
    OptionalExtent,
    OptionalNatural,
    OptionalPositive,
    Positive,
    Refused,
    one_of,
)
from lnet.compiler.core.layer import Weights
from lnet.compiler.core.shapes import Sheet, Size
from lnet.compiler.objectives import PerValue
from lnet.compiler.ops.custom import Neighbourhood, PerPosition
from lnet.compiler.plugins.load import load_plugin
from lnet.compiler.plugins.registry import register
from lnet.compiler.rules import Schedule, Stale, Update

__all__ = [
    "Count",
    "Extent",
    "Flag",
    "Natural",
    "Neighbourhood",
    "NonNegative",
    "OptionalExtent",
    "OptionalNatural",
    "OptionalPositive",
    "PerPosition",
    "PerValue",
    "Positive",
    "Refused",
    "Schedule",
    "Sheet",
    "Size",
    "Stale",
    "Update",
    "Weights",
    "load_plugin",
    "one_of",
    "register",
]
