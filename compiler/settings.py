"""The `train` block, checked and typed: data, update rule, duration and replicas (docs/language.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from math import ceil, gcd
from typing import Annotated, Any, ClassVar

from .augmentations import Augment, Augmentation, check_augment
from .core.arguments import (
    FLAG,
    TEXT,
    ArgumentType,
    Context,
    Count,
    File,
    Mismatch,
    Natural,
    OptionalCount,
    OptionalExtent,
    OptionalFile,
    OptionalNatural,
    OptionalPositive,
    OptionalText,
    Positive,
    Refused,
    Seed,
    Views,
    made_by,
    names_or_none,
    none_or,
    one_of,
)
from .core.shapes import Sheet, Size
from .core.values import Value
from .rules import USUAL, UpdateRule

DATASET = "dataset"
"""The normalisation by figures of the whole data set, before they are measured."""


@dataclass(frozen=True, slots=True)
class DatasetFigures:
    """`normalize = dataset` of a run: mean and standard deviation of each map of its training data."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def __str__(self) -> str:
        return DATASET


Normalization = str | DatasetFigures
"""`image`, `none`, `symmetric` or `dataset`; in the plan of a run figures in place of `dataset`."""


class TrainingData:
    """What a run trains on, at a path, which is empty for what is given in Python."""

    __slots__ = ()
    kind: ClassVar[str]
    path: str
    normalize: Normalization
    labels: str | None

    def at(self, path: str) -> TrainingData:
        """Return the same of what is at another path."""
        return replace(self, path=path)  # type: ignore[type-var]

    def normalized(self, how: Normalization) -> TrainingData:
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
    normalize: Normalization = "image"
    labels: str | None = None  # None | "folder" | "file"
    exclude: str | None = None
    classes: str | None = None
    augment: tuple[Augmentation, ...] = ()
    views: int = 1  # | 2


@dataclass(frozen=True, slots=True)
class ArraySet(TrainingData):
    """Arrays by name, which are no images: `arrays(...)` in the language. `targets`: the arrays of the network's targets."""

    kind: ClassVar[str] = "arrays"
    path: str
    values: str = "x"
    labels: str | None = None
    targets: tuple[str, ...] = ()
    normalize: Normalization = "none"
    classes: str | None = None

    def of_targets(self, paths: Sequence[str]) -> dict[str, str]:
        """Return the array of each of the network's targets; with several the arrays have their names."""
        return (
            dict(zip(paths, self.targets, strict=True)) if len(paths) == 1 else {path: path for path in paths}
        )


