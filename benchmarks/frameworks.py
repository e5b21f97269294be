"""The untied layer in PyTorch and Keras against their users' recipes: python benchmarks/frameworks.py [WORD...]

The layer with its biases, batch first. Each framework has a process of its own; there, what is compared takes turns.

    torch     forward, and with all gradients; `unfold` + `bmm` is the usual recipe, windows as views the fastest one found
    keras     a model of a 1x1 convolution and this layer: what it says to a batch, and a step of SGD
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any, NamedTuple

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from timing import Call, machine, medians


class Case(NamedTuple):
    """A square layer without padding."""

    name: str
    batch: int
    extent: int
    channels: int
    field: int
    maps: int

    @property
    def positions(self) -> int:
        return self.extent - self.field + 1

    @property
    def images(self) -> np.ndarray[Any, Any]:
        shape = (self.batch, self.extent, self.extent, self.channels)
        return np.random.default_rng(0).normal(size=shape).astype(np.float32)


CASES = (
    Case("field 18, 3 to 8 maps", 64, 48, 3, 18, 8),
    Case("field 5, 32 to 32 maps", 32, 32, 32, 5, 32),
    Case("field 5, 3 to 8 maps, batch 4", 4, 12, 3, 5, 8),
)
FRAMEWORKS = ("torch", "keras on jax", "keras on torch", "keras on tensorflow")


def main() -> None:
    if sys.argv[1:2] == ["--in"]:
        _measure(sys.argv[2], sys.argv[3:])
        return
    print(machine(), flush=True)
    for framework in FRAMEWORKS:
        environment = os.environ | {"KERAS_BACKEND": framework.rpartition(" ")[2]}
        subprocess.run(
            [sys.executable, __file__, "--in", framework, *sys.argv[1:]], env=environment, check=True
        )


def _measure(framework: str, words: list[str]) -> None:
    print(f"\n{framework}", flush=True)
    for case in CASES:
        if words and not any(word in case.name for word in words):
            continue
        print(f"  {case.name}: {case.batch} images {case.extent}x{case.extent}x{case.channels}")
        backward = "with all gradients" if framework == "torch" else "a step of training"
        for passes, what in ((1, "forward"), (3, backward)):
            calls = (_torch if framework == "torch" else _keras)(case, passes)
            times = medians(calls, 9 if passes == 1 else 5)
            own = times.pop("lnet")
            print(f"    {what}: {own:.2f} ms")
            for peer, took in sorted(times.items(), key=lambda entry: entry[1]):
                print(f"      {took / own:.1f} x as fast as {peer} ({took:,.2f} ms)", flush=True)


# --- PyTorch ---------------------------------------------------------------------------------------------


def _torch(case: Case, passes: int) -> dict[str, Call]:
    import torch

    import lnet.torch

    positions, field, maps = case.positions, case.field, case.maps
    layer = lnet.torch.LocallyConnected2d(case.channels, maps, field, input_size=case.extent)
    images = torch.from_numpy(case.images).permute(0, 3, 1, 2).contiguous()
    rows = layer.weight.detach().permute(0, 1, 4, 2, 3, 5).reshape(positions**2, -1, maps)
    biases = layer.bias.detach()

    class Usual(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(rows.clone())
            self.bias = torch.nn.Parameter(biases.reshape(positions**2, 1, maps).clone())

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            patches = torch.nn.functional.unfold(x, field).permute(2, 0, 1)
            h = torch.baddbmm(self.bias, patches, self.weight)
            return h.permute(1, 2, 0).unflatten(2, (positions, positions))

    class Views(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(rows.transpose(1, 2).contiguous())
            self.bias = torch.nn.Parameter(biases.reshape(positions**2, maps, 1).clone())

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            windows = x.permute(2, 3, 1, 0).contiguous().unfold(0, field, 1).unfold(1, field, 1)
            patches = windows.permute(0, 1, 2, 4, 5, 3).reshape(positions**2, -1, len(x))
            h = torch.baddbmm(self.bias, self.weight, patches)
            return h.view(positions, positions, maps, len(x)).permute(3, 2, 0, 1)

    models = {"lnet": layer, "unfold + bmm": Usual(), "windows as views, batch last": Views()}
    models |= {f"{name}, torch.compile": torch.compile(models[name]) for name in list(models)[1:]}
    values = [model(images) for model in models.values()]
    for value in values:
        torch.testing.assert_close(value, values[0], rtol=1e-3, atol=1e-3)
    slopes = torch.randn_like(values[0])

    def call(model: Any) -> Call:
        read = images.clone().requires_grad_()

        def forward() -> None:
            with torch.no_grad():
                model(images)

        def training() -> None:
            model.zero_grad()
            read.grad = None
            model(read).backward(slopes)

        return forward if passes == 1 else training

    return {name: call(model) for name, model in models.items()}


# --- Keras -----------------------------------------------------------------------------------------------


def _keras(case: Case, passes: int) -> dict[str, Call]:
    import keras

    import lnet.keras

    class Recipe(keras.layers.Layer):
        def build(self, shape: tuple[int, ...]) -> None:
            positions = case.positions
            self.kernel = self.add_weight(shape=(positions, positions, case.field**2 * shape[3], case.maps))
            self.bias = self.add_weight(shape=(positions, positions, case.maps))

        def call(self, images: Any) -> Any:
            patches = keras.ops.image.extract_patches(images, case.field, strides=1)
            return keras.ops.einsum("nijk,ijkm->nijm", patches, self.kernel) + self.bias

    layers = {"lnet": lnet.keras.LocallyConnected2D(case.maps, case.field), "patches + einsum": Recipe()}
    calls = {name: _step(keras, layer, case, passes) for name, layer in layers.items()}
    if keras.config.backend() == "tensorflow":
        import tf_keras

        layer = tf_keras.layers.LocallyConnected2D(case.maps, case.field)
        calls["tf-keras's layer, implementation 1"] = _step(tf_keras, layer, case, passes)
    return calls


def _step(keras: Any, layer: Any, case: Case, passes: int) -> Call:
    """Return a call of a model: what it says to a batch, or one step of its training.

    A convolution before the layer makes its input need a gradient.
    """
    before = keras.layers.Conv2D(case.channels, 1)
    model = keras.Sequential([keras.Input(case.images.shape[1:]), before, layer])
    model.compile(keras.optimizers.SGD(1e-3), "mse")
    images, wanted = (
        case.images,
        np.zeros((case.batch, case.positions, case.positions, case.maps), np.float32),
    )
    if passes == 1:
        return lambda: model.predict_on_batch(images)
    return lambda: model.train_on_batch(images, wanted)


if __name__ == "__main__":
    main()
