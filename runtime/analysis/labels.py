"""The target label of a set: named, or inferred."""

from __future__ import annotations

import numpy as np

from lnet.dsl.diagnostics import LnetError, did_you_mean, refused
from lnet.runtime.data import Dataset

REST = "distractor"
"""A label that is never sought unless it is named."""


def sought_label(images: Dataset, label: str | None, against: str | None = None) -> str:
    """Return the label to be told from `against`, or from all others; raises `LnetError`.

    Unless named, it is, of two labels, the one that is not `distractor`; else the one with fewer images, or on a tie the
    first by name.
    """
    assert images.classes is not None, "images without labels are refused before"
    assert images.labels is not None
    classes, path = images.classes, images.frames.path
    counts = np.bincount(images.labels, minlength=len(classes))
    for name in (label, against):
        if name is not None and name not in classes:
            message = f"no image in '{path}' has the label '{name}'"
            raise _refused(message, classes, counts, did_you_mean(name, classes))
    if len(classes) < 2 or (label is not None and label == against):
        raise _refused("two labels are needed: one to be told from the other", classes, counts)
    if label is not None:
        return label
    if len(classes) > 2:
        hint = "say which is sought: --label LABEL"
        raise _refused(f"the images in '{path}' have {len(classes)} labels", classes, counts, (hint,))
    choice = [name for name in classes if name != against]
    return min(choice, key=lambda name: (name == REST, counts[classes.index(name)], name))


def _refused(
    message: str, classes: tuple[str, ...], counts: np.ndarray, hints: tuple[str, ...] = ()
) -> LnetError:
    listed = ", ".join(f"'{name}' ({n:,} images)" for name, n in zip(classes, counts, strict=True))
    return refused("E770", message, f"the labels are {listed}", hint=hints)
