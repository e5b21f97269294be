"""Targets come with the images, and are no values of a network."""

from .base import Module, Writer

MODULES: dict[str, Module] = {}
NODES: dict[str, Writer] = {}