class Validation:
    """What a network is tested on while it is trained. What it leaves out (None) is as in `data`."""

    __slots__ = ()
    kind: ClassVar[str]
    path: str

    def at(self, path: str) -> Validation:
        """Return the same of what is at another path."""
        return replace(self, path=path)  # type: ignore[type-var]

    def like(self, data: TrainingData, size: Size) -> TrainingData:
        """Return what is read for a network with an input of this size that is trained on `data`."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class ValidationFrames(Validation):
    """Images, as evaluation sees them unless it says otherwise: the same windows at each validation."""

    kind: ClassVar[str] = "frames"
    path: str
    crop: str = "center"
    flip: bool = False
    labels: str | None = None
    exclude: str | None = None

    def like(self, data: TrainingData, size: Size) -> TrainingData:
        labels = data.labels if self.labels is None and isinstance(data, Frames) else self.labels
        return Frames(self.path, size, self.crop, self.flip, data.normalize, labels, self.exclude)


@dataclass(frozen=True, slots=True)
class ValidationArrays(Validation):
    """Arrays by name."""

    kind: ClassVar[str] = "arrays"
    path: str
    values: str | None = None
    labels: str | None = None
    targets: tuple[str, ...] = ()

    def like(self, data: TrainingData, size: Size) -> TrainingData:
        named = data if isinstance(data, ArraySet) else ArraySet("")
        values, labels = self.values or named.values, self.labels or named.labels
        return ArraySet(self.path, values, labels, self.targets or named.targets, data.normalize)


VALIDATIONS: dict[str, type[ValidationFrames | ValidationArrays]] = {
    each.kind: each for each in (ValidationFrames, ValidationArrays)
}


@dataclass(frozen=True, slots=True)
class WrittenData:
    """`frames(...)` or `arrays(...)` as it stands in a file, where `data` and `validation` differ in what is left out."""

    kind: str
    said: Mapping[str, Any]

    def training(self) -> TrainingData:
        """Return the value of `data`."""
        return TRAINING_DATA[self.kind](**self.said)

    def validation(self, data: TrainingData | None) -> Validation:
        """Return the value of `validation`; raises `Refused` for what `data` alone can say."""
        kind, trained = VALIDATIONS[self.kind], data or self.training()
        own = {field.name for field in fields(kind)}
        for name in self.said.keys() - own - {"size"}:
            shared = name in ("normalize", "classes")
            if not shared or str(self.said[name]) != str(getattr(trained, name)):
                raise Refused(
                    "E520",
                    "'validation' takes its normalisation and its classes from 'data', and is not augmented",
                    argument="validation",
                    hints=(f"leave '{name}' out" + ": it is that of 'data'" * shared,),
                )
        return kind(**{name: value for name, value in self.said.items() if name in own})


def _written(kind: str, **said: Any) -> WrittenData:
    return WrittenData(kind, {name: value for name, value in said.items() if value not in (None, ())})


Crop = Annotated[str | None, one_of("random", "center", "resize")]
Mirrored = Annotated[bool | None, FLAG]
Normalize = Annotated[str | None, one_of("image", "none", "symmetric", DATASET)]
ArrayNormalize = Annotated[str | None, one_of("image", "none", DATASET)]
ArrayName = Annotated[str | None, TEXT]
Labels = Annotated[str | None, none_or(one_of("folder", "file"))]
Names = Annotated[tuple[str, ...], names_or_none()]
InputSheet = Annotated[Sheet, Context("input")]
Ahead = Annotated[int, Context("ahead")]


def frames(
    path: File,
    size: OptionalExtent = None,
    crop: Crop = None,
    flip: Mirrored = None,
    normalize: Normalize = None,
    labels: Labels = None,
    exclude: OptionalFile = None,
    classes: OptionalFile = None,
    augment: Augment = (),
    views: Views = 1,
    *,
    input: InputSheet,
) -> WrittenData:
    """Images at a path: cropped, mirrored, normalised, augmented, with labels and views if asked for

    Example: frames("photos", flip = false, labels = folder)
    """
    check_augment(augment, crop or "random", input)
    if size is not None and size != input.size:
        raise Refused(
            "E512",
            f"'size' must be the rows and columns of the input, {input.size}, found {size}",
            argument="size",
            hints=("leave 'size' out: it is the input's unless given",),
        )
    return _written(
        "frames",
        path=path,
        size=input.size,
        crop=crop,
        flip=flip,
        normalize=normalize,
        labels=labels,
        exclude=exclude,
        classes=classes,
        augment=augment,
        views=views if views > 1 else None,
    )


def arrays(
    path: File,
    values: ArrayName = None,
    labels: OptionalText = None,
    targets: Names = (),
    normalize: ArrayNormalize = None,
    classes: OptionalFile = None,
) -> WrittenData:
    """Arrays by name in files at a path, which are no images: values, and labels or targets if asked for

    Example: arrays("cells", values = "spikes", labels = "kind", normalize = dataset)
    """
    return _written(
        "arrays",
        path=path,
        values=values,
        labels=labels,
        targets=targets,
        normalize=normalize,
        classes=classes,
    )


TRAINING_DATA: dict[str, type[TrainingData]] = {each.kind: each for each in (Frames, ArraySet)}
DATA_WORDS: dict[str, Callable[..., WrittenData]] = {"frames": frames, "arrays": arrays}
Data = Annotated[
    TrainingData | None,
    ArgumentType(
        "images or arrays: {calls}",
        lambda value: value.training() if isinstance(value, WrittenData) else None,
        calls=DATA_WORDS,
    ),
]
ValidationData = Annotated[
    Validation | None,
    none_or(made_by("images or arrays: {words}", WrittenData, DATA_WORDS)),
]
KeepBest = Annotated[str | None, none_or(one_of("loss", "accuracy"))]
Gradients = Annotated[str, one_of("joint", "stage")]
Precision = Annotated[str, one_of("float32", "float64", "tf32", "bfloat16", "float16")]


@dataclass(frozen=True, slots=True)
class Clip:
    """The greatest `norm` of the gradients of an update, of all parameters together or of `each` array of them.

    Pascanu et al., On the difficulty of training recurrent neural networks, 2013.
    """

    norm: float
    each: bool = False

    def __str__(self) -> str:
        return f"each({self.norm})" if self.each else str(self.norm)


def each(norm: Positive) -> Clip:
    return Clip(norm, each=True)


def _clip(value: Value) -> Clip | None:
    if isinstance(value, bool) or not isinstance(value, int | float | Clip):
        return None
    if not isinstance(value, Clip) and value <= 0:
        raise Mismatch(f"found {value:g}")
    return value if isinstance(value, Clip) else Clip(float(value))


OptionalClip = Annotated[
    Clip | None, none_or(ArgumentType("a number above 0, {calls}", _clip, calls={"each": each}))
]
STEPS = 1000
"""The steps of a file that says nothing of its run's duration."""


