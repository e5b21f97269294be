"""The `train` block, checked and typed: what to learn from, how, and for how long (docs/language.md)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import gcd
from typing import Annotated, Any

from .arguments import (
    Context,
    Count,
    Extent,
    Flag,
    Momentum,
    Natural,
    NonNegative,
    OptionalExtent,
    OptionalNatural,
    OptionalText,
    Positive,
    Refused,
    Seed,
    Sharing,
    Text,
    made_by,
    none_or,
    one_of,
)
from .shapes import Sheet, Size
from .values import Extents


@dataclass(frozen=True, slots=True)
class Frames:
    """Where images come from and how they become a batch: `frames(...)` in the language."""

    path: str
    size: Size
    crop: str = "random"  # random | center | resize
    flip: bool = True
    normalize: str = "image"  # image | none
    labels: str | None = None  # None | "folder"
    exclude: str | None = None
    classes: str | None = None


@dataclass(frozen=True, slots=True)
class Update:
    """An update rule with its numbers: `adagrad(rate = 0.01)`.

    `stale`: whether a gradient that is `a` updates old takes the full rate, or that divided by max(1, a) (Zhang et al.,
    Staleness-aware Async-SGD, 2016).
    """

    rule: str = "adagrad"  # sgd | adagrad | adam
    rate: float = 0.01
    momentum: float = 0.0
    initial: float = 0.1
    schedule: str = "constant"  # constant | cosine
    stale: str = "full"  # full | scaled


Data = Annotated[Frames | None, made_by('images, such as frames("photos")', Frames, "frames")]
Rule = Annotated[
    Update, made_by("an update rule: adagrad(...), sgd(...) or adam(...)", Update, "adagrad", "sgd", "adam")
]
Gradients = Annotated[str, one_of("joint", "stage")]
Precision = Annotated[str, one_of("float32", "bfloat16")]


@dataclass(frozen=True, slots=True)
class Training:
    """All settings of `train`, with the defaults of the language."""

    data: Data = None
    batch: Count = 100
    steps: Count = 1000
    update: Rule = field(default_factory=Update)
    gradients: Gradients = "joint"
    precision: Precision = "float32"
    replicas: Count = 1
    fetch: Count = 1
    push: Count = 1
    staleness: OptionalNatural = None
    warmup: Natural = 0
    checkpoint: Count = 500
    keep: Count = 3
    seed: Seed = 0

    def __post_init__(self) -> None:
        if self.staleness is None:
            return
        # At a fetch, up to `push - gcd` steps of a replica are computed and not pushed yet; `fetch - 1` more follow.
        least = self.fetch - 1 + self.push - gcd(self.fetch, self.push)
        if self.staleness < least:
            raise Refused(
                "E513",
                f"gradients of 'fetch = {self.fetch}' and 'push = {self.push}' are up to {least} steps old, "
                f"but 'staleness = {self.staleness}' allows {self.staleness}",
                argument="staleness",
                hints=(f"take 'staleness = {least}' or more, or a smaller 'fetch' or 'push'",),
            )
        if self.staleness == 0 and (self.fetch, self.push) != (1, 1):
            raise Refused(
                "E513",
                f"'staleness = 0' is synchronous: 'fetch' and 'push' must be 1, found {self.fetch} and {self.push}",
                argument="staleness",
            )


Crop = Annotated[str, one_of("random", "center", "resize")]
Normalize = Annotated[str, one_of("image", "none")]
Labels = Annotated[str | None, none_or(one_of("folder"))]
Schedule = Annotated[str, one_of("constant", "cosine")]
Stale = Annotated[str, one_of("full", "scaled")]
InputSheet = Annotated[Sheet, Context("input")]


def frames(
    path: Text,
    size: OptionalExtent = None,
    crop: Crop = "random",
    flip: Flag = True,
    normalize: Normalize = "image",
    labels: Labels = None,
    exclude: OptionalText = None,
    classes: OptionalText = None,
    *,
    input: InputSheet,
) -> Frames:
    if size is not None and size != input.size:
        raise Refused(
            "E512",
            f"'size' must be the rows and columns of the input, {input.size}, found {size}",
            argument="size",
            hints=("leave 'size' out: it is the input's unless given",),
        )
    return Frames(path, input.size, crop, flip, normalize, labels, exclude, classes)


def adagrad(
    rate: Positive, initial: NonNegative = 0.1, schedule: Schedule = "constant", stale: Stale = "full"
) -> Update:
    return Update("adagrad", rate=rate, initial=initial, schedule=schedule, stale=stale)


def sgd(
    rate: Positive, momentum: Momentum = 0.0, schedule: Schedule = "constant", stale: Stale = "full"
) -> Update:
    return Update("sgd", rate=rate, momentum=momentum, schedule=schedule, stale=stale)


def adam(rate: Positive, schedule: Schedule = "constant", stale: Stale = "full") -> Update:
    return Update("adam", rate=rate, schedule=schedule, stale=stale)


def size(rows: Natural, columns: Natural, maps: OptionalNatural = None) -> Extents:
    return Extents((rows, columns) if maps is None else (rows, columns, maps))


def tile(k: Extent) -> Sharing:
    return Sharing(k)


CALLS: dict[str, Callable[..., Any]] = {
    "size": size,
    "tile": tile,
    "frames": frames,
    "adagrad": adagrad,
    "sgd": sgd,
    "adam": adam,
}
"""What an expression can call."""

__all__ = ["CALLS", "Frames", "Training", "Update"]
