"""Checks, in the command's process, that all tiles of a run read the same images, and the same as before.

Tiles that exchange arrays compare the sums of their batches before they use them (inbox.py). Tiles that exchange nothing,
and replicas that compute the same batch, are compared here, one step late. The first tile of a replica reports the
checksums of images that are read for the first time.
"""

from __future__ import annotations

from lnet.compiler.settings import Training
from lnet.dsl.diagnostics import LnetError, refused
from lnet.runtime.cluster.published import ImagesDiffer, TileComputed
from lnet.runtime.data import Dataset, other_images

RECENT = 1000
"""Batches whose sums are known."""
HINT = "give all machines the same images under the same path, then go on: lnetc resume RUN"


class SeenImages:
    """`samples`: the images as the command sees them, with all checksums that are known."""

    def __init__(self, samples: Dataset) -> None:
        self.samples = samples
        self.sums: dict[int, tuple[str, str]] = {}

    def take(self, tile: TileComputed, place: str) -> LnetError | None:
        """Record the batch digest of a tile on the worker `place`; return an error if it differs from other tiles'."""
        number, images, name = tile.batch, tile.images, _named(tile, place)
        known, who = self.sums.setdefault(number, (images, name))
        while len(self.sums) > RECENT:
            del self.sums[next(iter(self.sums))]
        if known != images:
            return refused("E715", f"{who} and {name} read different images in batch {number:,}", hint=HINT)
        other = self.samples.checksums.know(tile.read)
        if other is None:
            return None
        return other_images(
            f"the image '{self.samples.catalog.shown(other[0])}' has changed since it was first read"
        )

    def explain(self, event: ImagesDiffer, place: str, training: Training) -> LnetError:
        """Return the error for a tile whose images are not those of another one, with the first that differs, and where."""
        mine = self.samples.batch(training.first_image(event.batch), training.batch)
        message = (
            f"{_named(event, place)} and tile {event.other} read different images in batch {event.batch:,}"
        )
        assert mine.checksums is not None, "a data set knows the checksums of its images"
        own = [f"{found:016x}" for found in mine.checksums.tolist()]
        for mine_name, name, mine_sum, found in zip(
            mine.names, event.names, own, event.checksums, strict=True
        ):
            if mine_name != name:
                note = f"the first that differs: {place} reads '{name}', this command '{mine_name}'"
                return refused("E715", message, note, hint=HINT)
            if mine_sum != found:
                note = f"the first that differs: '{name}' on {place} is not what this command reads"
                return refused("E715", message, note, hint=HINT)
        note = f"{place} reads what this command reads, so it is tile {event.other} whose images differ"
        return refused("E715", message, note, hint=HINT)


def _named(event: TileComputed | ImagesDiffer, place: str) -> str:
    return f"tile {event.tile} of replica {event.replica} on {place}"