@dataclass(frozen=True, slots=True)
class Training:
    """All settings of `train`, with the defaults of the language.

    A step is one update of a replica: the mean over `accumulate` batches. `steps` 0: not known yet, `epochs` say it once
    the images are counted; a run's own plan has no `epochs`. `ahead`: how many more images a run has seen than steps of this
    many images have, since its earlier ones had others.
    """

    data: Data = None
    validation: ValidationData = None
    validate_every: OptionalCount = None
    keep_best: KeepBest = None
    batch: Count = 100
    accumulate: Count = 1
    steps: Count = 0
    epochs: OptionalPositive = None
    update: UpdateRule = USUAL
    clip: OptionalClip = None
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
    ahead: Ahead = 0

    def __post_init__(self) -> None:
        if self.epochs is not None and self.steps:
            raise Refused(
                "E513",
                "'steps' and 'epochs' both say how long the run lasts",
                argument="epochs",
                hints=("leave one of them out",),
            )
        if self.epochs is None and not self.steps:
            object.__setattr__(self, "steps", STEPS)
        written: object = self.validation
        if isinstance(written, WrittenData):
            object.__setattr__(self, "validation", written.validation(self.data))
        self._check_staleness()

    @property
    def dtype(self) -> str:
        """The type of parameters, optimiser state, values and gradients, in memory, in messages and in files."""
        return "float64" if self.precision == "float64" else "float32"

    @property
    def value_bytes(self) -> int:
        """Bytes of a number of that type."""
        return 8 if self.dtype == "float64" else 4

    @property
    def images(self) -> int:
        """Images in a step of one replica."""
        return self.batch * self.accumulate

    @property
    def views(self) -> int:
        """Views of an image in a batch, each cropped, mirrored and augmented by itself."""
        return self.data.views if isinstance(self.data, Frames) else 1

    @property
    def batch_text(self) -> str:
        """Say how many images a batch has, and in how many views."""
        return f"{self.batch:,}" + f" in {self.views} views" * (self.views > 1)

    @property
    def batch_rows(self) -> int:
        """Rows of a batch in what a network computes: one for each view of each image."""
        return self.batch * self.views

    @property
    def step_rows(self) -> int:
        """Rows of all batches in a step of one replica."""
        return self.batch_rows * self.accumulate

    def first_image(self, batch: int) -> int:
        """Return the number of the first image of a batch in the run's order, by the batch's number in the run."""
        return max(0, batch * self.batch + self.ahead)

    def seen(self, steps: int) -> int:
        """Return how many images have been seen after so many steps, of all replicas."""
        return self.first_image(steps * self.accumulate)

    def lasting(self, images: int, replicas: int) -> Training:
        """Return the settings of a run on so many images, found or corrupt, by `replicas`: epochs and passes in steps."""
        found = self
        if self.epochs is not None:
            steps = ceil((self.epochs * images - self.ahead) / (self.images * replicas))
            found = replace(found, steps=max(1, steps), epochs=None)
        if self.validation is not None and self.validate_every is None:
            found = replace(found, validate_every=ceil(images / (self.images * replicas)))
        return found

    def validates_at(self, step: int) -> bool:
        """Whether a run validates the parameters after a step; known once its images are counted."""
        if self.validation is None or self.validate_every is None or not step:
            return False
        return step % self.validate_every == 0 or step == self.steps

    def _check_staleness(self) -> None:
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
