"""The base of a local layer and its transpose: a window, and the filters that slide with it."""

from __future__ import annotations

from dataclasses import dataclass, field

from lnet.compiler.core.layer import Op, Weights
from lnet.compiler.core.learned import USUAL, Learned
from lnet.compiler.core.shapes import Region, Size, Window


@dataclass(frozen=True, slots=True)
class Filters(Op):
    """A filter for each map and position `i,j` of the window, that of set `i mod sets.rows, j mod sets.columns`."""

    window: Window
    maps_in: int  # of the sheet that the window slides over
    maps: int  # of the sheet of the window's positions
    sets: Size
    learned: Learned = field(default=USUAL, kw_only=True)

    @property
    def field_size(self) -> Size:
        return self.window.field

    @property
    def fan_in(self) -> int:
        return self.window.field.rows * self.window.field.columns * self.maps_in

    @property
    def fan_out(self) -> int:
        return self.window.field.rows * self.window.field.columns * self.maps

    @property
    def position_weights(self) -> bool:
        return self.sets == self.window.outputs

    def weights(self) -> dict[str, Weights]:
        field = self.window.field
        shape = (self.sets.rows, self.sets.columns, field.rows, field.columns, self.maps_in, self.maps)
        axes = ("row", "column", "field row", "field column", "input map", "map")
        how = self.learned
        return {"weight": Weights(shape, axes, self.fan_in, self.fan_out, how.init, how.speed, how.unit)}

    def first_set(self, region: Region) -> Size:
        if self.position_weights:
            return Size(0, 0)
        return Size(region.rows.start % self.sets.rows, region.columns.start % self.sets.columns)

    def sets_of(self, positions: Region) -> Size:
        """Return the sets of weights of a window that is restricted to some of its positions."""
        return positions.size if self.position_weights else self.sets

    def multiply_adds(self) -> int:
        outputs = self.window.outputs
        return outputs.rows * outputs.columns * self.maps * self.fan_in
