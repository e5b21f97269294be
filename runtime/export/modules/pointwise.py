"""Functions of each value alone that `torch.nn` has no module for."""

from __future__ import annotations

from torch import Tensor, nn


class Abs(nn.Module):
    """The absolute value."""

    def forward(self, x: Tensor) -> Tensor:
        return x.abs()
