"""What a run begins or goes on with, checked before anything of it is written: plan, images, validation, first parameters.

plan, data, options --begin--> Beginning --create--> Run
RUN, options --resumption--> Resumption
"""

from __future__ import annotations

import os
import shlex
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from numpy.typing import ArrayLike

from lnet.compiler.plan.plan import Plan
from lnet.compiler.settings import DATASET, DatasetFigures, Training
from lnet.dsl.diagnostics import LnetWarning, refused
from lnet.runtime.data import Dataset, Kept, check_labels, order_classes
from lnet.runtime.data.dataset import CACHE_BYTES
from lnet.runtime.data.figures import measure
from lnet.runtime.data.given_arrays import FOLDER, GivenArrays, kept_arrays
from lnet.runtime.data.in_memory import (
    IMAGES,
    Given,
    Images,
    InMemory,
    in_memory,
    is_prepared,
    kept_at,
    trained_on,
)
from lnet.runtime.data.indexes import IN_RUN, Indexing, lies_at, name_in_run
from lnet.runtime.data.labels import readouts
from lnet.runtime.data.listing import NEWEST
from lnet.runtime.data.open_data import open_data
from lnet.runtime.engine.network import Network
from lnet.runtime.engine.updates import named_state, update_rule
from lnet.runtime.store.checkpoint import Checkpoint
from lnet.runtime.store.run import MOVED, Run, create_run, next_directory, open_run, require_readers

from .changes import Changed, changed, whole_steps
from .memory import memory_left
from .provenance import keep_inventory, map_figures, remembered, validated_on
from .start import (
    Start,
    check_devices,
    check_learns,
    check_precision,
    classes_of,
    figures_of,
    frozen,
    name_of,
    normalized_by,
    source_of,
    start_from,
)
from .tune import choices_data, kept
from .validation import VALIDATION, open_validation
from .validation import planned as validated_by

MOVED_VALIDATION = (
    "if the images were moved, say where they are: --validation PATH (in Python: validation=...)"
)


@dataclass(frozen=True)
class Beginning:
    """What a run begins with; `notes` on its first parameters and classes, `epochs` as its file says, `stem` of an index."""

    plan: Plan
    base: Path
    samples: Dataset
    given: Given | None
    prepared: bool
    tested: Dataset | None
    unseen: Given | None
    start: Start | None
    notes: tuple[str, ...]
    epochs: float | None
    stem: Path
    devices: int

    def create(self, where: Path, wire: str) -> Run:
        """Make the run's directory; raises `LnetError`."""
        index, start, rule = self.samples.catalog.index, self.start, update_rule(self.plan.graph)
        made = index if index is not None and lies_at(index.path, self.stem) else None
        run = create_run(
            where,
            self.plan,
            {
                "base": str(self.base),
                "listing": NEWEST,
                "in_memory": self.given is not None,
                "object": None if self.given is None else self.given.object,
                "prepared": self.prepared,
                "classes": self.samples.classes,
                "normalize": map_figures(self.samples.figures),
                **remembered(self.samples, self.stem),
            },
            choices_data(self.plan.graph, kept(self.plan.graph, self.devices), self.devices),
            None if start is None else Checkpoint(0, start.params, named_state(rule.init(start.params))),
            wire,
            None if start is None else start.source,
            None if made is None else made.path,
            self.epochs,
            None if self.tested is None else validated_on(self.tested, self.unseen),
        )
        if made is not None:
            made.path = run.directory / name_in_run(made.path)
        keep_inventory(run, self.samples)
        return run


def places(plan: Plan, directory: str | os.PathLike[str] | None) -> tuple[Path, Path]:
    """Return the directory of a new run, and the stem of an index that is made before it."""
    where = Path(directory) if directory is not None else next_directory(plan.graph.name)
    return where, Path(os.path.abspath(where)).parent / f".{where.name}"


