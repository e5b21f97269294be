"""Training and resuming a plan, in this process or on a cluster."""

from __future__ import annotations

import os
import shlex
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
from numpy.typing import ArrayLike

from lnet.compiler.plan.grace import warn_of_grace
from lnet.compiler.plan.plan import Plan, checked_plan
from lnet.compiler.settings import DATASET, DatasetFigures, Training
from lnet.dsl.diagnostics import LnetWarning, refused

from .data import Dataset, Kept, check_labels, order_classes
from .data.dataset import CACHE_BYTES
from .data.figures import measure
from .data.given_arrays import FOLDER, GivenArrays, kept_arrays
from .data.in_memory import IMAGES, Given, Images, InMemory, in_memory, is_prepared, kept_at, trained_on
from .data.indexes import IN_RUN, Indexing, lies_at, name_in_run, removed_on_error
from .data.labels import readouts
from .data.listing import NEWEST
from .data.open_data import open_data
from .engine.network import Network, initial_params
from .engine.rounding import wire_of
from .engine.updates import Rule, named_state, state_from_names, update_rule
from .process.cache import keep_programs
from .process.precision import computing_in
from .process.stopping import GRACE, Interrupted, Stop, stopping
from .store.checkpoint import Checkpoint
from .store.events import Warned
from .store.log import EventLog
from .store.owner import new_token, own
from .store.run import MOVED, Run, create_run, locked, next_directory, open_run, require_readers
from .training.changes import changed, whole_steps
from .training.logged import Logged
from .training.memory import memory_left
from .training.progress import Reporter, Silent
from .training.provenance import (
    accept,
    compared,
    compared_validation,
    keep_inventory,
    map_figures,
    remembered,
    validated_on,
)
from .training.start import (
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
from .training.trainer import Params, Trainer, data_found
from .training.tune import choices_data, kept
from .training.validation import VALIDATION, open_validation
from .training.validation import planned as validated_by

if TYPE_CHECKING:
    from distributed import Client

MOVED_VALIDATION = (
    "if the images were moved, say where they are: --validation PATH (in Python: validation=...)"
)


def train(
    plan: Plan,
    data: Images = None,
    steps: int | None = None,
    directory: str | os.PathLike[str] | None = None,
    reporter: Reporter | None = None,
    client: Client | None = None,
    start: str | os.PathLike[str] | Run | Network | None = None,
    freeze: Sequence[str] = (),
    wire: str | None = None,
    force: bool = False,
    labels: ArrayLike | None = None,
    prepared: bool = False,
    grace: float = GRACE,
    mapping: str | os.PathLike[str] | None = None,
    validation: Images = None,
    validation_labels: ArrayLike | None = None,
) -> Run:
    """Train a plan from its initial weights, in this process or on the cluster of `client`, and return the run.

    `data`: a path in place of that of `frames(...)`, or images `[n, rows, columns, channels]` with `labels` `[n]`, which are
    cropped, mirrored and normalised like the same array in a file; `prepared`: the array is used unchanged and may hold any
    values. In one process, `data` may be an object: `len(data)` images `data[i]`, with `names` and `labels` if it has them
    (`lnet.runtime.data.Samples`). Data that are not images are `lnet.Arrays`, or an object whose items are mappings of
    arrays by the names in the file's `arrays(...)`. `validation`, with `validation_labels`: validation data in the same
    forms, in place of the file's. `directory`: the run's directory (default `runs/NAME-1`, `-2`, ...). `start`: the source
    of the initial parameters: a run, a network or a file of weights. They are matched by name, or for a file as `mapping`
    says (docs/weights.md). `freeze`: layers and stages whose parameters are not trained; `wire`: "bfloat16" halves the bytes
    that a cluster's replicas fetch and push, by rounding each float32 to within 2^-8; `force`: train even if this machine
    has too little free memory. On a cluster, the messages of `lnetc run` go to `reporter` and to `logging` (logger `lnet`).
    SIGINT, SIGTERM and SIGHUP stop the run, which then has `grace` seconds for its last checkpoint. Raises `LnetError` for
    an invalid plan, data or directory and for a loss that is not finite, `Interrupted` if stopped.
    """
    dtype = checked_plan(plan).graph.training.dtype
    wire = wire_of(dtype, wire)
    keep_programs()
    reporter = _told(reporter, client, force)
    given = in_memory(data, labels, prepared, client is not None, plan.graph)
    plan = given.planned(plan) if isinstance(given, GivenArrays) else plan
    as_given = prepared and not isinstance(validation, str | os.PathLike | None)
    unseen = in_memory(validation, validation_labels, as_given, client is not None, plan.graph, VALIDATION)
    plan = frozen(_with_steps(_with_path(plan, data), steps), freeze)
    plan = validated_by(plan, validation, unseen)
    check_learns(plan)
    check_precision(plan, client is not None)
    base = Path(plan.source_name).resolve().parent
    source = None if start is None else source_of(start)
    known = None if source is None else classes_of(source)
    begun = None if source is None else figures_of(source, plan.graph)
    room = CACHE_BYTES if client is not None else memory_left(plan, force, resumed=False)
    where = Path(directory) if directory is not None else next_directory(plan.graph.name)
    stem = Path(os.path.abspath(where)).parent / f".{where.name}"
    epochs = plan.graph.training.epochs
    with removed_on_error(stem), computing_in(dtype):
        samples = _open(plan, given, base, room, known=known or (), stem=stem, begun=begun)
        plan = _lasting(plan, samples.count, 1 if client is None else len(plan.placement.tiles))
        plan = normalized_by(plan, samples.figures)
        tested = _validation(plan, unseen, base, room, Kept(classes=samples.classes))
        rule = update_rule(plan.graph)
        index = samples.catalog.index
        made = index if index is not None and lies_at(index.path, stem) else None
        begin = None if source is None else start_from(source, plan, mapping)
        run = create_run(
            where,
            plan,
            {
                "base": str(base),
                "listing": NEWEST,
                "in_memory": given is not None,
                "object": None if given is None else given.object,
                "prepared": prepared,
                "classes": samples.classes,
                "normalize": map_figures(samples.figures),
                **remembered(samples, stem),
            },
            choices_data(plan.graph, kept(plan.graph)),
            None if begin is None else Checkpoint(0, begin.params, named_state(rule.init(begin.params))),
            wire,
            None if begin is None else begin.source,
            None if made is None else made.path,
            epochs,
            None if tested is None else validated_on(tested, unseen),
        )
    if made is not None:
        made.path = run.directory / name_in_run(made.path)
    keep_inventory(run, samples)
    for note in () if begin is None else begin.notes:
        reporter.said(note)
    if source is not None and samples.figures is not None and samples.figures == begun:
        reporter.said(f"images are normalised by the mean and deviation that {name_of(source)} has")
    if known and samples.classes and len(known) == len(samples.classes) and known != samples.classes:
        reporter.said(f"the classes differ from those of '{source}': its units stood for its own classes")
    with _stoppable(run, reporter, grace, client) as stop, locked(run):
        if client is not None:
            _train_on(client, run, reporter, samples, given, tested, unseen, stop, resumed=False)
            return run
        owner = own(run.directory, new_token())
        with computing_in(dtype):
            step, params, state, _ = _restore(run, rule, reporter)
            Trainer(run, owner, samples, tested, reporter, rule, step, params, state, stop).go(resumed=False)
    return run


def resume(
    directory: str | os.PathLike[str],
    data: Images = None,
    steps: int | None = None,
    reporter: Reporter | None = None,
    client: Client | None = None,
    force: bool = False,
    labels: ArrayLike | None = None,
    other_images: bool = False,
    grace: float = GRACE,
    validation: Images = None,
    validation_labels: ArrayLike | None = None,
    set: Mapping[str, object] | None = None,
) -> Run:
    """Resume a run from its newest whole checkpoint, with the same resulting weights as if it had not stopped.

    `steps` may be raised; a cosine schedule then reaches zero at the new end. `set` changes settings of its file's `train`
    from the checkpoint on, `{"train.batch": 50}`; run.json keeps the change. `data`, with `labels`, and `validation` are
    needed only for a run on an array or an object, or if the images have moved; `force` as in `train`. Added,
    removed or changed images are refused, unless `other_images` accepts them, which run.json then records. Warns if the
    `.lnet` file has changed: the run keeps its network. Signals and errors are those of `train`.
    """
    keep_programs()
    reporter = _told(reporter, client, force)
    run = _resumable(open_run(directory))
    anew = changed(run, set or {}, steps, 1 if client is None else len(run.plan.placement.tiles))
    run = anew.run
    check_precision(run.plan, client is not None)
    source = run.plan.changed_source(Path(run.info["data"]["base"]))
    if source is not None:
        message = f"'{source}' has changed since the run began: it goes on with the network that it has"
        warnings.warn(message, LnetWarning, stacklevel=2)
    given = in_memory(data, labels, False, client is not None, run.plan.graph)
    if isinstance(given, InMemory):
        given = replace(given, prepared=is_prepared(run.info["data"]))
    elif data is None and run.info["data"]["in_memory"]:
        given = _kept_array(run)
    unseen = _kept_validation(run, validation, validation_labels, client is not None)
    plan = _with_path(run.plan, data)
    if validation is not None:
        plan = validated_by(plan, validation, unseen)
    room = CACHE_BYTES if client is not None else memory_left(plan, force, resumed=True)
    base = Path(run.info["data"]["base"])
    if given is None and not other_images:
        require_readers(run)
    samples = _open(plan, given, base, room, run.kept, stem=run.directory / IN_RUN)
    tested = _validation(plan, unseen, base, room, replace(run.kept, index=None), MOVED_VALIDATION)
    with locked(run):
        run, notes = _compared(run, samples, other_images)
        if tested is not None:
            run = compared_validation(run, tested, unseen, other_images)
        if anew.record is not None:
            anew = replace(anew, run=run)
            anew.keep()
            notes = (anew.text, *notes)
        _log(run, reporter, notes)
    with _stoppable(run, reporter, grace, client) as stop, locked(run):
        if client is not None:
            moved = replace(run, plan=plan)
            _train_on(client, moved, reporter, samples, given, tested, unseen, stop, resumed=True)
            return run
        owner = own(run.directory, new_token())
        run.checkpoints.clean()
        run.best_parameters.clean()
        rule = update_rule(plan.graph)
        with computing_in(plan.graph.training.dtype):
            step, params, state, torn = _restore(run, rule, reporter)
            trainer = Trainer(run, owner, samples, tested, reporter, rule, step, params, state, stop)
            trainer.go(resumed=True, torn=torn)
    return run


@contextmanager
def _stoppable(run: Run, reporter: Reporter, grace: float, client: Client | None) -> Iterator[Stop]:
    """Let signals stop a run; a run that could not save its last steps raises `Interrupted`, too.

    Warns where `grace` is too short for a checkpoint.
    """
    late = warn_of_grace(run.plan, grace, client is not None)
    if late is not None:
        warnings.warn(f"{late.code}: {late.message}; {late.hints[0]}", LnetWarning, stacklevel=5)

    def hurried() -> Interrupted:
        return Interrupted(run.directory, run.checkpoints.files(), saved=False)

    stop = Stop(grace=grace, say=reporter.said, words=lambda: str(hurried()))
    try:
        with stopping(stop):
            yield stop
    except KeyboardInterrupt:
        raise hurried() from None


def _told(reporter: Reporter | None, client: Client | None, force: bool) -> Reporter:
    """Return the reporter of a run; a run on a cluster is logged, too."""
    reporter = reporter or Silent()
    if client is None:
        return reporter
    if force:
        reporter.said(
            "--force (force=True) has no effect on a cluster: roles are given only where their memory is free"
        )
    return Logged(reporter)


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


def _validation(
    plan: Plan, given: Given | None, base: Path, room: int, kept: Kept, hint: str | None = None
) -> Dataset | None:
    """Open what a plan is validated on, if anything; decoded images are cached in a quarter of `room`."""
    if plan.graph.validated is None:
        return None
    cache = min(CACHE_BYTES, max(0, room // 4))
    return open_validation(plan.graph.validated, given, base, cache, kept, hint)


def _compared(run: Run, samples: Dataset, other: bool) -> tuple[Run, tuple[str, ...]]:
    """Compare a run with images; return the run to continue and notes on the images; raises `LnetError`."""
    if other:
        run, message = accept(run, samples, max(run.checkpoints.files(), default=0))
        return run, (message,)
    return compared(run, samples)


def _log(run: Run, reporter: Reporter, notes: Sequence[str]) -> None:
    """Report notes on a run's images, and log them."""
    if not notes:
        return
    log = EventLog(run.directory / "events.jsonl", reporter.said)
    try:
        for note in notes:
            log.add(Warned(note))
            reporter.said(note)
    finally:
        log.close()


def _train_on(
    client: Client,
    run: Run,
    reporter: Reporter,
    samples: Dataset,
    given: Given | None,
    tested: Dataset | None,
    unseen: Given | None,
    stop: Stop,
    resumed: bool,
) -> None:
    """Train on a cluster; what is given as arrays is written where its workers can read it."""
    from .cluster.config import ValidationConfig
    from .cluster.launch import train_on

    about = data_found(samples, run.plan, len(run.plan.placement.tiles))
    array = None if given is None else given.keep(run.directory)
    validated = None
    if tested is not None:
        validated = ValidationConfig(tested.count, tested.inventory.digest, *_kept_unseen(run, unseen))
    if not train_on(client, run, reporter, stop, samples, array, resumed, about, tested, validated):
        raise Interrupted(run.directory, run.checkpoints.files(), saved=True)


def _kept_unseen(run: Run, unseen: Given | None) -> tuple[str | None, bool]:
    """Write what a run is validated on, if it is given as arrays; return where, and whether it is used unchanged."""
    if unseen is None:
        return None, False
    folder = run.directory / VALIDATION
    folder.mkdir(exist_ok=True)
    return str(unseen.keep(folder).resolve()), unseen.prepared


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


def _restore(run: Run, rule: Rule, reporter: Reporter) -> tuple[int, Params, Any, int]:
    """Return step, parameters, state and torn updates of the newest whole checkpoint, or the initial ones."""
    graph = run.plan.graph
    checkpoint = run.to_go_on_from(run.checkpoints.newest, reporter.said)
    if checkpoint is None:
        params = initial_params(graph, graph.training.seed)
        return 0, params, rule.init(params), 0
    expected = {p.name: p.shape for p in graph.parameters}
    found = {name: array.shape for name, array in checkpoint.params.items()}
    if expected != found:
        raise refused("E742", f"the checkpoint at step {checkpoint.step:,} is of another network")
    params = {name: jnp.array(checkpoint.params[name], float) for name in expected}
    try:
        state = state_from_names(rule, params, checkpoint.update, checkpoint.step)
    except KeyError as error:
        raise refused("E742", f"the checkpoint at step {checkpoint.step:,} has no {error}") from error
    return checkpoint.step, params, state, checkpoint.torn
