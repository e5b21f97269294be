"""The choice of kernel and block shape for each product: from a cost model, a measurement, or a record.

On a processor that native/ writes code for, its kernels are used; elsewhere, and in exported programs, products are
XLA's. On a GPU those of gpu/ are used where they were measured there, and are faster.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from types import MappingProxyType

import jax

from .gpu import tiles
from .native import blocks
from .packed import tiling
from .products import Choice, Product

CONVOLUTION = Choice("convolution", (), 0.0)
Choices = Mapping[Product, Choice]
_made: ContextVar[Choices] = ContextVar("made", default=MappingProxyType({}))
_portable: ContextVar[bool] = ContextVar("portable", default=False)


@contextmanager
def made(choices: Choices) -> Iterator[None]:
    """Use these kernel choices while tracing; the cost model chooses the rest."""
    token = _made.set(choices)
    try:
        yield
    finally:
        _made.reset(token)


@contextmanager
def portable() -> Iterator[None]:
    """Use XLA's kernels alone while tracing: for exported programs."""
    token = _portable.set(True)
    try:
        yield
    finally:
        _portable.reset(token)


def choose(product: Product) -> Choice:
    """Return the kernel choice for a product."""
    return _made.get().get(product) or predicted(product)


def predicted(product: Product) -> Choice:
    """Return the choice that the cost model predicts to be fastest."""
    return _fastest(product, _compiler())


def choices(product: Product) -> tuple[Choice, ...]:
    """Return the choices with predicted times; none where there is one kernel only."""
    return _choices(product, _compiler())


@cache
def _fastest(product: Product, compiler: str) -> Choice:
    # Kernels of gpu/ have a model of their own, whose times cannot be compared with those of others.
    comparable = (choice for choice in _choices(product, compiler) if choice.form != tiles.PALLAS)
    return min(comparable, key=lambda choice: choice.milliseconds, default=CONVOLUTION)


@cache
def _choices(product: Product, compiler: str) -> tuple[Choice, ...]:
    if compiler == "cpu":
        return tuple(blocks.choices(product))
    if not product.untied:
        return ()
    gathered = tiles.choices(product) if compiler == "gpu" else ()
    return *tiling.choices(product), *gathered


def _compiler() -> str:
    """Return whose kernels may be called where a program is traced: "cpu", "gpu", or "xla" alone."""
    return "xla" if _portable.get() else jax.default_backend()


def native() -> bool:
    """Whether code for this processor may be called where a program is traced."""
    return _compiler() == "cpu"
