"""Rows and columns cut out of a sheet."""

from __future__ import annotations

from torch import Tensor, nn

from .axis import Pair


class Crop(nn.Module):
    """`size` rows and columns from `start` on."""

    def __init__(self, start: Pair, size: Pair) -> None:
        super().__init__()
        self.start, self.size = start, size

    def forward(self, x: Tensor) -> Tensor:
        (top, left), (rows, columns) = self.start, self.size
        return x[:, :, top : top + rows, left : left + columns].contiguous()
