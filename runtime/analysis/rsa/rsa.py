"""The whole analysis: patterns of runs' layers, their dissimilarities, and how alike these are."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnet.compiler.files import plain
from lnet.dsl.diagnostics import did_you_mean, refused
from lnet.runtime.analysis.gallery import Content, Record, keep
from lnet.runtime.analysis.images import Images, open_set
from lnet.runtime.analysis.intervals import check_apart
from lnet.runtime.analysis.neurons import find_layers
from lnet.runtime.analysis.plots import npz, to_png
from lnet.runtime.store.run import Run, opened

from .comparison import METHODS, Against, between, compared, in_order, read_subjects, require_rsatoolbox
from .dissimilarity import FOLDS, KINDS, Matrix, dissimilarities
from .patterns import IMAGES, LABELS, Patterns, patterns_of, unlike
from .picture import likeness_figure, rdms_figure

KIND = "rsa"
FEWEST = 3
"""Conditions that an analysis needs: two have one dissimilarity, which correlates with nothing."""
Place = str | os.PathLike[str]


@dataclass(frozen=True)
class Rsa:
    """Dissimilarities of `conditions` in layers, by layer: `[condition, condition]`; of several runs by `RUN: LAYER`.

    `likeness` `[layer, layer]` says how alike they are, and `against` how alike to those of files, which `sentences` name.
    """

    conditions: tuple[str, ...]
    rdms: Mapping[str, Matrix]
    likeness: NDArray[np.float64]
    against: tuple[Against, ...]
    sentences: tuple[str, ...]
    record: Record


def rsa(
    runs: Run | Place | Sequence[Run | Place],
    layers: str | Sequence[str],
    data: Place,
    *,
    by: str = LABELS,
    rdm: str = "correlation",
    compare: str = "spearman",
    against: Sequence[Place] = (),
) -> Rsa:
    """Compare the representations of layers with each other and with given matrices, and keep the result in the (first) run.

    runs     one run, or several, whose layers stand side by side
    layers   one or several, which all runs have
    data     a set of images
    by       what a condition is: `labels` (the mean response to the images of a label), or `images`
    rdm      the dissimilarity: `correlation`, `euclidean`, or `crossnobis` (by labels)
    compare  the measure of likeness: `spearman`, `rho-a`, `tau-a`, `cosine` or `pearson`
    against  files of dissimilarities (matrices.py), of one or several subjects; the latter have noise ceilings

    Raises `LnetError`, also if rsatoolbox is not installed. (Kriegeskorte et al. 2008; Nili et al. 2014.)
    """
    _check_words(by, rdm, compare)
    require_rsatoolbox()
    given = [read_subjects(place) for place in against]
    shown = [opened(each) for each in _several(runs)]
    check_apart(shown)
    paths = (layers,) if isinstance(layers, str) else tuple(layers)
    names: tuple[str, ...] = ()
    rdms: dict[str, Matrix] = {}
    skipped: dict[str, str] = {}
    for run, called in zip(shown, _called(shown), strict=True):
        images = open_set(run, data, labelled=by == LABELS)
        patterns = _patterns(run, paths, images, by, FOLDS.get(rdm, 1))
        names, skipped = patterns.names, images.skipped
        rdms |= {f"{called}{path}": dissimilarities(patterns, path, rdm) for path in patterns.layers}
    subjects = [in_order(each, names) for each in given]
    matrices = np.stack(list(rdms.values()))
    likeness = between(matrices, compare)
    beside = tuple(compared(matrices, each, compare) for each in subjects)
    sentences = tuple(each.sentence(names) for each in subjects)
    figures = {
        "data": str(data),
        "skipped": skipped,
        "by": by,
        "rdm": rdm,
        "compare": compare,
        "conditions": len(names),
        "layers": list(rdms),
        "likeness": likeness.tolist(),
        "against": [_figures(each, rdms) for each in beside],
        "sentences": list(sentences),
    }
    arrays = {
        "conditions": np.array(names),
        "layers": np.array(list(rdms)),
        "rdms": matrices,
        "likeness": likeness,
        "files": np.array([each.path for each in beside]),
        **{f"against/{number}": each.likeness for number, each in enumerate(beside)},
    }
    title = f"{by} of {Path(data).name}, {rdm}"
    files: dict[str, Content] = {
        "rdms.png": to_png(rdms_figure(rdms, names, title)),
        "likeness.png": to_png(likeness_figure(list(rdms), likeness, beside, compare)),
        "npz": npz(arrays),
    }
    record = keep(shown[0], KIND, f"{plain(Path(data).stem) or 'images'}.{by}", figures, files)
    return Rsa(names, rdms, likeness, beside, sentences, record)


def _check_words(by: str, rdm: str, compare: str) -> None:
    """Raise `LnetError` for a word that there is not, and for crossnobis of images."""
    for name, word, known in (
        ("by", by, (LABELS, IMAGES)),
        ("rdm", rdm, tuple(KINDS)),
        ("compare", compare, tuple(METHODS)),
    ):
        if word not in known:
            listed = ", ".join(f"'{each}'" for each in known)
            hint = did_you_mean(word, known)
            raise refused("E780", f"'{name}' is one of {listed}, found '{word}'", hint=hint)
    if rdm in FOLDS and by == IMAGES:
        message = f"'{rdm}' compares halves of the images of each label, and here a condition is an image"
        raise unlike(message, hint="take labels as conditions: --by labels")


def _several(runs: Run | Place | Sequence[Run | Place]) -> Sequence[Run | Place]:
    return (runs,) if isinstance(runs, Run | str | os.PathLike) else runs


def _called(runs: Sequence[Run]) -> list[str]:
    """Return what stands before the layers of each run: nothing of a single one."""
    if len(runs) == 1:
        return [""]
    short = [str(run.path.relative_to(run.directory.parent)) for run in runs]
    whole = [str(run.path) for run in runs]
    return [f"{name}: " for name in (short if len(set(short)) == len(runs) else whole)]


def _patterns(run: Run, layers: Sequence[str], images: Images, by: str, folds: int) -> Patterns:
    network = run.network()
    found = patterns_of(network, find_layers(network.graph, layers), images, by, folds)
    if len(found.names) < FEWEST:
        raise unlike(
            f"at least {FEWEST} {by} are needed, and there are {len(found.names)} in '{images.dataset.frames.path}'"
        )
    return found


def _figures(of: Against, layers: Mapping[str, Matrix]) -> dict[str, Any]:
    means = zip(layers, of.likeness.mean(1).tolist(), strict=True)
    return {
        "file": of.path,
        "subjects": of.likeness.shape[1],
        "likeness": dict(means),
        "by_subject": dict(zip(layers, of.likeness.tolist(), strict=True)),
        "ceiling": of.ceiling,
    }
