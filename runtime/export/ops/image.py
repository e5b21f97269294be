"""The image is what a module and a graph are given."""

from .base import Module, Writer

MODULES: dict[str, Module] = {}
NODES: dict[str, Writer] = {}
