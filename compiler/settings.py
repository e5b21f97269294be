"""The `train` block, checked and typed: data, update rule, duration and replicas (docs/language.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import gcd
from typing import Annotated, ClassVar

from .augmentations import Augment, Augmentation, check_augment
from .core.arguments import (
    Context,
    Count,
    File,
    Flag,
    Natural,
    OptionalExtent,
    OptionalFile,
    OptionalNatural,
    OptionalText,
    Refused,
    Seed,
    Text,
    made_by,
    names_or_none,
    none_or,
    one_of,
)
from .core.shapes import Sheet, Size
from .rules import USUAL, UpdateRule


class TrainingData:
    """What a run trains on, at a path, which is empty for what is given in Python."""

    __slots__ = ()
    kind: ClassVar[str]
    path: str
    normalize: str
    labels: str | None

    def at(self, path: str) -> TrainingData:
        """Return the same of what is at another path."""
        return replace(self, path=path)  # type: ignore[type-var]

    def normalized(self, how: str) -> TrainingData:
        """Return the same, normalised otherwise."""
        return replace(self, normalize=how)  # type: ignore[type-var]


@dataclass(frozen=True, slots=True)
class Frames(TrainingData):
    """The source of images and their preparation: `frames(...)` in the language."""

    kind: ClassVar[str] = "frames"
    path: str
    size: Size
    crop: str = "random"  # random | center | resize
    flip: bool = True
    normalize: str = "image"  # image | none | symmetric
    labels: str | None = None  # None | "folder"
    exclude: str | None = None
    classes: str | None = None
    augment: tuple[Augmentation, ...] = ()


@dataclass(frozen=True, slots=True)
class ArraySet(TrainingData):
    """Arrays by name, which are no images: `arrays(...)` in the language. `targets`: the arrays of the network's targets."""

    kind: ClassVar[str] = "arrays"
    path: str
    values: str = "x"
    labels: str | None = None
    targets: tuple[str, ...] = ()
    normalize: str = "none"  # image | none
    classes: str | None = None

    def of_targets(self, paths: Sequence[str]) -> dict[str, str]:
        """Return the array of each of the network's targets; with several the arrays have their names."""
        return (
            dict(zip(paths, self.targets, strict=True)) if len(paths) == 1 else {path: path for path in paths}
        )


Crop = Annotated[str, one_of("random", "center", "resize")]
Normalize = Annotated[str, one_of("image", "none", "symmetric")]
ArrayNormalize = Annotated[str, one_of("image", "none")]
Labels = Annotated[str | None, none_or(one_of("folder"))]
Names = Annotated[tuple[str, ...], names_or_none()]
InputSheet = Annotated[Sheet, Context("input")]


def frames(
    path: File,
    size: OptionalExtent = None,
    crop: Crop = "random",
    flip: Flag = True,
    normalize: Normalize = "image",
    labels: Labels = None,
    exclude: OptionalFile = None,
    classes: OptionalFile = None,
    augment: Augment = (),
    *,
    input: InputSheet,
) -> Frames:
    check_augment(augment, crop, input)
    if size is not None and size != input.size:
        raise Refused(
            "E512",
            f"'size' must be the rows and columns of the input, {input.size}, found {size}",
            argument="size",
            hints=("leave 'size' out: it is the input's unless given",),
        )
    return Frames(path, input.size, crop, flip, normalize, labels, exclude, classes, augment)


def arrays(
    path: File,
    values: Text = "x",
    labels: OptionalText = None,
    targets: Names = (),
    normalize: ArrayNormalize = "none",
    classes: OptionalFile = None,
) -> ArraySet:
    return ArraySet(path, values, labels, targets, normalize, classes)


TRAINING_DATA: dict[str, type[TrainingData]] = {each.kind: each for each in (Frames, ArraySet)}
Data = Annotated[
    TrainingData | None,
    made_by('images or arrays, such as frames("photos")', TrainingData, {"frames": frames, "arrays": arrays}),
]
Gradients = Annotated[str, one_of("joint", "stage")]
Precision = Annotated[str, one_of("float32", "bfloat16")]


@dataclass(frozen=True, slots=True)
class Training:
    """All settings of `train`, with the defaults of the language."""

    data: Data = None
    batch: Count = 100
    steps: Count = 1000
    update: UpdateRule = USUAL
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
