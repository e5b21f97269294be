"""Normalisation of each image, or of a batch."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Norm(nn.Module):
    """The base of normalisations. `scale` and `shift`: [row, column, map] or [map], or None for none."""

    def __init__(self, scale: tuple[int, ...] | None, shift: tuple[int, ...] | None, eps: float) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(scale)) if scale else None
        self.shift = nn.Parameter(torch.zeros(shift)) if shift else None
        self.eps = eps

    def normalised(self, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        return (x - mean) / (variance + self.eps).sqrt()

    def scaled(self, y: Tensor) -> Tensor:
        if self.scale is not None:
            y = y * maps_first(self.scale)
        return y if self.shift is None else y + maps_first(self.shift)


class LayerNorm(Norm):
    """Each image by its own mean and variance, in groups of maps; `everywhere`: over all positions, or at each alone."""

    def __init__(
        self,
        *,
        everywhere: bool = True,
        groups: int = 1,
        scale: tuple[int, ...] | None = None,
        shift: tuple[int, ...] | None = None,
        eps: float = 1e-5,
    ) -> None:
        super().__init__(scale, shift, eps)
        self.axes = (2, 3, 4) if everywhere else (2,)
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        grouped = x.unflatten(1, (self.groups, -1))
        variance, mean = torch.var_mean(grouped, self.axes, correction=0, keepdim=True)
        return self.scaled(self.normalised(grouped, mean, variance).flatten(1, 2))


class BatchNorm(Norm):
    """Each map by running values of its mean and variance, in training by those of the batch."""

    mean: Tensor
    variance: Tensor

    def __init__(
        self,
        maps: int,
        *,
        momentum: float = 0.99,
        scale: tuple[int, ...] | None = None,
        shift: tuple[int, ...] | None = None,
        eps: float = 1e-3,
    ) -> None:
        super().__init__(scale, shift, eps)
        self.register_buffer("mean", torch.zeros(maps))
        self.register_buffer("variance", torch.ones(maps))
        self.momentum = momentum

    def forward(self, x: Tensor) -> Tensor:
        mean, variance = self.mean, self.variance
        if self.training:
            variance, mean = torch.var_mean(x, (0, 2, 3), correction=0)
            self.mean.lerp_(mean.detach(), 1 - self.momentum)
            self.variance.lerp_(variance.detach(), 1 - self.momentum)
        return self.scaled(self.normalised(x, maps_first(mean), maps_first(variance)))


def maps_first(array: Tensor) -> Tensor:
    """`[map]` or `[row, column, map]` to `[map, row, column]`."""
    return array[:, None, None] if array.ndim == 1 else array.permute(2, 0, 1)
