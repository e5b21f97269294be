"""Operations that are linear in each of their operands, as JAX computes, differentiates and maps them.

Each says what its transposes are, so it is differentiated as often as one likes, in both modes, and by the kernels that are
written for them: JAX's `custom_vjp` differentiates backwards alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from inspect import Parameter, signature
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

Operation = Callable[..., jax.Array]
"""Of some operands, and facts about the operation by name."""
Shape = tuple[int, ...]


def linear(
    name: str,
    compute: Operation,
    shape: Callable[..., Shape],
    transposes: Iterable[Operation],
    mapped: Callable[..., tuple[jax.Array, int]],
) -> Operation:
    """Return an operation; `compute` takes its facts by name alone, and all functions take the same.

    `shape`: of the result, from those of the operands. `transposes`: for each operand, the gradient of the result and the
    operands to that operand's gradient. `mapped`: operands and the axis of each that is mapped over (None: it has none) to
    the result and its axis.
    """
    primitive: Any = Primitive(name)
    facts = [key for key, of in signature(compute).parameters.items() if of.kind is Parameter.KEYWORD_ONLY]
    ways = tuple(transposes)

    def bound(*operands: jax.Array, **facts: Any) -> jax.Array:
        dtype = jnp.result_type(*operands)
        result: jax.Array = primitive.bind(*alike([o.astype(dtype) for o in operands]), **facts)
        return result

    def along(number: int) -> Operation:
        def moved(tangent: jax.Array, *operands: jax.Array, **facts: Any) -> jax.Array:
            return bound(*operands[:number], tangent, *operands[number + 1 :], **facts)

        return moved

    def transposed(gradient: Any, *operands: Any, **facts: Any) -> list[Any]:
        """Return the gradient of the operand that is unknown; None for the others, and where there is none."""
        unknown = [
            isinstance(operand, ad.UndefinedPrimal) and type(gradient) is not ad.Zero for operand in operands
        ]
        return [
            way(gradient, *operands, **facts) if is_it else None
            for way, is_it in zip(ways, unknown, strict=True)
        ]

    primitive.def_impl(jax.jit(compute, static_argnames=facts))
    primitive.def_abstract_eval(
        lambda *of, **facts: of[0].update(shape=shape(*(operand.shape for operand in of), **facts))
    )
    jvps: Any = ad.defjvp
    jvps(primitive, *(along(number) for number in range(len(ways))))
    ad.primitive_transposes[primitive] = transposed
    batching.primitive_batchers[primitive] = mapped
    mlir.register_lowering(primitive, mlir.lower_fun(compute, multiple_results=False))
    return bound


def alike(operands: list[jax.Array]) -> list[jax.Array]:
    """Within `jax.shard_map`, let all operands differ between the devices between which one does."""
    axes = [frozenset(jax.typeof(operand).mat.varying) for operand in operands]
    missing = [tuple(sorted(frozenset().union(*axes) - own)) for own in axes]
    return [
        lax.pcast(operand, names, to="varying") if names else operand
        for operand, names in zip(operands, missing, strict=True)
    ]
