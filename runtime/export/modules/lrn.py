"""Local response normalisation."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class LRN(nn.Module):
    """Local response normalisation over neighbouring maps, `x / (bias + alpha / size * sum x^2)^beta`."""

    def __init__(self, size: int, *, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.bias = size, alpha, beta, bias

    def forward(self, x: Tensor) -> Tensor:
        return F.local_response_norm(x, self.size, self.alpha, self.beta, self.bias)
