"""Whole computations as one program, without most of XLA's optimisations: in tests it is compiling that takes time.

Operation by operation, every shape of every operation would be compiled alone, which takes three times as long.
"""

import jax

OPTIONS = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


def quickly(function, **how):
    """`jax.jit` of a function, `how` as there."""
    return jax.jit(function, compiler_options=OPTIONS, **how)
