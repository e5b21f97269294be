"""Kernel choices measured on this machine: `lnetc tune` keeps the fastest ones, and later runs use them.

    ~/.cache/lnet/kernels/6b1f...json      one product of a layer: form, shape, time, and what they were measured on

One small file for each product, written atomically: several processes may write, and the last one counts. A file that is
damaged, or from another machine or other versions, is ignored. Another choice may change the order of sums, so a run
records its choices in `run.json`, and a resumed run uses these whatever has been measured since.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from itertools import groupby, islice
from time import perf_counter
from typing import Any

import jax
import jax.numpy as jnp

from lnet.compiler.core.shapes import Size, Slide
from lnet.compiler.files import write_aside
from lnet.compiler.graph.graph import Graph
from lnet.compiler.plan.plan import Plan
from lnet.runtime.kernels.choose import Choices, choices, made, predicted
from lnet.runtime.kernels.explain import products
from lnet.runtime.kernels.ops.local import local, local_transpose
from lnet.runtime.kernels.products import FORWARD, INPUT_GRADIENT, Choice, Product
from lnet.runtime.process.cache import cache_folder, keep_programs, own_folder
from lnet.runtime.process.precision import computing_in
from lnet.runtime.store.info import ProductInfo
from lnet.runtime.store.run import machine

KIND = "kernels"
LIKELY = 2.0
"""Choices predicted to take more than this many times the best of their form are not measured."""
ROUNDS = 5


def tune(plan: Plan) -> dict[Product, Choice]:
    """Measure every product of a plan at its batch and keep the fastest choices; raises OSError."""
    keep_programs()
    found: dict[Product, Choice] = {}
    with computing_in(plan.graph.training.dtype):
        for _, _, product in products(plan.graph):
            if product not in found and choices(product):
                found[product] = measure(product)
                _keep(product, found[product])
    return found


# --- measuring -------------------------------------------------------------------------------------------


def measure(product: Product, most: int | None = None) -> Choice:
    """Return the fastest choice on this machine, of those of each form that are likely: `most` of them, or all."""
    found = times(product, likely(choices(product), most))
    fastest = min(found, key=lambda choice: found[choice])
    return replace(fastest, milliseconds=found[fastest], measured=True)


def times(product: Product, candidates: Iterable[Choice]) -> dict[Choice, float]:
    """Return the milliseconds of choices for a product: they run in turn, and the shortest time of each counts."""
    arrays = _arrays(product)
    programs = {choice: _compiled(product, choice, arrays) for choice in candidates}
    shortest = dict.fromkeys(programs, float("inf"))
    for _ in range(ROUNDS):
        for choice, program in programs.items():
            shortest[choice] = min(shortest[choice], _milliseconds(program, arrays))
    return shortest


def likely(candidates: Iterable[Choice], most: int | None = None) -> Iterator[Choice]:
    """Yield the choices that may be the fastest: of each form those predicted to be nearly its best, at most so many."""
    ordered = sorted(candidates, key=lambda choice: (choice.form, choice.milliseconds))
    for _, group in groupby(ordered, key=lambda choice: choice.form):
        best, *others = islice(group, most)
        yield best
        yield from (choice for choice in others if choice.milliseconds <= LIKELY * best.milliseconds)


def _arrays(product: Product) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return values, weights and outputs of the product's layer."""
    rows, columns = product.window.rows, product.window.columns
    return (
        jnp.ones((rows.extent, columns.extent, product.maps_in, product.batch)),
        jnp.ones(product.weight_shape),
        jnp.ones((rows.outputs, columns.outputs, product.maps, product.batch)),
    )


