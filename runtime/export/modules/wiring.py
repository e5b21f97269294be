"""Layers of several operands."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Concat(nn.Module):
    """The maps of several layers, one after the other."""

    def forward(self, *values: Tensor) -> Tensor:
        return torch.cat(values, dim=1)


class Add(nn.Module):
    """The sum of several layers."""

    def forward(self, *values: Tensor) -> Tensor:
        return torch.stack(values).sum(0)
