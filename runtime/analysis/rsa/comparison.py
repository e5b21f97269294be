"""How alike dissimilarities are, by rsatoolbox, which is imported only where it is asked."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lnet.dsl.diagnostics import refused
from lnet.runtime.analysis.matrices import Given, misfit, read_given

from .dissimilarity import Matrix, pairs, squares

METHODS = {"spearman": "spearman", "rho-a": "rho-a", "tau-a": "tau-a", "cosine": "cosine", "pearson": "corr"}
"""Measures of likeness, by their names in rsatoolbox."""
LISTED = 8
"""Names of conditions that a sentence lists."""


@dataclass(frozen=True)
class Subjects:
    """Dissimilarities `[subject, condition, condition]` from a file, in the order of the conditions here."""

    path: str
    values: Matrix
    named: bool

    def sentence(self, names: Sequence[str]) -> str:
        """Say how its conditions were matched."""
        who = f"{len(self.values):,} subjects" if len(self.values) > 1 else "one matrix"
        if self.named:
            return f"{self.path}: {who}, conditions matched by name"
        order = ", ".join(names[:LISTED]) + (", ..." if len(names) > LISTED else "")
        return f"{self.path}: {who} without names of conditions, taken in the order of the set: {order}"


@dataclass(frozen=True)
class Against:
    """How alike each layer's dissimilarities are to those of a file: `likeness` `[layer, subject]`.

    `ceiling`: the noise ceiling of several subjects, its lower and upper end.
    """

    path: str
    likeness: Matrix
    ceiling: tuple[float, float] | None


def require_rsatoolbox() -> None:
    """Raise `LnetError` if rsatoolbox cannot be imported."""
    try:
        import rsatoolbox  # noqa: F401
    except ImportError as error:
        hint = "install it with: pip install 'lnetc[rsa]'"
        raise refused(
            "E787", "comparing dissimilarities needs 'rsatoolbox'", str(error), hint=hint
        ) from error


def between(matrices: Matrix, method: str) -> Matrix:
    """Return how alike matrices `[k, condition, condition]` are, each to each: `[k, k]`."""
    from rsatoolbox.rdm import compare

    found = _rdms(matrices)
    likeness: Matrix = np.asarray(compare(found, found, METHODS[method]))
    return likeness


def compared(matrices: Matrix, subjects: Subjects, method: str) -> Against:
    """Compare matrices with those of a file's subjects (noise ceilings: Nili et al. 2014)."""
    from rsatoolbox.inference import boot_noise_ceiling
    from rsatoolbox.rdm import compare

    theirs = _rdms(subjects.values)
    likeness = np.asarray(compare(_rdms(matrices), theirs, METHODS[method]))
    ceiling = None
    if len(subjects.values) > 1:
        low, high = boot_noise_ceiling(theirs, METHODS[method])
        ceiling = (float(low), float(high))
    return Against(subjects.path, likeness, ceiling)


def _rdms(matrices: Matrix) -> Any:
    from rsatoolbox.rdm import RDMs

    return RDMs(pairs(matrices))


# --- files -----------------------------------------------------------------------------------------------


def read_subjects(place: str | os.PathLike[str]) -> Given:
    """Read dissimilarities `[condition, condition]`, `[subject, condition, condition]`, or their pairs `[..., pair]`.

    Raises `LnetError` for what is not one.
    """
    given = read_given(place)
    values = given.values
    square = values.ndim in (2, 3) and values.shape[-1] == values.shape[-2]
    matrices = values if square else squares(values) if values.ndim in (1, 2) else None
    if matrices is None:
        expected = "expected [condition, condition], [subject, condition, condition], or the pairs above the diagonal"
        raise misfit(f"'{given.path}' has the shape {values.shape}", expected)
    largest = np.abs(matrices).max() or 1.0
    if np.abs(matrices - matrices.swapaxes(-1, -2)).max() > 1e-6 * largest:
        raise misfit(f"'{given.path}' is not symmetric, so these are no dissimilarities")
    diagonal = np.diagonal(matrices, axis1=-2, axis2=-1)
    if np.abs(diagonal).max() > 1e-6 * largest:
        found = f"it has {np.abs(diagonal).max():.4g} on its diagonal"
        hint = "bring dissimilarities: of correlations r these are 1 - r"
        raise misfit(f"a condition of '{given.path}' is unlike itself", found, hint=hint)
    return Given(given.path, matrices.reshape(-1, *matrices.shape[-2:]), given.names)


def in_order(given: Given, names: Sequence[str]) -> Subjects:
    """Return a file's dissimilarities between these conditions; raises `LnetError` if it does not have them."""
    order = given.order(names, given.values.shape[-1])
    return Subjects(given.path, given.values[:, order][:, :, order], given.names is not None)