def _compiled(product: Product, choice: Choice, arrays: tuple[jax.Array, ...]) -> Callable[..., jax.Array]:
    def run(x: jax.Array, weight: jax.Array, h: jax.Array) -> jax.Array:
        def layer(weight: jax.Array) -> jax.Array:
            return local(x, weight, product.window, product.precision, product.layout)

        if product.gives == FORWARD:
            return layer(weight)
        if product.gives == INPUT_GRADIENT:
            return local_transpose(h, weight, product.window, product.precision, product.layout)
        (gradient,) = jax.vjp(layer, weight)[1](h)
        return jnp.asarray(gradient)

    with made({product: choice}):
        return jax.jit(run).lower(*arrays).compile()


def _milliseconds(program: Callable[..., jax.Array], arrays: tuple[jax.Array, ...]) -> float:
    began = perf_counter()
    program(*arrays).block_until_ready()
    return 1e3 * (perf_counter() - began)


# --- choices as data -------------------------------------------------------------------------------------


def choices_data(graph: Graph, measured: Choices, devices: int = 1) -> dict[str, ProductInfo]:
    """Return the kernel choice of every product of a graph, on each of some devices, by the product's name."""
    return {
        _name(product): _data(measured.get(product) or predicted(product))
        for _, _, product in products(graph, devices)
        if choices(product)
    }


def choices_from(graph: Graph, data: Mapping[str, Any], devices: int = 1) -> dict[Product, Choice]:
    """Return the recorded choices for the products of a graph, without invalid ones."""
    found = {
        product: _choice(product, data.get(_name(product))) for _, _, product in products(graph, devices)
    }
    return {product: choice for product, choice in found.items() if choice is not None}


def _data(choice: Choice) -> ProductInfo:
    data: ProductInfo = {"form": choice.form, "shape": list(choice.shape)}
    return {**data, "milliseconds": choice.milliseconds} if choice.measured else data


def _choice(product: Product, data: Any) -> Choice | None:
    if not isinstance(data, dict):
        return None
    time = data.get("milliseconds")
    for choice in choices(product):
        if all(data.get(key) == value for key, value in _data(choice).items()):
            return replace(choice, milliseconds=float(time), measured=True) if time is not None else choice
    return None


def _name(product: Product) -> str:
    rows, columns = _axis(product.window.rows), _axis(product.window.columns)
    maps = f"{product.maps_in} to {product.maps} maps"
    layout = product.layout
    shared = "" if product.untied else f", {product.sets} sets"
    blocks = "" if layout.block == Size(1, 1) else f" in blocks of {layout.block} from {layout.lead}"
    groups = "" if layout.groups == 1 else f" in {layout.groups} groups"
    weights = f"{shared}{blocks}, {maps}{groups}"
    return f"{product.gives}, {rows} x {columns}{weights}, batch {product.batch}, {product.precision}"


def _axis(slide: Slide) -> str:
    apart = f" apart {slide.dilation}" if slide.dilation > 1 else ""
    return f"{slide.before}+{slide.extent}+{slide.after} by {slide.field}{apart} step {slide.stride}"


# --- files -----------------------------------------------------------------------------------------------


def kept(graph: Graph, devices: int = 1) -> dict[Product, Choice]:
    """Return this machine's measurements of a graph's products."""
    found: dict[Product, Choice] = {}
    folder = cache_folder()
    if folder is None:
        return found
    for _, _, product in products(graph, devices):
        try:
            data = json.loads((folder / KIND / _file(product)).read_text(encoding="utf-8"))
            if data["product"] == _name(product) and data["on"] == _here():
                found |= choices_from(graph, {_name(product): data["choice"]}, devices)
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return found


def _keep(product: Product, choice: Choice) -> None:
    folder = own_folder(KIND)
    if folder is None:
        raise OSError("LNET_CACHE is off")
    data = {"product": _name(product), "on": _here(), "choice": _data(choice)}
    write_aside(folder / _file(product), json.dumps(data, indent=2))


def _file(product: Product) -> str:
    key = json.dumps([_name(product), _here()], sort_keys=True)
    return f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"


@cache
def _here() -> dict[str, Any]:
    return {**machine(), "node": platform.node()}
