"""Dense layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Dense(nn.Module):
    """Every unit reads the whole sheet, in the order row, column, map; the units are maps of a sheet of 1 x 1.

    `weight`: [input, unit], `bias`: [unit].
    """

    def __init__(self, inputs: int, units: int, *, bias: bool = False, act: nn.Module | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(inputs, units))
        self.bias = nn.Parameter(torch.zeros(units)) if bias else None
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        y = x.permute(0, 2, 3, 1).flatten(1) @ self.weight
        y = y if self.bias is None else y + self.bias
        y = y[:, :, None, None]
        return self.act(y) if self.act else y
