"""The graph of a network: typed by construction, in topological order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from math import lcm
from typing import NamedTuple

from lnet.compiler.core.layer import Layer, Parameter
from lnet.compiler.core.shapes import Region, Size
from lnet.compiler.objectives import Objective
from lnet.compiler.settings import ArraySet, Frames, Training, TrainingData

from .views import trained_views


class Seen(NamedTuple):
    """A region of a layer, by its path."""

    layer: str
    region: Region


@dataclass(frozen=True)
class Graph:
    """Layers in topological order, objectives, and how the network is trained.

    `stages` names the value of each stage instance: the path of its last layer.
    `derived` are layers that a pass made; users do not see their values. `frozen`: layers, stage instances and families
    whose parameters stay as they are, besides those whose `speed` is 0.
    """

    name: str
    layers: tuple[Layer, ...]
    objectives: tuple[Objective, ...]
    training: Training
    stages: tuple[tuple[str, str], ...] = ()
    derived: frozenset[str] = frozenset()
    frozen: tuple[str, ...] = ()

    def __hash__(self) -> int:
        """Return a hash that is computed once: many functions of a graph keep what they return."""
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash(
            (self.name, self.layers, self.objectives, self.training, self.stages, self.derived, self.frozen)
        )

    @cached_property
    def _by_path(self) -> dict[str, Layer]:
        layers = {layer.path: layer for layer in self.layers}
        for path, last in self.stages:
            layers[path] = layers[last]
        return layers

    def block(self, path: str) -> str:
        """Return the stage instance that a layer, an objective or a parameter stands in.

        Empty for the network's own block; layers made by a pass are in the block of their objective.
        """
        prefix = path.rpartition(".")[0]
        while prefix and prefix not in self._instances:
            prefix = prefix.rpartition(".")[0]
        return prefix

    def is_frozen(self, parameter: str) -> bool:
        """Whether a parameter stays as it is: `--freeze` says so, or its own `speed` of 0."""
        return parameter in self._still or self.is_held(parameter)

    def is_held(self, parameter: str) -> bool:
        """Whether `--freeze` says that a parameter stays as it is."""
        return any(parameter.startswith((f"{path}.", f"{path}[")) for path in self.frozen)

    @cached_property
    def _still(self) -> frozenset[str]:
        return frozenset(parameter.name for parameter in self.parameters if not parameter.speed)

    @cached_property
    def _instances(self) -> frozenset[str]:
        return frozenset(path for path, _ in self.stages)

    def weights_read(self, objective: Objective) -> tuple[Parameter, ...]:
        """Return the parameters that an objective reads instead of values, each once."""
        term, layers = objective.term, (self.layer(path) for path in objective.reads)
        found = (p for layer in layers for p in layer.parameters if term.reads_parameter(p))
        return tuple({parameter.name: parameter for parameter in found}.values())

    def __contains__(self, path: str) -> bool:
        return path in self._by_path

    def items(self, family: str) -> tuple[str, ...]:
        """Return the paths of a family's layers or stages, in their order: none if it is not a family."""
        paths = [*(path for path, _ in self.stages), *(layer.path for layer in self.visible)]
        return tuple(path for path in paths if path.endswith("]") and path[: path.rindex("[")] == family)

    def place(self, path: str) -> int:
        """Return where in `layers` a layer stands, by its path."""
        return self._places[self.layer(path).path]

    @cached_property
    def _places(self) -> dict[str, int]:
        return {layer.path: number for number, layer in enumerate(self.layers)}

    def layer(self, path: str) -> Layer:
        """Return a layer by its path; a stage instance stands for its last layer."""
        return self._by_path[path]

    @cached_property
    def visible(self) -> tuple[Layer, ...]:
        """The layers that the file names and that images have values of: no targets."""
        return tuple(layer for layer in self.computed if layer.path not in self.derived)

    @cached_property
    def computed(self) -> tuple[Layer, ...]:
        """The layers that images have values of: all but targets."""
        return tuple(layer for layer in self.layers if not layer.op.is_target)

    @cached_property
    def targets(self) -> tuple[Layer, ...]:
        """What the network should give: values that come with the images."""
        return tuple(layer for layer in self.layers if layer.op.is_target)

    @property
    def input(self) -> Layer:
        return self.layers[0]

    @property
    def frames(self) -> Frames:
        """How images become inputs: by the file's `frames(...)`, or, without one, any images of the input's size."""
        data = self.training.data
        return data if isinstance(data, Frames) else Frames("", self.input.sheet.size)

    @property
    def data(self) -> TrainingData:
        """What the file trains on, or images in any place."""
        return self.training.data or self.frames

    @property
    def arrays(self) -> ArraySet | None:
        """The arrays that the network is trained on, if it is not on images."""
        data = self.training.data
        return data if isinstance(data, ArraySet) else None

    @cached_property
    def validated(self) -> Graph | None:
        """What a validation computes: the objectives that read images, of the data that it is validated on; None without."""
        if self.training.validation is None:
            return None
        data = self.training.validation.like(self.data, self.input.sheet.size)
        objectives = tuple(o for o in self.objectives if o.term.of_images)
        return replace(self, objectives=objectives, training=replace(self.training, data=data))

    @property
    def output(self) -> Layer:
        return self.visible[-1]

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """Every trained array once, in the order of the layers."""
        unique = {p.name: p for layer in self.layers for p in layer.parameters}
        return tuple(unique.values())

    @cached_property
    def readers(self) -> dict[str, tuple[Layer, ...]]:
        """The layers that read each layer."""
        readers: dict[str, list[Layer]] = {layer.path: [] for layer in self.layers}
        for layer in self.layers:
            for path in dict.fromkeys(layer.reads):
                readers[path].append(layer)
        return {path: tuple(found) for path, found in readers.items()}

    @cached_property
    def regions_seen(self) -> dict[str, dict[Seen, Region]]:
        """The regions of a layer that regions of others depend on, as far as they were asked for (receptive_field.py)."""
        return {}

    def period(self, path: str) -> Size:
        """Return the rows and columns of a layer after which positions stand to the image as before, strides apart."""
        return self._periods[self.layer(path).path]

    @cached_property
    def _periods(self) -> dict[str, Size]:
        periods: dict[str, Size] = {}
        for layer in self.layers:
            read = [periods[self.layer(path).path] for path in layer.reads]
            own = layer.op.period
            periods[layer.path] = Size(
                own.rows * lcm(*(period.rows for period in read)),
                own.columns * lcm(*(period.columns for period in read)),
            )
        return periods

    @cached_property
    def read_beyond_errors(self) -> frozenset[str]:
        """The layers that a term reads which is no error between two layers."""
        terms = (
            objective
            for objective in self.objectives
            if not (objective.term.is_error or objective.term.reads_weights)
        )
        return frozenset(self.layer(path).path for objective in terms for path in objective.reads)

    @cached_property
    def trained_views(self) -> dict[str, tuple[str, ...]]:
        """The views in which gradients come back to each layer's values."""
        return trained_views(self)
