"""The section on reconstructions."""

from __future__ import annotations

from typing import Any

import numpy as np

from lnet.dsl.diagnostics import LnetError
from lnet.runtime.analysis.reconstruction import Reconstruction, reconstructions
from lnet.runtime.engine.network import Network

from .material import Material
from .pictures import data_url, sheet_picture

SAMPLES = 128
"""Images that reconstruction errors are taken over."""
SHOWN = 8


def reconstructed(material: Material) -> dict[str, Any]:
    """Return the content of the section, or why there is nothing to show."""
    run, network, data = material.run, material.network[0], material.data
    empty = {"errors": [], "reconstructions": [], "sampled": ""}
    if network is None:
        return empty | {"no_reconstructions": "There is no trained network to reconstruct with."}
    try:
        images = run.images(data).batch(0, SAMPLES, views=1).images
    except LnetError as error:
        if data is not None:
            raise
        message = f"There are no images to reconstruct: {error.diagnostics[0].message}."
        return empty | {"no_reconstructions": message}
    trained, untrained = reconstructions(network, images), reconstructions(Network(run.plan), images)
    if not trained:
        return empty | {"no_reconstructions": "No objective compares a decoder with a layer."}
    errors = [
        {"objective": a.objective, "of": a.of, "trained": f"{a.error:.3f}", "untrained": f"{b.error:.3f}"}
        for a, b in zip(trained, untrained, strict=True)
    ]
    return {
        "errors": errors,
        "reconstructions": [_pairs(r) for r in trained if r.target.shape == images.shape],
        "sampled": f"Over {len(images)} images" + (f" of '{data}'." if data else " that it was trained on."),
        "no_reconstructions": "",
    }


def _pairs(reconstruction: Reconstruction) -> dict[str, Any]:
    pairs = []
    for target, value in zip(reconstruction.target[:SHOWN], reconstruction.value[:SHOWN], strict=True):
        spread = float(np.abs(target).max())
        scale = max(1, 112 // target.shape[1])
        pairs.append(
            {
                "target": data_url(sheet_picture(target, spread), scale),
                "value": data_url(sheet_picture(value, spread), scale),
            }
        )
    return {"objective": reconstruction.objective, "of": reconstruction.of, "pairs": pairs}
