"""Local layers, and those whose positions share one filter: convolutions."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .axis import Axis, Pair, Sheet, around
from .sliding import fields


class Local(nn.Module):
    """A locally connected layer: every position of the sheet `made` has its own filters over the sheet `read`.

    `pad`: zeros before the first row and column. With fewer `sets` of filters than positions, blocks of positions take turns
    at them. `weight`: [row, column, field row, field column, map read, map], `bias`: [row, column, map].
    """

    def __init__(
        self,
        read: Sheet,
        made: Sheet,
        field: Pair,
        *,
        stride: Pair = (1, 1),
        pad: Pair = (0, 0),
        dilation: Pair = (1, 1),
        groups: int = 1,
        sets: Pair | None = None,
        block: Pair = (1, 1),
        bias: bool = False,
        act: nn.Module | None = None,
    ) -> None:
        super().__init__()
        sets = sets or made[:2]
        axes = zip(read[:2], made[:2], field, stride, pad, dilation, sets, block, strict=True)
        self.rows, self.columns = (Axis(*axis) for axis in axes)
        self.groups = groups
        self.weight = nn.Parameter(torch.zeros(*sets, *field, read[2] // groups, made[2]))
        self.bias = nn.Parameter(torch.zeros(*sets, made[2])) if bias else None
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        y = self.filtered(F.pad(x, around(self.rows.padding, self.columns.padding)))
        return self.act(y) if self.act else y

    def filtered(self, x: Tensor) -> Tensor:
        rows, columns, groups = self.rows, self.columns, self.groups
        seen = fields(x, rows, columns)  # n, map, row, column, u, v
        seen = seen.unflatten(3, columns.turns).unflatten(2, rows.turns).unflatten(1, (groups, -1))
        weight = self.weight.unflatten(-1, (groups, -1))
        # weight: row set a, column set d, field row u, field column v, map read c, group g, map m
        # seen: image n, group g, map c; row i in turns t, sets a, blocks b; column j in turns p, sets d, blocks e; u, v
        y = torch.einsum("aduvcgm,ngctabpdeuv->ngmtabpde", weight, seen)
        if self.bias is not None:
            bias = self.bias.unflatten(-1, (groups, -1)).permute(2, 3, 0, 1)  # g, m, a, d
            y = y + bias[:, :, None, :, None, None, :, None]
        y = y.flatten(6, 8).flatten(3, 5).flatten(1, 2)
        return y[:, :, : rows.positions, : columns.positions].contiguous()


class Convolution(Local):
    """A local layer whose positions all share one set of filters."""

    def __init__(self, *sheets_and_field: Any, **given: Any) -> None:
        super().__init__(*sheets_and_field, sets=(1, 1), **given)

    def filtered(self, x: Tensor) -> Tensor:
        rows, columns = self.rows, self.columns
        return F.conv2d(
            x,
            self.weight[0, 0].permute(3, 2, 0, 1),
            None if self.bias is None else self.bias[0, 0],
            stride=(rows.stride, columns.stride),
            dilation=(rows.dilation, columns.dilation),
            groups=self.groups,
        )
