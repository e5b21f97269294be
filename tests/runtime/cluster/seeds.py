"""Which seeds the slow tests of the protocol try: those of CI, or `LNET_SEEDS` times as many (`make seeds`)."""

import os

FACTOR = int(os.environ.get("LNET_SEEDS", "1"))


def blocks(first, stop, size):
    """Return the first seed of each block."""
    return range(first, first + FACTOR * (stop - first), size)
