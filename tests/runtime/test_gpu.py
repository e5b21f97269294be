"""Programs for GPUs, made on a machine without one: lowered, and compiled for two of them by Triton."""

import os
import re
import subprocess
from dataclasses import replace
from functools import partial
from importlib.util import find_spec

import jax
import jax.numpy as jnp
import jaxlib
import pytest
from jax._src.interpreters.mlir import make_ir_context
from jaxlib.mlir import ir
from jaxlib.triton import dialect
from test_kernels import operands_of, product

from lnet.compiler.core.shapes import Slide, Window
from lnet.compiler.ops.filters import Layout
from lnet.runtime.kernels.gpu import tiles
from lnet.runtime.kernels.gpu.calls import CALLS
from lnet.runtime.kernels.products import GIVES


def square(extent, field, stride=1, pad=0, dilation=1):
    slide = Slide(extent, field, stride, pad, pad, dilation)
    return Window(slide, slide)


GEOMETRIES = {
    "first layer of the published network": product(square(200, 18), 3, 8, 100),
    "its second layer": product(square(200, 18, pad=9), 8, 8, 100),
    "few and wide fields": product(square(48, 18), 3, 8, 64),
    "many maps": product(square(32, 5), 32, 32, 32),
    "more maps than a tile has": product(square(16, 3), 96, 200, 16),
    "All-TNN's first layer": product(square(150, 7, 2), 3, 36, 128),
    "1x1 fields": product(square(24, 1), 16, 24, 64),
    "one map": product(square(28, 9), 1, 1, 100),
    "one image": product(square(64, 11, 4), 3, 16, 1),
    "dilated": product(square(40, 5, dilation=3), 4, 6, 50),
    "dilated, with a stride": product(square(60, 4, 2, 2, 4), 4, 6, 50),
    "groups": product(square(33, 5), 4, 4, 40, layout=Layout(4)),
    "odd sizes": product(Window(Slide(37, 6, 3, 1), Slide(53, 3, 2, 0, 2)), 5, 7, 33),
}
"""Products of layers, which `tiles` has a shape for in each direction."""
OLD_LOWERING = tuple(map(int, jaxlib.__version__.split(".")[:2])) <= (0, 10)
"""Later ones compile while they lower, with what comes with a GPU's own plug-in."""
needs_no_gpu = pytest.mark.skipif(not OLD_LOWERING, reason="this jaxlib lowers Triton where a GPU is alone")


def chosen(of, gives, precision):
    """The product with its fastest shape, and the abstract values that it takes."""
    of = replace(of, gives=gives, precision=precision)
    best = min(tiles.choices(of), key=lambda choice: choice.milliseconds)
    outputs, inputs = of.window.outputs, of.window.inputs
    x = (inputs.rows, inputs.columns, of.maps_in, of.batch)
    h = (outputs.rows, outputs.columns, of.maps, of.batch)
    values = (jax.ShapeDtypeStruct(shape, jnp.float32) for shape in (x, of.weight_shape, h))
    return of, best.shape, operands_of(*values)[gives]


def triton_module(of, shape, operands):
    """The text of the one kernel of a product, lowered for CUDA; its number of warps, and of stages."""
    run = partial(CALLS[of.gives], product=of, shape=shape)
    lowered = jax.jit(run).trace(*operands).lower(lowering_platforms=("cuda",))
    calls = []

    def visit(operation):
        if operation.name == "stablehlo.custom_call":
            calls.append(operation)
        return ir.WalkResult.ADVANCE

    lowered.compiler_ir("stablehlo").operation.walk(visit)
    (call,) = calls
    said = ir.DictAttr(call.attributes["mhlo.backend_config"])
    warps, stages = (ir.IntegerAttr(said[name]).value for name in ("num_warps", "num_stages"))
    context = make_ir_context()
    with context:
        dialect.register_dialect(context, load=True)
        module = ir.Module.parse(ir.StringAttr(said["ir"]).value_bytes)
        return module.operation.get_asm(enable_debug_info=False), warps, stages


@needs_no_gpu
@pytest.mark.parametrize("gives", GIVES)
@pytest.mark.parametrize("name", GEOMETRIES)
def test_every_product_is_lowered_for_cuda(name, gives):
    """As one kernel, which multiplies once for each step of its sum, and exactly."""
    of, shape, operands = chosen(GEOMETRIES[name], gives, "float32")
    text, warps, _ = triton_module(of, shape, operands)
    assert warps == shape[-1]
    assert text.count("tt.dot") == text.count("scf.for") == 1
    assert "inputPrecision = tf32" not in text


@needs_no_gpu
@pytest.mark.skipif(
    find_spec("triton") is None and os.environ.get("LNET_TRITON") != "required",
    reason="triton is not installed",
)
@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
@pytest.mark.parametrize("gives", GIVES)
@pytest.mark.parametrize("name", GEOMETRIES)
def test_triton_compiles_every_kernel_without_spills(name, gives, precision, tmp_path, monkeypatch):
    """For an A100 and an H100, within their registers and shared memory, with the warps and stages that JAX passes on."""
    of, shape, operands = chosen(GEOMETRIES[name], gives, precision)
    text, warps, stages = triton_module(of, shape, operands)
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    for capability, shared in ((80, 164 * 1024), (90, 227 * 1024)):
        found = compiled(text, warps, stages, capability, tmp_path)
        assert found["spills"] == 0
        assert found["registers"] <= 255
        assert found["shared"] <= shared


def compiled(text, warps, stages, capability, folder):
    """What ptxas says of a kernel: registers of a thread, bytes spilled, bytes of shared memory."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.backends.nvidia.compiler import get_ptxas

    source = folder / "kernel.ttir"
    source.write_text(text)
    target, options = GPUTarget("cuda", capability, 32), {"num_warps": warps, "num_stages": stages}
    kernel = triton.compile(str(source), target=target, options=options)
    assembly = folder / f"kernel{capability}.ptx"
    assembly.write_text(kernel.asm["ptx"])
    (architecture,) = re.findall(r"\.target (sm_\w+)", kernel.asm["ptx"])
    command = [
        get_ptxas(capability).path,
        "-v",
        f"--gpu-name={architecture}",
        assembly,
        "-o",
        folder / "code",
    ]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    return {
        "registers": int(re.search(r"Used (\d+) registers", said)[1]),
        "spills": sum(map(int, re.findall(r"(\d+) bytes spill", said))),
        "shared": kernel.metadata.shared,
    }
