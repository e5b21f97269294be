"""From a kernel's LLVM IR to a function that XLA calls: compiled by LLVM in this process, once for each geometry."""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Callable, Hashable
from functools import cache
from importlib.resources import files
from threading import Lock

import jax
import llvmlite.binding as llvm

from lnet.runtime.process.cache import OBJECTS
from lnet.runtime.process.compilations import compiled_object

from .llvm_ir import Function

ATTRIBUTES = 'nounwind "prefer-vector-width"="512" "min-legal-vector-width"="512"'
"""Wide vectors stay whole on processors for which LLVM would rather split them."""

_lock = Lock()
_built: dict[str, llvm.ExecutionEngine] = {}
"""Compiled code by its name in XLA; it lives as long as the process, since programs may call it at any time."""


@cache
def target(writer: Callable[..., tuple[Function, int]], *facts: Hashable, size: int) -> str:
    """Return the name under which XLA finds the kernel written for some facts, whose result takes `size` bytes.

    The writer gives the function of one task, and how many tasks there are. The name is derived from the IR, so that
    programs compiled by XLA can be cached on disk.
    """
    function, tasks = writer(*facts)
    text = "\n".join(
        (
            f"@tasks = internal constant i64 {tasks}",
            f"@bytes = internal constant i64 {size}",
            function.text(),
            files(__package__).joinpath("handler.ll").read_text(encoding="utf-8"),
            f"attributes #0 = {{ {ATTRIBUTES} }}",
        )
    )
    name = f"lnet-{hashlib.sha256(text.encode()).hexdigest()[:32]}"
    with _lock:
        if name not in _built:
            _built[name] = engine = _compiled(text)
            capsule = _capsule(engine.get_function_address("handler"))
            jax.ffi.register_ffi_target(name, capsule, platform="cpu")
    return name


def _compiled(text: str) -> llvm.ExecutionEngine:
    """Return the machine code of an IR text, compiled or from the cache."""
    machine = _machine()
    code = OBJECTS.get(text)
    if code is None:
        code = _code(text, machine)
        compiled_object()
        OBJECTS.put(text, code)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return engine


def _code(text: str, machine: llvm.TargetMachine) -> bytes:
    module = llvm.parse_assembly(text)
    module.verify()
    tuning = llvm.create_pipeline_tuning_options(speed_level=3)
    tuning.loop_unrolling = tuning.loop_vectorization = tuning.slp_vectorization = False
    builder = llvm.create_pass_builder(machine, tuning)
    builder.getModulePassManager().run(module, builder)
    return bytes(machine.emit_object(module))


def _machine() -> llvm.TargetMachine:
    """Return LLVM's target machine for this processor; code generation needs one for each module."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    host = llvm.Target.from_default_triple()
    features = llvm.get_host_cpu_features().flatten()
    return host.create_target_machine(opt=3, jit=True, cpu=llvm.get_host_cpu_name(), features=features)


def _capsule(address: int) -> object:
    new = ctypes.pythonapi.PyCapsule_New
    new.restype, new.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
    return new(address, None, None)
