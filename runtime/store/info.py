"""What `run.json` says: the images, what the run began with, how products are done, versions, command, machine.

What is not required came later than lnet 0.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict


class InputFigures(TypedDict):
    """Mean and standard deviation of prepared images."""

    mean: float
    deviation: float


class MapFigures(TypedDict):
    """Mean and standard deviation of each map of a data set, by which images are normalised."""

    mean: Sequence[float]
    deviation: Sequence[float]


class PluginInfo(TypedDict):
    """The name, version and SHA-256 of a plug-in."""

    name: str
    version: str
    digest: str


class ImagesChange(TypedDict):
    """The step from which a run went on with other images, and what it had before: their number and digest."""

    step: int
    images: int
    digest: str | None


class ImagesInfo(TypedDict):
    """Number of images, digests of their list and of their times of change, figures of the first, and what was before.

    `plugins`: those that read them.

    `order` is the number of the order of a pass (data/order.py), `index` the path of the index that lists the images,
    relative to the run's directory where it lies in it; None without one.
    """

    images: int
    order: NotRequired[int]
    index: NotRequired[str | None]
    digest: NotRequired[str | None]
    times: NotRequired[str | None]
    inputs: NotRequired[InputFigures | None]
    changes: NotRequired[Sequence[ImagesChange]]
    plugins: NotRequired[Sequence[PluginInfo]]


class DataInfo(ImagesInfo):
    """A run's images: the folder that their path starts from, the names of the labels, and how they were given.

    `listing` is the version of the order of files, `prepared` says that an array was taken as it was, `object` is the class
    of an object that gave them; `normalize`: the figures of `normalize = dataset`.
    """

    base: str
    classes: Sequence[str] | None
    in_memory: bool
    prepared: NotRequired[bool]
    object: NotRequired[str | None]
    listing: NotRequired[int]
    normalize: NotRequired[MapFigures | None]


class ValidationInfo(TypedDict):
    """What a run is validated on: number of images and digest of their list, and how they were given, as in `DataInfo`."""

    images: int
    digest: str
    in_memory: bool
    prepared: bool
    object: str | None
    plugins: Sequence[PluginInfo]


class StartInfo(TypedDict):
    """What a run begins with: a run's directory, the step of its checkpoint and its plan's digest; a file of weights and its
    SHA-256; or the name of a network in Python, and its plan's digest."""

    network: NotRequired[str]
    run: NotRequired[str]
    step: NotRequired[int]
    plan: NotRequired[str]
    file: NotRequired[str]
    digest: NotRequired[str]


def origin_of(start: StartInfo) -> str:
    """Return the run, the file or the network that a run begins with."""
    return start.get("run") or start.get("file") or f"the network '{start['network']}' in Python"


class SettingsChange(TypedDict):
    """The step from which a run goes on with other settings of `train`; of each the values before and since, as written."""

    step: int
    settings: Mapping[str, tuple[str, str]]


class ProductInfo(TypedDict):
    """How a product is done, and for how long it was measured to take."""

    form: str
    shape: list[int]
    milliseconds: NotRequired[float]


class MachineInfo(TypedDict):
    """Operating system, JAX's devices, processor cores, and memory in bytes."""

    system: str
    devices: list[str]
    cores: int | None
    memory: int


class MadeInfo(TypedDict):
    """Versions of lnet and of what it stands on, the command, the machine."""

    versions: Mapping[str, str]
    command: NotRequired[str]
    machine: MachineInfo


class RunInfo(MadeInfo):
    """What `run.json` holds; `wire` is the type that a cluster's replicas send parameters and gradients as.

    `epochs`: what the file says of the run's duration, where it does not say `steps`; `changes`: settings changed since.
    """

    data: DataInfo
    validation: NotRequired[ValidationInfo | None]
    start: NotRequired[StartInfo | None]
    kernels: NotRequired[Mapping[str, ProductInfo]]
    wire: NotRequired[str]
    epochs: NotRequired[float | None]
    changes: NotRequired[tuple[SettingsChange, ...]]
