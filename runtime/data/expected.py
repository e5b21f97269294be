"""The record of a run's images, compared with the images by every process that opens them.

An image whose file has changed since is read at once, so that a mismatch shows at the start; one that was changed before
its first reading cannot be told from another of its size, and a note says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lnet.compiler.files import unreadable
from lnet.dsl.diagnostics import LnetError

from .checksums import UNREAD
from .dataset import Dataset
from .index_file import Broken, read_index
from .inventory import Stored, other_images, read_inventory
from .reads import Reads

AT_ONCE = 1000
"""Images with changed modification times read before a run continues; the others are read when their turn comes."""


@dataclass(frozen=True)
class Expected:
    """The record of a run's images; digests are None for a run of lnet 0.1; `index`: the path of their index."""

    directory: str
    images: int
    digest: str | None = None
    times: str | None = None
    index: str | None = None

    def check(self, samples: Dataset) -> tuple[str, ...]:
        """Raise `LnetError` unless images are those of the run; return notes on what could not be compared."""
        inventory, folder = samples.inventory_like(self.digest), Path(self.directory)
        if self.images != samples.count or self.digest not in (None, inventory.digest):
            raise self._differing(samples)
        if self.digest is None:
            return ("the run keeps no digest of its images: nothing but their number could be compared",)
        try:
            for place in samples.checksums.recall(folder):
                samples.check(place)
            return () if self.times == inventory.times else _check_changed(samples, self._listed())
        except OSError as error:
            raise unreadable(Path(str(error.filename)), error) from error
        except (ValueError, Broken) as error:
            return (f"the run's list of images is damaged, so times could not be compared: {error}",)

    def _differing(self, samples: Dataset) -> LnetError:
        try:
            first = samples.inventory_like(self.digest).difference(self._listed())
        except (OSError, ValueError, Broken):  # lnet 0.1 kept no list
            first = None
        now = f"{samples.count:,}" if samples.count != self.images else "others"
        message = f"the run was started on {self.images:,} images, and now there are {now}"
        return other_images(message, *([] if first is None else [f"the first that differs: {first}"]))

    def _listed(self) -> Iterator[Stored]:
        """Yield the images as they were; raises OSError, ValueError and `Broken`."""
        if self.index is None:
            return read_inventory(Path(self.directory))
        return read_index(Path(self.index), Reads()).stored()


def _check_changed(samples: Dataset, listed: Iterator[Stored]) -> tuple[str, ...]:
    """Read the images whose files have other modification times; return notes on those never read before."""
    changed = [
        place
        for place, (now, was) in enumerate(zip(samples.inventory, listed, strict=False))
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
