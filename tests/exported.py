"""Networks as other frameworks compute them: `[batch, row, column, map]` by layer, as lnet returns values."""

import importlib.util
import sys
from dataclasses import replace
from itertools import count

import jax.numpy as jnp
import numpy as np

import lnet
from lnet import plugin
from lnet.compiler.pipeline import compile_text

TOLERANCE = 1e-5
"""Of a layer's largest value."""
_numbers = count()


def drawn(text):
    """A network with parameters drawn by numpy, which compiles nothing, and images for it."""
    plan, rng = compile_text(text), np.random.default_rng(5)
    params = {}
    for parameter in plan.graph.parameters:
        weights = rng.normal(scale=(parameter.fan_in or 1) ** -0.5, size=parameter.shape)
        params[parameter.name] = weights if parameter.is_weight else 0.5 + rng.random(parameter.shape)
    sheet = plan.graph.input.sheet
    images = rng.normal(size=(3, sheet.height, sheet.width, sheet.maps)).astype(np.float32)
    return lnet.Network(plan, params), images


def pooled_with_zeros():
    """A network as version 0.1 planned it, whose pool counts padding as zeros, and images for it that are below zero."""
    network, images = drawn("network n { image: input(5x5x1); x: maxpool(2, pad = 1); q: l2() }")
    image, pool = network.graph.layers
    graph = replace(network.graph, layers=(image, replace(pool, op=replace(pool.op, zeros=True))))
    return lnet.Network(replace(network.plan, graph=graph)), -np.abs(images)


def assert_alike(found, expected):
    for path, value in expected.items():
        assert found[path].shape == value.shape, path
        largest = np.abs(value).max()
        np.testing.assert_allclose(found[path], value, rtol=0, atol=TOLERANCE * largest + 1e-7, err_msg=path)


def maps_first(images):
    return np.ascontiguousarray(np.moveaxis(images, 3, 1))


def maps_last(value):
    return np.moveaxis(np.asarray(value), 1, 3)


def module_at(path):
    """Import a program that was written."""
    spec = importlib.util.spec_from_file_location(f"written{next(_numbers)}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[spec.name]
    return module


def values_in_torch(network, images, folder):
    import torch

    lnet.export_torch(network, folder / "net.py")
    with torch.no_grad():
        found = module_at(folder / "net.py").load()(torch.from_numpy(maps_first(images)))
    assert all(value.is_contiguous() for value in found.values()), "programs call 'view'"
    return {path: maps_last(value) for path, value in found.items()}


def session(path):
    """A session of onnxruntime, on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def values_in_onnx(network, images, folder):
    lnet.export_onnx(network, folder / "net.onnx")
    running = session(folder / "net.onnx")
    names = [output.name for output in running.get_outputs()]
    return dict(
        zip(
            names,
            map(maps_last, running.run(None, {network.graph.input.path: maps_first(images)})),
            strict=True,
        )
    )


def mish():
    """Register a layer that only lnet can compute."""

    @plugin.register
    class Mish(plugin.PerPosition):
        """`x * tanh(log(1 + exp(x)))`

        Example: mish()
        """

        kind = "mish"

        def value(self, x):
            return x * jnp.tanh(jnp.logaddexp(x, 0))
