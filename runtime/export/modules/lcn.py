"""Local contrast normalisation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .axis import Pair


class LCN(nn.Module):
    """Local contrast normalisation: subtract the Gaussian mean around each position, divide by the deviation.

    The part of the Gaussian inside the sheet of `size` rows and columns sums to 1. `across`: over all maps, or over each
    alone. `floor`: the least deviation. `margin`: rows and columns that are left out on each side.
    """

    rows: Tensor
    columns: Tensor

    def __init__(
        self,
        size: Pair,
        field: Pair,
        sigma: tuple[float, float],
        *,
        across: bool = True,
        floor: float = 0.01,
        margin: Pair = (0, 0),
    ) -> None:
        super().__init__()
        rows, columns = (gaussians(*axis) for axis in zip(size, field, sigma, strict=True))
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("columns", columns, persistent=False)
        self.across = across
        self.floor = floor
        self.margin = margin

    def forward(self, x: Tensor) -> Tensor:
        centred = x - self.mean(x)
        y = centred / self.mean(centred.square()).clamp(min=self.floor**2).sqrt()
        top, left = self.margin
        return y[:, :, top : y.shape[2] - top, left : y.shape[3] - left].contiguous()

    def mean(self, x: Tensor) -> Tensor:
        if self.across:
            x = x.mean(1, keepdim=True)
        return self.rows.to(x.dtype) @ x @ self.columns.to(x.dtype).T


def gaussians(extent: int, field: int, sigma: float) -> Tensor:
    """Return what each position along an axis gives its neighbours: `[extent, extent]`, rows sum to 1."""
    places = torch.arange(extent, dtype=torch.float64)
    distances = places[:, None] - places
    weights = torch.exp(-distances.square() / (2 * sigma**2)) * (distances.abs() <= field // 2)
    return (weights / weights.sum(1, keepdim=True)).float()