def begin(
    plan: Plan,
    data: Images,
    steps: int | None,
    stem: Path,
    cluster: bool,
    start: str | os.PathLike[str] | Run | Network | None = None,
    freeze: Sequence[str] = (),
    force: bool = False,
    labels: ArrayLike | None = None,
    prepared: bool = False,
    mapping: str | os.PathLike[str] | None = None,
    validation: Images = None,
    validation_labels: ArrayLike | None = None,
    devices: int = 1,
) -> Beginning:
    """Return what a run begins with: the arguments are those of `lnet.train`; `stem`: of an index of many images.

    Raises `LnetError`.
    """
    given = in_memory(data, labels, prepared, cluster, plan.graph)
    plan = given.planned(plan) if isinstance(given, GivenArrays) else plan
    as_given = prepared and not isinstance(validation, str | os.PathLike | None)
    unseen = in_memory(validation, validation_labels, as_given, cluster, plan.graph, VALIDATION)
    plan = frozen(_with_steps(_with_path(plan, data), steps), freeze)
    plan = validated_by(plan, validation, unseen)
    check_learns(plan)
    check_precision(plan, cluster)
    check_devices(plan, devices, cluster)
    base = Path(plan.source_name).resolve().parent
    source = None if start is None else source_of(start)
    known = None if source is None else classes_of(source)
    figures = None if source is None else figures_of(source, plan.graph)
    room = CACHE_BYTES if cluster else memory_left(plan, force, resumed=False, devices=devices)
    epochs = plan.graph.training.epochs
    samples = _open(plan, given, base, room, known=known or (), stem=stem, begun=figures)
    plan = _lasting(plan, samples.count, len(plan.placement.tiles) if cluster else 1)
    plan = normalized_by(plan, samples.figures)
    tested = _validation(plan, unseen, base, room, Kept(classes=samples.classes))
    first = None if source is None else start_from(source, plan, mapping)
    notes = () if first is None else first.notes
    if source is not None and samples.figures is not None and samples.figures == figures:
        notes += (f"images are normalised by the mean and deviation that {name_of(source)} has",)
    if known and samples.classes and len(known) == len(samples.classes) and known != samples.classes:
        notes += (f"the classes differ from those of '{source}': its units stood for its own classes",)
    return Beginning(
        plan, base, samples, given, prepared, tested, unseen, first, notes, epochs, stem, devices
    )


@dataclass(frozen=True)
class Resumption:
    """What a run goes on with: `plan` is that of the run, with its images where they are now."""

    anew: Changed
    plan: Plan
    samples: Dataset
    given: Given | None
    tested: Dataset | None
    unseen: Given | None

    @property
    def run(self) -> Run:
        """The run, with its settings as they are from now on."""
        return self.anew.run


def resumption(
    directory: str | os.PathLike[str],
    data: Images,
    steps: int | None,
    cluster: bool,
    force: bool,
    labels: ArrayLike | None = None,
    other_images: bool = False,
    validation: Images = None,
    validation_labels: ArrayLike | None = None,
    set: Mapping[str, object] | None = None,
    stem: Path | None = None,
    devices: int = 1,
) -> Resumption:
    """Return what a run goes on with: the arguments are those of `lnet.resume`; `stem`: of an index that it lacks.

    Raises `LnetError`.
    """
    run = _resumable(open_run(directory))
    anew = changed(run, set or {}, steps, len(run.plan.placement.tiles) if cluster else 1)
    run = anew.run
    check_precision(run.plan, cluster)
    check_devices(run.plan, devices, cluster)
    source = run.plan.changed_source(Path(run.info["data"]["base"]))
    if source is not None:
        message = f"'{source}' has changed since the run began: it goes on with the network that it has"
        warnings.warn(message, LnetWarning, stacklevel=3)
    given = in_memory(data, labels, False, cluster, run.plan.graph)
    if isinstance(given, InMemory):
        given = replace(given, prepared=is_prepared(run.info["data"]))
    elif data is None and run.info["data"]["in_memory"]:
        given = _kept_array(run)
    unseen = _kept_validation(run, validation, validation_labels, cluster)
    plan = _with_path(run.plan, data)
    if validation is not None:
        plan = validated_by(plan, validation, unseen)
    room = CACHE_BYTES if cluster else memory_left(plan, force, resumed=True, devices=devices)
    base = Path(run.info["data"]["base"])
    if given is None and not other_images:
        require_readers(run)
    samples = _open(plan, given, base, room, run.kept, stem=stem or run.directory / IN_RUN)
    tested = _validation(plan, unseen, base, room, replace(run.kept, index=None), MOVED_VALIDATION)
    return Resumption(anew, plan, samples, given, tested, unseen)


def _kept_array(run: Run) -> Given:
    data = run.plan.graph.arrays
    kept = run.directory / (IMAGES if data is None else FOLDER)
    if not kept.exists():
        raise refused(
            "E747",
            f"the run '{run.directory}' was trained on {trained_on(run.info['data'])}, and it is needed again",
            hint="give it in Python: lnet.resume(directory, data=images)",
        )
    return kept_at(kept, is_prepared(run.info["data"])) if data is None else kept_arrays(kept, data)


