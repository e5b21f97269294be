"""Transposed local layers: every position that is read writes a field into a larger sheet."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .axis import Axis, Pair, Sheet, around


class LocalTranspose(nn.Module):
    """The transpose of a local layer: every position of the sheet `read` adds its own filters to the sheet `made`.

    `pad`: rows and columns written before the first, which are cut off. `bias`: the positions that have biases of their own,
    (1, 1) for one that all share. A `tied` layer is given the weights of another. `weight`: [row, column, field row, field
    column, map, map read], `bias`: [row, column, map].
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
        bias: Pair | None = None,
        act: nn.Module | None = None,
        tied: bool = False,
    ) -> None:
        super().__init__()
        sets = sets or read[:2]
        axes = zip(made[:2], read[:2], field, stride, pad, dilation, sets, block, strict=True)
        self.rows, self.columns = (Axis(*axis) for axis in axes)
        self.groups = groups
        if not tied:
            self.weight = nn.Parameter(torch.zeros(*sets, *field, made[2] // groups, read[2]))
        self.bias = nn.Parameter(torch.zeros(*bias, made[2])) if bias else None
        self.act = act

    def forward(self, x: Tensor, weight: Tensor | None = None) -> Tensor:
        written = self.written(x, self.weight if weight is None else weight)
        y = F.pad(written, around(self.rows.cut, self.columns.cut))
        if self.bias is not None:
            y = y + self.bias.permute(2, 0, 1)
        return self.act(y) if self.act else y

    def written(self, x: Tensor, weight: Tensor) -> Tensor:
        rows, columns, groups = self.rows, self.columns, self.groups
        x = F.pad(x, around((0, rows.missing), (0, columns.missing)))
        x = x.unflatten(3, columns.turns).unflatten(2, rows.turns).unflatten(1, (groups, -1))
        # the letters are those of Local: map m is read, and map c is written
        parts = torch.einsum("aduvcgm,ngmtabpde->ngcuvtabpde", weight.unflatten(-1, (groups, -1)), x)
        parts = parts.flatten(8, 10).flatten(5, 7)[..., : rows.positions, : columns.positions]
        return F.fold(
            parts.flatten(1, 4).flatten(2, 3),
            output_size=(rows.reach, columns.reach),
            kernel_size=(rows.field, columns.field),
            stride=(rows.stride, columns.stride),
            dilation=(rows.dilation, columns.dilation),
        )


class ConvolutionTranspose(LocalTranspose):
    """A transposed layer whose positions all share one set of filters."""

    def __init__(self, *sheets_and_field: Any, **given: Any) -> None:
        super().__init__(*sheets_and_field, sets=(1, 1), **given)

    def written(self, x: Tensor, weight: Tensor) -> Tensor:
        rows, columns = self.rows, self.columns
        return F.conv_transpose2d(
            x,
            weight[0, 0].permute(3, 2, 0, 1),
            stride=(rows.stride, columns.stride),
            dilation=(rows.dilation, columns.dilation),
            groups=self.groups,
        )
