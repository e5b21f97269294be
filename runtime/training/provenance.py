"""The record that a run keeps of its images, and its comparison when the run is resumed.

Number, names, sizes and labels are compared when the images are opened (data/expected.py), an image's bytes whenever it
is read (data/checksums.py).
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from lnet.compiler.files import write_aside
from lnet.compiler.settings import DatasetFigures
from lnet.dsl.diagnostics import refused
from lnet.runtime.data import Dataset, checksums
from lnet.runtime.data.expected import Expected
from lnet.runtime.data.in_memory import Given
from lnet.runtime.data.index_file import SUFFIX
from lnet.runtime.data.indexes import IN_RUN, lies_at, name_in_run
from lnet.runtime.data.inventory import other_images
from lnet.runtime.data.listing import FIRST
from lnet.runtime.store.info import (
    DataInfo,
    ImagesChange,
    ImagesInfo,
    InputFigures,
    MapFigures,
    PluginInfo,
    RunInfo,
    ValidationInfo,
)
from lnet.runtime.store.run import Run, keep_plugins

INPUTS = 32
"""Number of first samples of a run whose values give the statistics of its inputs."""


def compared(run: Run, samples: Dataset) -> tuple[Run, tuple[str, ...]]:
    """Compare a run's images with those given; return the run and notes on what could not be compared. Raises `LnetError`.

    A run of lnet 0.1 gets the full record from now on.
    """
    notes = check_images(run, samples)
    data = run.info["data"]
    if data.get("digest") is None:
        run = _with_data(run, samples, {**data, **remembered(samples, run.directory / IN_RUN)})
    elif data.get("index") != (index := _index_of(samples, run.directory / IN_RUN)):
        run = _with_info(run, {**data, "index": index})
    return run, notes


def check_images(run: Run, samples: Dataset) -> tuple[str, ...]:
    """Return notes on what of a run's images cannot be compared with those given; raises `LnetError` if they differ."""
    notes = expected(run).check(samples)
    check_classes(run, samples)
    return notes


def check_classes(run: Run, samples: Dataset) -> None:
    """Raise `LnetError` for images with other labels than the run's."""
    if run.classes != _classes(run, samples):
        raise refused(
            "E748",
            "the images have other classes than those that the run was started on",
            f"its classes were {run.classes}, and now they are {_classes(run, samples)}",
            hint="begin a run with the parameters of this one: lnetc run --from RUN",
        )


def _classes(run: Run, samples: Dataset) -> tuple[str, ...] | None:
    """Return the classes of images as recorded by the run: lnet 0.1 recorded only classes with images."""
    return samples.shown if run.kept.listing == FIRST else samples.classes


def expected(run: Run) -> Expected:
    """Return a run's record of its images."""
    data = run.info["data"]
    directory = str(run.directory.resolve())
    return Expected(directory, data["images"], data.get("digest"), data.get("times"), run.index)


def remembered(samples: Dataset, stem: Path) -> ImagesInfo:
    """Return run.json's record of images; `stem`: where an index lies that belongs to the run."""
    values = samples.batch(0, INPUTS).images.astype(np.float64)
    inputs: InputFigures | None = None
    if np.isfinite(values).all():
        inputs = {"mean": float(values.mean()), "deviation": float(values.std())}
    return {
        "images": samples.count,
        "digest": samples.inventory.digest,
        "times": samples.inventory.times,
        "inputs": inputs,
        "order": samples.order,
        "index": _index_of(samples, stem),
        "plugins": _plugins(samples),
    }


def map_figures(figures: DatasetFigures | None) -> MapFigures | None:
    """Return run.json's record of the figures of a data set."""
    return None if figures is None else {"mean": figures.mean, "deviation": figures.deviation}


def validated_on(samples: Dataset, given: Given | None) -> ValidationInfo:
    """Return run.json's record of what a run is validated on."""
    return {
        "images": samples.count,
        "digest": samples.inventory.digest,
        "in_memory": given is not None,
        "prepared": given is not None and given.prepared,
        "object": None if given is None else given.object,
        "plugins": _plugins(samples),
    }


def compared_validation(run: Run, samples: Dataset, given: Given | None, other: bool) -> Run:
    """Compare what a run is validated on with what it was; return the run. Raises `LnetError` unless `other` is accepted."""
    if not other:
        check_validation(run, samples, given)
        return run
    return _with_run_info(run, {**run.info, "validation": validated_on(samples, given)})


def check_validation(run: Run, samples: Dataset, given: Given | None) -> None:
    """Raise `LnetError` if what a run is validated on is not what it was."""
    was, now = run.info.get("validation"), validated_on(samples, given)
    if was is None or (was["images"], was["digest"]) == (now["images"], now["digest"]):
        return
    raise other_images(
        f"the run was validated on {was['images']:,} images, and now there are "
        + (f"{now['images']:,}" if was["images"] != now["images"] else "others")
    )


def _plugins(samples: Dataset) -> list[PluginInfo]:
    return [{"name": p.name, "version": p.version, "digest": p.digest} for p in samples.plugins]


def _index_of(samples: Dataset, stem: Path) -> str | None:
    """Return run.json's path of the index of images: a name if it belongs to the run; None without one."""
    index = samples.catalog.index
    if index is None:
        return None
    return name_in_run(index.path) if lies_at(index.path, stem) else os.path.abspath(index.path)


def keep_inventory(run: Run, samples: Dataset) -> None:
    """Write the list of a run's images into its directory, unless an index is this list."""
    if samples.catalog.index is not None:
        return
    try:
        samples.inventory.write(run.directory)
    except OSError as error:
        raise refused("E744", f"'{run.directory}' cannot be written", str(error)) from error


def accept(run: Run, samples: Dataset, step: int) -> tuple[Run, str]:
    """Accept other images from a step on; return the run and a note about it.

    run.json keeps the change in `data.changes`. Raises `LnetError` if the images have other classes: a label would be
    another one's number.
    """
    was, now = run.info["data"], remembered(samples, run.directory / IN_RUN)
    check_classes(run, samples)
    change: ImagesChange = {"step": step, "images": was["images"], "digest": was.get("digest")}
    run = _with_data(run, samples, {**was, **now, "changes": [*was.get("changes", ()), change]})
    message = f"from step {step:,} on it trains on other images: {samples.count:,}, before {was['images']:,}"
    return run, message


def _with_data(run: Run, samples: Dataset, data: DataInfo) -> Run:
    """Write the record of images in run.json, and their list; checksums of other images are dropped."""
    keep_inventory(run, samples)
    try:
        (run.directory / checksums.FILE).unlink(missing_ok=True)
    except OSError as error:
        raise refused("E744", f"'{run.directory}' cannot be written", str(error)) from error
    return _with_info(run, data)


def _with_info(run: Run, data: DataInfo) -> Run:
    """Write the record of images in run.json."""
    return _with_run_info(run, {**run.info, "data": data})


def _with_run_info(run: Run, info: RunInfo) -> Run:
    """Write run.json; an index in its directory that it no longer names is removed."""
    try:
        keep_plugins(replace(run, info=info))
        write_aside(run.directory / "run.json", json.dumps(info, indent=2))
        for path in run.directory.glob(f"{IN_RUN}.*{SUFFIX}"):
            if path.name != info["data"].get("index"):
                path.unlink()
    except OSError as error:
        raise refused("E744", f"'{run.directory}' cannot be written", str(error)) from error
    return replace(run, info=info)
