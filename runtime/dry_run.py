"""What `lnetc run` and `lnetc resume` check before they train, and what they would begin with; nothing is written."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from lnet.compiler.plan.plan import Plan
from lnet.compiler.plugins.identity import Plugin
from lnet.dsl.diagnostics import refused

from .data.indexes import IN_RUN
from .engine.rounding import wire_of
from .kernels.devices import Devices
from .process.precision import computing_in
from .store.run import check_free
from .store.shards import step_of
from .training.beginning import Beginning, Resumption, begin, places, resumption
from .training.memory import memory_text
from .training.progress import Reporter
from .training.provenance import check_classes, check_images, check_validation
from .training.trainer import data_found
from .training.unused import unused_anywhere, unused_in_one_process
from .training.validation import validation_text

if TYPE_CHECKING:
    from distributed import Client

StrPath = str | os.PathLike[str]


def dry_train(
    plan: Plan,
    data: str | None,
    steps: int | None,
    directory: StrPath | None,
    reporter: Reporter,
    cluster: bool,
    client: Client | None,
    start: StrPath | None,
    freeze: Sequence[str],
    wire: str | None,
    force: bool,
    mapping: StrPath | None,
    validation: str | None,
    devices: int = 1,
) -> None:
    """Check what `lnet.train` with these arguments would begin with, and say it; raises `LnetError` as it does.

    `client`: of the cluster, if it is there already.
    """
    dtype = plan.graph.training.dtype
    wire = wire_of(dtype, wire)
    where, _ = places(plan, directory)
    check_free(where)
    if not os.access(_there(where), os.W_OK):
        raise refused(
            "E744", f"'{where}' cannot be written", f"nothing may be written into '{_there(where)}'"
        )
    with TemporaryDirectory() as folder, computing_in(dtype):
        stem = Path(folder) / IN_RUN
        found = begin(
            plan,
            data,
            steps,
            stem,
            cluster,
            start,
            freeze,
            force,
            mapping=mapping,
            validation=validation,
            devices=devices,
        )
        if client is not None:
            readers = (*found.samples.plugins, *(() if found.tested is None else found.tested.plugins))
            _check_cluster(client, found.plan, _there(where), found.base, readers)
        for line in (*_about(found, wire, cluster, devices), *found.notes):
            reporter.said(line)
        reporter.said(f"to train in '{where}' from step 0 to {found.plan.graph.training.steps:,}")


def dry_resume(
    directory: StrPath,
    data: str | None,
    steps: int | None,
    reporter: Reporter,
    cluster: bool,
    client: Client | None,
    force: bool,
    other_images: bool,
    validation: str | None,
    set: Mapping[str, object],
    devices: int,
) -> None:
    """Check what `lnet.resume` with these arguments would go on with, and say it; raises `LnetError` as it does."""
    with TemporaryDirectory() as folder:
        found = resumption(
            directory,
            data,
            steps,
            cluster,
            force,
            other_images=other_images,
            validation=validation,
            set=set,
            stem=Path(folder) / IN_RUN,
            devices=devices,
        )
        run = found.run
        _check_idle(run.directory)
        check_classes(run, found.samples)
        notes = () if other_images else check_images(run, found.samples)
        if found.tested is not None and not other_images:
            check_validation(run, found.tested, found.unseen)
        newest = run.to_go_on_from(run.checkpoints.newest_path, reporter.said, rename=False)
        step = 0 if newest is None else step_of(newest)
        if client is not None:
            _check_cluster(client, run.plan, run.directory, Path(run.info["data"]["base"]), run.plugins)
        changes = (event.text for event in found.anew.events)
        for line in (*_about(found, run.info.get("wire"), cluster, devices), *notes, *changes):
            reporter.said(line)
        reporter.said(
            f"to train in '{run.directory}' from step {step:,} to {run.plan.graph.training.steps:,}"
        )


def _about(found: Beginning | Resumption, wire: str | None, cluster: bool, devices: int) -> Iterator[str]:
    """Yield what a run says when it begins, and the memory that it takes."""
    plan = found.plan
    yield plan.summary()
    yield data_found(found.samples, plan, len(plan.placement.tiles) if cluster else 1).message
    if found.tested is not None:
        yield validation_text(found.tested, plan.graph.training)
    if not cluster:
        if devices > 1:
            yield Devices.first(devices).text(plan.graph.training.batch_rows)
        yield memory_text(plan, devices)
        yield from unused_in_one_process(plan, wire)
    yield from unused_anywhere(plan, found.samples, found.tested)


def _check_cluster(
    client: Client, plan: Plan, directory: Path, base: Path, plugins: Sequence[Plugin]
) -> None:
    from .cluster.launch import check_cluster

    check_cluster(client, plan, directory, base, tuple(plugins))


def _there(path: Path) -> Path:
    """Return the nearest folder above a path that exists."""
    return next(folder for folder in path.resolve().parents if folder.is_dir())


def _check_idle(directory: Path) -> None:
    """Raise `LnetError` if another process trains a run."""
    try:
        with open(directory / ".lock") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return
    except OSError as error:
        raise refused("E745", f"another process is training '{directory}'") from error
