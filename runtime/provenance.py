"""Whether a run goes on with the images that it began with.

Their number, names, sizes and labels are compared when they are opened, by a digest; what the bytes of an image were,
whenever it is read (data/checksums.py). An image whose file was changed since is read at once, so that nobody waits
until its turn comes; one that was changed before anybody had read it cannot be told from another of its size, and that
is said.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lnet.compiler.files import unreadable, write_aside
from lnet.dsl.diagnostics import LnetError, refused

from .data import Dataset, checksums, other_images
from .data.checksums import UNREAD
from .data.inventory import read_inventory
from .data.sources import FIRST
from .run import Run

INPUTS = 32
"""The first samples of a run, whose values tell what its network is used to."""
AT_ONCE = 1000
"""So many images with files of another time are read before a run goes on, the others when their turn comes."""


@dataclass(frozen=True)
class Expected:
    """What is known of a run's images before they are opened: digests are None for a run that lnet 0.1 began."""

    directory: str
    images: int
    digest: str | None = None
    times: str | None = None

    def check(self, samples: Dataset) -> tuple[str, ...]:
        """Raise `LnetError` unless images are those of the run; return what could not be compared."""
        inventory, folder = samples.inventory, Path(self.directory)
        if self.images != samples.count or self.digest not in (None, inventory.digest):
            raise self._differing(samples)
        if self.digest is None:
            return ("the run keeps no digest of its images: nothing but their number could be compared",)
        try:
            samples.checksums.recall(folder)
            return () if self.times == inventory.times else _check_changed(samples, folder)
        except OSError as error:
            raise unreadable(Path(str(error.filename)), error) from error
        except ValueError as error:
            return (f"the run's list of images is damaged, so times could not be compared: {error}",)

    def _differing(self, samples: Dataset) -> LnetError:
        try:
            first = samples.inventory.difference(read_inventory(Path(self.directory)))
        except (OSError, ValueError):  # lnet 0.1 kept no list
            first = None
        now = f"{samples.count:,}" if samples.count != self.images else "others"
        message = f"the run was started on {self.images:,} images, and now there are {now}"
        return other_images(message, *([] if first is None else [f"the first that differs: {first}"]))


def compared(run: Run, samples: Dataset) -> tuple[Run, tuple[str, ...]]:
    """Return a run that goes on with images, and what could not be compared; raises `LnetError` for other images.

    A run that lnet 0.1 began knows of its images from now on what others do.
    """
    notes = expected(run).check(samples)
    if run.classes != _classes(run, samples):
        raise other_classes(run, samples)
    if run.info["data"].get("digest") is None:
        run = _with_data(run, samples, {**run.info["data"], **remembered(samples)})
    return run, notes


def _classes(run: Run, samples: Dataset) -> tuple[str, ...] | None:
    """Return the classes of images as the run has them: those of lnet 0.1 were the ones that have images."""
    return samples.shown if run.kept.listing == FIRST else samples.classes


def expected(run: Run) -> Expected:
    """Return what a run knows of its images."""
    data = run.info["data"]
    return Expected(str(run.directory.resolve()), data["images"], data.get("digest"), data.get("times"))


def remembered(samples: Dataset) -> dict[str, Any]:
    """Return what run.json keeps of images."""
    inputs = samples.batch(0, INPUTS).images.astype(np.float64)
    return {
        "images": samples.count,
        "digest": samples.inventory.digest,
        "times": samples.inventory.times,
        "inputs": {"mean": float(inputs.mean()), "deviation": float(inputs.std())},
    }


def keep_inventory(run: Run, samples: Dataset) -> None:
    """Write the list of a run's images into its directory."""
    try:
        samples.inventory.write(run.directory)
    except OSError as error:
        raise refused("E744", f"'{run.directory}' cannot be written", str(error)) from error


def accept(run: Run, samples: Dataset, step: int) -> tuple[Run, str]:
    """Let a run go on with other images than it had, from a step on; return it and what is said of that.

    run.json keeps the change in `data.changes`. Raises `LnetError` if the images have other classes: a label would be
    another one's number.
    """
    was, now = run.info["data"], remembered(samples)
    if run.classes != _classes(run, samples):
        raise other_classes(run, samples)
    change = {"step": step, "images": was["images"], "digest": was.get("digest")}
    run = _with_data(run, samples, {**was, **now, "changes": [*was.get("changes", ()), change]})
    message = f"from step {step:,} on it trains on other images: {samples.count:,}, before {was['images']:,}"
    return run, message


def _with_data(run: Run, samples: Dataset, data: dict[str, Any]) -> Run:
    """Write what run.json says of images, and their list; checksums of others are forgotten."""
    info = {**run.info, "data": data}
    keep_inventory(run, samples)
    try:
        (run.directory / checksums.FILE).unlink(missing_ok=True)
        write_aside(run.directory / "run.json", json.dumps(info, indent=2))
    except OSError as error:
        raise refused("E744", f"'{run.directory}' cannot be written", str(error)) from error
    return replace(run, info=info)


def other_classes(run: Run, samples: Dataset) -> LnetError:
    """Return the error for images whose labels are not those of the run."""
    return refused(
        "E748",
        "the images have other classes than those that the run was started on",
        f"its classes were {run.classes}, and now they are {_classes(run, samples)}",
        hint="begin a run with the parameters of this one: lnetc run --from RUN",
    )


def _check_changed(samples: Dataset, folder: Path) -> tuple[str, ...]:
    """Read the images whose files have other times than they had; return what is said of those that nobody had read."""
    changed = [
        place
        for place, (now, was) in enumerate(zip(samples.inventory, read_inventory(folder), strict=False))
        if now.time != was.time
    ]
    read = [place for place in changed if samples.checksums[place] != UNREAD]
    for place in read[:AT_ONCE]:
        samples.check(place)
    return _unread(samples, [place for place in changed if samples.checksums[place] == UNREAD])


def _unread(samples: Dataset, places: Sequence[int]) -> tuple[str, ...]:
    if not places:
        return ()
    first, many = samples.names[places[0]], len(places) > 1
    return (
        f"{len(places):,} image{'s' * many} that the run had not read yet {'have' if many else 'has'} another time of "
        f"change, '{first}'{' first' * many}: whether it was copied or replaced cannot be told",
    )
