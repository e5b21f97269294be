"""The step of step.py, in PyTorch as somebody writes it who knows how: python benchmarks/peer_step.py [SIDE [BATCH]]

The batch is the last axis. An untied layer is a function of its own, a batched product for each row of positions, whose
patches stay in the cache and are made again for the gradients; Adagrad is PyTorch's fused one. Both begin with the same
parameters and images, and their losses must agree to six digits, step by step.
"""

from __future__ import annotations

import os
import sys
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # or PyTorch's threads, waiting busily, slow lnet down

import jax
import jax.numpy as jnp
import numpy as np
import torch
from step import NETWORK
from timing import machine, medians

from lnet.compiler.pipeline import compile_text
from lnet.runtime.engine.evaluate import batch_last
from lnet.runtime.engine.network import initial_params
from lnet.runtime.engine.updates import update_rule
from lnet.runtime.kernels.mode import sample_numbers
from lnet.runtime.kernels.ops.lcn import gaussians
from lnet.runtime.training.trainer import training_step

FIELD, POOL, NORM, STAGES = 10, 3, 5, ("V1", "V2", "V3")
STEPS = 3


def main() -> None:
    side, batch = (int(word) for word in (*sys.argv[1:], "96", "64")[:2])
    print(f"{machine()}, torch {torch.__version__}")
    graph = compile_text(
        NETWORK.replace("96x96x3", f"{side}x{side}x3").replace("batch = 64", f"batch = {batch}")
    ).graph
    params = initial_params(graph, 0)
    images = np.asarray(batch_last(jax.random.normal(jax.random.key(1), (batch, side, side, 3))))
    ours, theirs = Ours(graph, params, images), Theirs(params, images)
    for number in range(STEPS):
        found, expected = ours.step(), theirs.step()
        print(f"loss of step {number + 1}: {found:.8g}, in PyTorch {expected:.8g}")
        np.testing.assert_allclose(found, expected, rtol=2e-6)
    calls = {"lnet": ours.step, "PyTorch": theirs.step}
    alone = {name: medians({name: call}, 5)[name] for name, call in calls.items()}
    for how, times in (("one after the other", alone), ("in turn", medians(calls, 5))):
        print(
            f"a step, {how}: {times['lnet']:,.0f} ms, in PyTorch {times['PyTorch']:,.0f} ms, "
            f"{times['PyTorch'] / times['lnet']:.1f} x"
        )


class Ours:
    """A run of lnet under way."""

    def __init__(self, graph: Any, params: Any, images: np.ndarray) -> None:
        rule = update_rule(graph)
        self.run, self.images = training_step(graph, rule), jnp.asarray(images)
        self.params = jax.tree.map(jnp.array, params)
        self.state = rule.init(self.params)
        self.samples = sample_numbers(0, images.shape[-1])

    def step(self) -> float:
        self.params, self.state, terms, _ = self.run(
            self.params, self.state, self.images, None, None, self.samples
        )
        return float(sum(terms.values()))


class Theirs:
    """The same in PyTorch."""

    def __init__(self, params: Any, images: np.ndarray) -> None:
        self.images = torch.from_numpy(images.copy())
        self.params = {
            name: torch.from_numpy(np.array(value)).requires_grad_() for name, value in params.items()
        }
        self.rule = torch.optim.Adagrad(
            self.params.values(), lr=0.01, initial_accumulator_value=0.1, fused=True
        )

    def step(self) -> float:
        self.rule.zero_grad()
        loss = self.loss()
        loss.backward()
        self.rule.step()
        return float(loss.detach())

    def loss(self) -> torch.Tensor:
        x, loss = self.images, torch.zeros(())
        for stage in STAGES:
            h = Local.apply(x, self.params[f"{stage}.filter.weight"])
            pool = torch.sqrt(1e-3 + field_sums(h.square()))
            decoded = Transposed.apply(h, self.params[f"{stage}.learn.decode"])
            loss = loss + ((decoded - x).square().sum() + 0.1 * pool.sum()) / x.shape[-1]
            x = normalised(pool)
        return loss


# --- untied layers: values [rows, columns, maps, batch], weights [rows, columns, field, field, maps in, maps] ---


def row_of_patches(x: torch.Tensor, row: int, columns: int) -> torch.Tensor:
    """Return what the positions of a row read: `[columns, field * field * maps, batch]`."""
    field = x[row : row + FIELD].unfold(1, FIELD, 1)  # [field rows, columns, maps, batch, field columns]
    return field.permute(1, 0, 4, 2, 3).reshape(columns, -1, x.shape[-1])


def forward(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    rows, columns, *_, maps = w.shape
    h = x.new_empty(rows, columns, maps, x.shape[-1])
    for row in range(rows):
        torch.bmm(w[row].view(columns, -1, maps).transpose(1, 2), row_of_patches(x, row, columns), out=h[row])
    return h


def backward(h: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    rows, columns, _, _, maps_in, maps = w.shape
    x = h.new_zeros(rows + FIELD - 1, columns + FIELD - 1, maps_in, h.shape[-1])
    for row in range(rows):
        fields = torch.bmm(w[row].view(columns, -1, maps), h[row]).view(columns, FIELD, FIELD, maps_in, -1)
        for v in range(FIELD):
            x[row : row + FIELD, v : v + columns] += fields[:, :, v].transpose(0, 1)
    return x


def of_weights(x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    rows, columns, maps, _ = h.shape
    w = x.new_empty(rows, columns, FIELD, FIELD, x.shape[2], maps)
    for row in range(rows):
        torch.bmm(row_of_patches(x, row, columns), h[row].transpose(1, 2), out=w[row].view(columns, -1, maps))
    return w


class Local(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x, w)
        return forward(x, w)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor]:
        x, w = ctx.saved_tensors
        gradient = gradient.contiguous()
        return backward(gradient, w) if ctx.needs_input_grad[0] else None, of_weights(x, gradient)


class Transposed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, h: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(h, w)
        return backward(h, w)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        h, w = ctx.saved_tensors
        gradient = gradient.contiguous()
        return forward(gradient, w), of_weights(gradient, h)


# --- pools and normalisations ---


def field_sums(x: torch.Tensor) -> torch.Tensor:
    for axis in (0, 1):
        outputs = x.shape[axis] - POOL + 1
        x = sum((x.narrow(axis, k, outputs) for k in range(1, POOL)), start=x.narrow(axis, 0, outputs))
    return x


def normalised(h: torch.Tensor) -> torch.Tensor:
    """Local contrast normalisation across maps, where all of the field is inside."""
    edge = NORM // 2
    bands = [torch.from_numpy(gaussians(extent, NORM, NORM / 4)).float() for extent in h.shape[:2]]
    g = h - gaussian_mean(h, *bands)
    variance = gaussian_mean(g.square(), *(band[edge:-edge] for band in bands))
    return g[edge:-edge, edge:-edge] / torch.sqrt(torch.clamp(variance, min=1e-4))


def gaussian_mean(h: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    mean = h.mean(2, keepdim=True)
    down = (rows @ mean.reshape(mean.shape[0], -1)).view(len(rows), mean.shape[1], -1)
    return torch.matmul(columns, down).view(len(rows), len(columns), 1, -1)


if __name__ == "__main__":
    main()
