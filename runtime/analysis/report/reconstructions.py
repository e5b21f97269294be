"""The section on reconstructions."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from lnet.dsl.diagnostics import LnetError
from lnet.runtime.analysis.reconstruction import Array, Reconstruction, compared, reconstructions
from lnet.runtime.engine.evaluate import Programs
from lnet.runtime.engine.network import Network
from lnet.runtime.process.given_back import give_back
from lnet.runtime.store.run import Run

from .pictures import data_url, sheet_picture

Data = str | os.PathLike[str] | None
SAMPLES = 128
"""Images that reconstruction errors are taken over."""


def reconstructed(run: Run, read: Callable[[], Network | None], data: Data) -> dict[str, Any]:
    """Return the content of the section, or why there is nothing to show.

    `read` reads the trained network, after the untrained one is gone: one takes memory at a time.
    """
    if not compared(run.plan.graph):
        return _nothing("No objective compares a decoder with a layer.")
    missing = "There is no trained network to reconstruct with."
    if not run.checkpoints.files():
        return _nothing(missing)
    try:
        images = run.images(data).batch(0, SAMPLES, views=1).images
    except LnetError as error:
        if data is not None:
            raise
        return _nothing(f"There are no images to reconstruct: {error.diagnostics[0].message}.")
    programs: Programs = {}
    untrained = _untrained(run, images, programs)
    network = read()
    if network is None:
        return _nothing(missing)
    trained = reconstructions(network, images, programs)
    errors = [
        {"objective": a.objective, "of": a.of, "trained": f"{a.error:.3f}", "untrained": f"{b.error:.3f}"}
        for a, b in zip(trained, untrained, strict=True)
    ]
    return {
        "errors": errors,
        "reconstructions": [_pairs(r) for r in trained if r.target.shape[1:] == images.shape[1:]],
        "sampled": f"Over {len(images)} images" + (f" of '{data}'." if data else " that it was trained on."),
        "no_reconstructions": "",
    }


def _untrained(run: Run, images: Array, programs: Programs) -> list[Reconstruction]:
    network = Network(run.plan)
    jax.block_until_ready(network.params.arrays)  # type: ignore[no-untyped-call]
    give_back()  # before more is compiled
    try:
        return reconstructions(network, images, programs)
    finally:
        del network
        give_back()


def _nothing(why: str) -> dict[str, Any]:
    return {"errors": [], "reconstructions": [], "sampled": "", "no_reconstructions": why}


def _pairs(reconstruction: Reconstruction) -> dict[str, Any]:
    pairs = []
    for target, value in zip(reconstruction.target, reconstruction.value, strict=True):
        spread = float(np.abs(target).max())
        scale = max(1, 112 // target.shape[1])
        pairs.append(
            {
                "target": data_url(sheet_picture(target, spread), scale),
                "value": data_url(sheet_picture(value, spread), scale),
            }
        )
    return {"objective": reconstruction.objective, "of": reconstruction.of, "pairs": pairs}