def _kept_validation(run: Run, images: Images, labels: ArrayLike | None, cluster: bool) -> Given | None:
    """Return what a run is validated on if it is given in Python, now or when the run began; raises `LnetError`."""
    about = run.info.get("validation")
    given = in_memory(images, labels, False, cluster, run.plan.graph, VALIDATION)
    if about is None and images is not None:
        raise refused("E520", f"the run '{run.directory}' was begun without a validation")
    if about is None or not about["in_memory"]:
        return given
    if isinstance(given, InMemory):
        return replace(given, prepared=about["prepared"])
    if given is not None or images is not None:
        return given
    graph, folder = run.plan.graph.validated, run.directory / VALIDATION
    assert graph is not None, "a run is validated on what its plan says"
    data = graph.arrays
    kept = folder / (IMAGES if data is None else FOLDER)
    if not kept.exists():
        raise refused(
            "E747",
            f"the run '{run.directory}' was validated on {trained_on(about)}, and it is needed again",
            hint="give it in Python: lnet.resume(directory, validation=images)",
        )
    return kept_at(kept, about["prepared"]) if data is None else kept_arrays(kept, data)


def _validation(
    plan: Plan, given: Given | None, base: Path, room: int, kept: Kept, hint: str | None = None
) -> Dataset | None:
    """Open what a plan is validated on, if anything; decoded images are cached in a quarter of `room`."""
    if plan.graph.validated is None:
        return None
    cache = min(CACHE_BYTES, max(0, room // 4))
    return open_validation(plan.graph.validated, given, base, cache, kept, hint)


def _with_steps(plan: Plan, steps: int | None) -> Plan:
    if steps is None:
        return plan
    return _trained(plan, replace(plan.graph.training, steps=whole_steps(steps), epochs=None))


def _lasting(plan: Plan, images: int, replicas: int) -> Plan:
    """Return the plan of a run on so many images: the steps that its epochs take are known now."""
    return _trained(plan, plan.graph.training.lasting(images, replicas))


def _trained(plan: Plan, training: Training) -> Plan:
    return replace(plan, graph=replace(plan.graph, training=training))


def _with_path(plan: Plan, data: Images) -> Plan:
    if not isinstance(data, str | os.PathLike):
        return plan
    there = plan.graph.data.at(str(Path(data).resolve()))
    return replace(plan, graph=replace(plan.graph, training=replace(plan.graph.training, data=there)))


def _open(
    plan: Plan,
    given: Given | None,
    base: Path,
    room: int,
    kept: Kept | None = None,
    known: tuple[str, ...] = (),
    stem: Path | None = None,
    begun: DatasetFigures | None = None,
) -> Dataset:
    """Open the training images of a plan: with a resumed run's `kept` record, else with classes in the order `known`.

    Decoded images are cached in half of `room`, the bytes left free by training; many images are indexed at `stem`. The
    figures of `normalize = dataset` are those `begun` with, else measured; a resumed run's plan has them.
    """
    training, learned = plan.graph.training, readouts(plan.graph)
    classes = partial(order_classes, readouts=learned, known=known)
    if given is not None:
        samples = given.open(plan.graph, base, kept, classes)
    elif training.data is None:
        raise refused(
            "E747",
            "the file names no images",
            hint="add 'data = frames(\"folder\")' to its 'train' block, or name a folder with '--data'",
        )
    else:
        cache = min(CACHE_BYTES, max(0, room // 2))
        hint = None if kept is None else MOVED
        samples = open_data(
            training.data,
            plan.graph,
            base,
            cache,
            kept=kept,
            classes=classes,
            hint=hint,
            indexing=partial(Indexing, stem=stem),
            scan=True,
        )
    check_labels(samples, learned)
    if kept is None and str(samples.frames.normalize) == DATASET:
        samples.normalize_by(begun or measure(samples, plan.graph))
    samples.batch(0, 1)  # fails before the run exists if no image can be decoded
    return samples


def _resumable(run: Run) -> Run:
    """Return a run; raises `LnetError` for its best parameters, without optimiser state, and for one not trained."""
    if run.best:
        raise refused(
            "E742",
            f"'{run.path}' has parameters alone, and no optimiser state to go on with",
            hint=(
                f"go on with the run: lnetc resume {shlex.quote(str(run.directory))}",
                f"or begin one with these parameters: lnetc run --from {shlex.quote(str(run.path))}",
            ),
        )
    if run.imported:
        hint = f"begin one with its parameters: lnetc run --from {shlex.quote(str(run.directory))}"
        raise refused("E747", f"the run '{run.path}' was imported and not trained", hint=hint)
    return run
