"""Targets come with the images: there is nothing to compute."""

from .base import LayerKernel

KERNELS: dict[str, LayerKernel] = {}
