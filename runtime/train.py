"""Training and resuming a plan, in this process or on a cluster."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
from numpy.typing import ArrayLike

from lnet.compiler.plan.grace import warn_of_grace
from lnet.compiler.plan.plan import Plan, checked_plan
from lnet.dsl.diagnostics import LnetWarning, refused

from .data import Dataset
from .data.in_memory import Given, Images
from .data.indexes import removed_on_error
from .engine.network import Network, initial_params
from .engine.rounding import wire_of
from .engine.updates import Rule, state_from_names, update_rule
from .kernels.devices import Devices
from .process.cache import keep_programs
from .process.precision import computing_in
from .process.stopping import GRACE, Interrupted, Stop, stopping
from .store.events import SettingsChanged, Warned
from .store.log import EventLog
from .store.owner import new_token, own
from .store.run import Run, locked
from .training.bars import usual
from .training.beginning import Beginning, Resumption, begin, places, resumption
from .training.logged import Logged
from .training.progress import Reporter
from .training.provenance import (
    accept,
    compared,
    compared_validation,
)
from .training.trainer import Params, Trainer, data_found
from .training.validation import VALIDATION

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
    devices: int = 1,
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
    that a cluster's replicas fetch and push, by rounding each float32 to within 2^-8; `devices`: how many of this process's
    GPUs divide each batch among them; `force`: train even if there is too little free memory. `reporter` receives progress
    and messages (None: a bar in a terminal or a notebook, elsewhere `logging`, logger `lnet`); on a cluster, all that `lnetc
    run` would say is logged. SIGINT, SIGTERM and SIGHUP stop the run, which then has `grace` seconds for its last
    checkpoint. Raises `LnetError` for an invalid plan, data or directory and for a loss that is not finite, `Interrupted` if
    stopped.
    """
    dtype = checked_plan(plan).graph.training.dtype
    wire = wire_of(dtype, wire)
    keep_programs()
    reporter = _told(reporter, client, force)
    where, stem = places(plan, directory)
    with removed_on_error(stem), computing_in(dtype):
        begun = begin(
            plan,
            data,
            steps,
            stem,
            client is not None,
            start,
            freeze,
            force,
            labels,
            prepared,
            mapping,
            validation,
            validation_labels,
            devices,
        )
        run = begun.create(where, wire)
    for note in begun.notes:
        reporter.said(note)
    with _stoppable(run, reporter, grace, client) as stop, locked(run):
        if client is not None:
            _train_on(client, run, reporter, begun, stop, resumed=False)
            return run
        owner = own(run.directory, new_token())
        with computing_in(dtype):
            rule = update_rule(run.plan.graph)
            step, params, state, _ = _restore(run, rule, reporter)
            many = Devices.first(devices)
            trainer = Trainer(
                run, owner, begun.samples, begun.tested, reporter, rule, step, params, state, stop, many
            )
            trainer.go(resumed=False)
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
    devices: int = 1,
) -> Run:
    """Resume a run from its newest whole checkpoint, with the same resulting weights as if it had not stopped.

    `steps` may be raised; a cosine schedule then reaches zero at the new end. `set` changes settings of its file's `train`
    from the checkpoint on, `{"train.batch": 50}`; run.json keeps the change. `data`, with `labels`, and `validation` are
    needed only for a run on an array or an object, or if the images have moved; `force` and `devices` as in `train`. Added,
    removed or changed images are refused, unless `other_images` accepts them, which run.json then records. Warns if the
    `.lnet` file has changed: the run keeps its network. Signals and errors are those of `train`.
    """
    keep_programs()
    reporter = _told(reporter, client, force)
    found = resumption(
        directory,
        data,
        steps,
        client is not None,
        force,
        labels,
        other_images,
        validation,
        validation_labels,
        set,
        devices=devices,
    )
    run, samples, tested = found.run, found.samples, found.tested
    with locked(run):
        run, notes = _compared(run, samples, other_images)
        if tested is not None:
            run = compared_validation(run, tested, found.unseen, other_images)
        _log(run, reporter, [Warned(note) for note in notes])

    def keep_changes() -> None:
        nonlocal run
        run = found.anew.keep(run)
        _log(run, reporter, found.anew.events)

    with _stoppable(run, reporter, grace, client) as stop, locked(run):
        if client is not None:
            moved = replace(run, plan=found.plan)
            _train_on(client, moved, reporter, found, stop, resumed=True, keep_changes=keep_changes)
            return run
        owner = own(run.directory, new_token())
        run.checkpoints.clean()
        run.best_parameters.clean()
        rule = update_rule(run.plan.graph)
        with computing_in(run.plan.graph.training.dtype):
            step, params, state, torn = _restore(run, rule, reporter)
            keep_changes()
            many = Devices.first(devices)
            trainer = Trainer(run, owner, samples, tested, reporter, rule, step, params, state, stop, many)
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
    """Return the reporter of a run: the usual one is logged, and so is each of a run on a cluster."""
    if client is None:
        return reporter or Logged(usual())
    reporter = reporter or usual()
    if force:
        reporter.said(
            "--force (force=True) has no effect on a cluster: roles are given only where their memory is free"
        )
    return Logged(reporter)


def _compared(run: Run, samples: Dataset, other: bool) -> tuple[Run, tuple[str, ...]]:
    """Compare a run with images; return the run to continue and notes on the images; raises `LnetError`."""
    if other:
        run, message = accept(run, samples, max(run.checkpoints.files(), default=0))
        return run, (message,)
    return compared(run, samples)


def _log(run: Run, reporter: Reporter, events: Sequence[Warned | SettingsChanged]) -> None:
    """Report what is other than when a run stopped, and log it."""
    if not events:
        return
    log = EventLog(run.directory / "events.jsonl", reporter.said)
    try:
        for event in events:
            log.add(event)
            if event.text is not None:
                reporter.said(event.text)
    finally:
        log.close()


def _train_on(
    client: Client,
    run: Run,
    reporter: Reporter,
    found: Beginning | Resumption,
    stop: Stop,
    resumed: bool,
    keep_changes: Callable[[], None] = lambda: None,
) -> None:
    """Train on a cluster; what is given as arrays is written where its workers can read it.

    `keep_changes`: done once its processes can go on.
    """
    from .cluster.config import ValidationConfig
    from .cluster.launch import train_on

    samples, tested = found.samples, found.tested
    about = data_found(samples, run.plan, len(run.plan.placement.tiles))
    array = None if found.given is None else found.given.keep(run.directory)
    validated = None
    if tested is not None:
        validated = ValidationConfig(tested.count, tested.inventory.digest, *_kept_unseen(run, found.unseen))
    if not train_on(
        client, run, reporter, stop, samples, array, resumed, about, tested, validated, keep_changes
    ):
        raise Interrupted(run.directory, run.checkpoints.files(), saved=True)


def _kept_unseen(run: Run, unseen: Given | None) -> tuple[str | None, bool]:
    """Write what a run is validated on, if it is given as arrays; return where, and whether it is used unchanged."""
    if unseen is None:
        return None, False
    folder = run.directory / VALIDATION
    folder.mkdir(exist_ok=True)
    return str(unseen.keep(folder).resolve()), unseen.prepared


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
