"""The image, unchanged."""

from .base import LayerKernel

KERNELS: dict[str, LayerKernel] = {"input": lambda op, values, params, precision: values[0]}
