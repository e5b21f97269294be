"""The `train` block, checked and typed: what to learn from, how, and for how long."""

from __future__ import annotations

from dataclasses import dataclass, field

from .shapes import Size


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


@dataclass(frozen=True, slots=True)
class Update:
    """An update rule with its numbers: `adagrad(rate = 0.01)`."""

    rule: str = "adagrad"  # sgd | adagrad | adam
    rate: float = 0.01
    momentum: float = 0.0
    initial: float = 0.1
    schedule: str = "constant"  # constant | cosine


@dataclass(frozen=True, slots=True)
class Training:
    """All settings of `train`, with the defaults of the language."""

    data: Frames | None = None
    batch: int = 100
    steps: int = 1000
    update: Update = field(default_factory=Update)
    gradients: str = "joint"  # joint | stage
    precision: str = "float32"  # float32 | bfloat16
    replicas: int = 1
    fetch: int = 1
    push: int = 1
    staleness: int | None = None
    warmup: int = 0
    checkpoint: int = 500
    keep: int = 3
    seed: int = 0
