"""Ops of each position alone, and how one becomes the `act` of another op.

    a: softmax()                           reads the layer above, as any layer does
    b: local(5, 8, act = softmax)          reads, at each position, what the layer makes there

An `act` is an op like that of a layer of its own, over the sheet of the op that ends with it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Self, get_type_hints

from lnet.compiler.core.arguments import Refused, made_by, none_or, since, version_of
from lnet.compiler.core.kinds import FILLED_IN
from lnet.compiler.core.layer import Op
from lnet.compiler.core.shapes import Region, Sheet


@dataclass(frozen=True, slots=True)
class AtPosition(Op):
    """A function of the maps at each position alone, with as many maps."""

    keeps_patch: ClassVar[bool] = True
    reads_sheet: Sheet

    @classmethod
    def over(cls, reads: Sheet, **arguments: Any) -> Self:
        """Return the op over a whole sheet."""
        return cls(reads, **arguments)

    @property
    def sheet(self) -> Sheet:
        return self.reads_sheet

    def in_line(self) -> Self | None:
        return None

    def part(self, region: Region) -> Self:
        return replace(self, reads_sheet=Sheet.over(region, self.reads_sheet.maps))


@dataclass(frozen=True, slots=True)
class Act:
    """`act` as written: a function with its arguments, which gets its sheet from the op that ends with it."""

    made: type[AtPosition]
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        return self.made.kind

    def over(self, sheet: Sheet) -> AtPosition:
        """Return the op over a sheet; raises `Refused` if it cannot end another."""
        try:
            op = self.made.over(sheet, **self.arguments)
        except Refused as refused:
            refused.argument = "act"
            raise
        if not op.weights() and op.sheet == sheet:
            return op
        reason = "has parameters of its own" if op.weights() else f"makes {op.sheet} of {sheet}"
        raise Refused(
            "E610",
            f"'{op.kind}' cannot be an 'act', because it {reason}",
            argument="act",
            hints=(f"write '{op.kind}' as a layer of its own, behind this one",),
        )


def over(act: Act | None, sheet: Sheet) -> AtPosition | None:
    """Return the op of an `act` over the sheet that another op makes; None for none."""
    return None if act is None else act.over(sheet)


ACTS: dict[str, Callable[..., Act]] = {}
"""The functions that `act` takes: those below that are entered here, and what plug-ins bring."""
Activation = Annotated[Act | None, none_or(made_by("{words}", Act, ACTS))]
"""The function at the end of another op: `act = relu`, `act = leaky_relu(slope = 0.1)`."""


def enter_act(made: type[AtPosition]) -> None:
    """Let `act` take a class under its `kind`, with its fields as arguments."""

    def call(**arguments: Any) -> Act:
        return Act(made, arguments)

    hints = get_type_hints(made, include_extras=True)
    rows = [row for row in inspect.signature(made).parameters.values() if row.name not in FILLED_IN]
    call.__signature__ = inspect.Signature(rows)  # type: ignore[attr-defined]
    call.__annotations__ = {row.name: hints[row.name] for row in rows}
    call.__name__, call.__doc__ = made.kind, made.__doc__
    ACTS[made.kind] = since(version_of(made))(call)
