"""Pools: a window over each map alone."""

from __future__ import annotations

from math import inf

import torch.nn.functional as F
from torch import Tensor, nn

from .axis import Pair


class Pool(nn.Module):
    """A field that slides over each map; `pad` is (left, right, top, bottom)."""

    def __init__(
        self, field: Pair, *, stride: Pair = (1, 1), pad: tuple[int, int, int, int] = (0, 0, 0, 0)
    ) -> None:
        super().__init__()
        self.field = field
        self.stride = stride
        self.pad = pad


class MaxPool(Pool):
    """The largest value of the field; padding does not count."""

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(F.pad(x, self.pad, value=-inf), self.field, self.stride)


class MaxPoolOfZeros(Pool):
    """The largest value of the field; padding counts as zeros."""

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(F.pad(x, self.pad), self.field, self.stride)


class AvgPool(Pool):
    """The mean of the field; padding counts as zeros."""

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(F.pad(x, self.pad), self.field, self.stride)


class L2Pool(Pool):
    """The square root of `eps` and the sum of squares over the field."""

    def __init__(
        self,
        field: Pair,
        *,
        stride: Pair = (1, 1),
        pad: tuple[int, int, int, int] = (0, 0, 0, 0),
        eps: float = 1e-3,
    ) -> None:
        super().__init__(field, stride=stride, pad=pad)
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        squares = F.avg_pool2d(F.pad(x.square(), self.pad), self.field, self.stride, divisor_override=1)
        return (self.eps + squares).sqrt()
