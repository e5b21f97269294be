"""Rows and columns around a sheet."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Pad(nn.Module):
    """Rows and columns around each map; `pad` is (left, right, top, bottom), `mode` one of `torch.nn.functional.pad`."""

    def __init__(self, pad: tuple[int, int, int, int], mode: str = "constant") -> None:
        super().__init__()
        self.pad, self.mode = pad, mode

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, self.pad, self.mode)
