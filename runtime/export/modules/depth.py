"""Maps as positions, and positions as maps."""

from __future__ import annotations

from torch import Tensor, nn

from .axis import Pair


class DepthToSpace(nn.Module):
    """The maps at each position as a block of rows and columns."""

    def __init__(self, block: Pair) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        x = x.unflatten(1, (*self.block, -1))  # n, block row, block column, map, row, column
        return x.permute(0, 3, 4, 1, 5, 2).flatten(4, 5).flatten(2, 3)


class SpaceToDepth(nn.Module):
    """Each block of rows and columns as the maps at one position."""

    def __init__(self, block: Pair) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = self.block
        x = x.unflatten(3, (-1, columns)).unflatten(
            2, (-1, rows)
        )  # n, map, row, block row, column, block column
        return x.permute(0, 3, 5, 1, 2, 4).flatten(1, 3)
