"""`lnetc draw`: the top, optimal and likely stimuli of neurons, kept in the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lnet.compiler.text_table import as_html
from lnet.dsl.diagnostics import LnetError, refused
from lnet.runtime.engine.network import Network
from lnet.runtime.process.counted import counted
from lnet.runtime.store.run import Run

from .components import Components, principal_components
from .contact import (
    ACROSS,
    Pixels,
    beside,
    captioned,
    contact_sheet,
    enlarged,
    pattern,
    photograph,
    png,
    png_html,
    sheet_of_units,
)
from .gallery import Record, keep
from .images import Images, Place, open_set, own_images
from .neurons import Array, Neuron, values_of
from .stimulus import Stimulus, likely_stimulus, optimal_stimulus
from .top_stimuli import Liked, top_stimuli

KIND = "stimuli"


@dataclass(frozen=True)
class Drawing:
    """A neuron's top real images, best first, its optimal stimulus, and its likely one.

    `record` is their record in the run; `units`: of a layer with a patch, a picture of the responses of its unit sheet.
    """

    neuron: Neuron
    top: tuple[Liked, ...]
    optimal: Stimulus
    likely: Stimulus | None
    record: Record
    units: Pixels | None = None

    @property
    def summary(self) -> str:
        real, images = self.top[0].response, self.record.figures["images"]
        likely = "" if self.likely is None else f"{self.likely.response:.4g} at the likely and "
        optimal = f"{self.optimal.response:.4g} at the optimal stimulus"
        return f"{real:.4g} at the best of {images:,} images, {likely}{optimal}"

    def _repr_html_(self) -> str:
        return Drawings((self,))._repr_html_()


class Drawings(tuple[Drawing, ...]):
    """Drawings of several neurons, which show themselves side by side."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        said = as_html([f"{each.neuron}: {each.summary}" for each in self])
        return said + png_html(png(side_by_side(self)))


def draw(
    run: Run,
    neurons: Sequence[str],
    data: Place | None = None,
    samples: int | None = None,
    count: int = 16,
    starts: int = 8,
    seed: int = 0,
    components: int = 300,
) -> Drawings:
    """Draw the top stimuli, the likely and the optimal stimulus of neurons, and keep them in the run.

    Top stimuli are the `count` best images of the set `data`, or of `samples` training images (None: each image once). The
    optimal stimulus, found from `starts` random starts drawn with `seed`, has the mean norm of all these images; the likely
    one, found from the mean of the best images, is composed of `components` principal components of the training images
    (of `data` if they cannot be read; 0: no likely one). Raises `LnetError`. (Le et al. 2012, section 4.4.)
    """
    neurons = (neurons,) if isinstance(neurons, str) else tuple(neurons)
    if not neurons:
        raise refused("E780", "expected at least one neuron to draw, found none")
    checkpoint = run.checkpoint(state=False)
    network = Network(run.plan, checkpoint.params, run.inputs)
    images = own_images(run, samples) if data is None else open_set(run, data)
    survey = top_stimuli(network, neurons, images, count)
    about: dict[str, Any] = {
        "step": checkpoint.step,
        "data": None if data is None else str(data),
        "images": survey.images,
        "skipped": images.skipped,
        "seed": seed,
    }
    likely, own = _components(run, images, components)
    if likely is not None:
        source = None if own else about["data"]
        about["components"] = {
            "count": len(likely),
            "images": likely.images,
            "share": likely.share,
            "data": source,
        }
    drawings = []
    for neuron, top in counted("neurons", survey.top.items(), len(survey.top)):
        optimal = optimal_stimulus(network, str(neuron), survey.norm, starts, seed=seed)
        best = None
        if likely is not None:
            mean = np.mean([liked.image for liked in top], axis=0)
            best = likely_stimulus(network, str(neuron), likely, mean)
        units = unit_picture(
            network, neuron, {"optimal stimulus": optimal.image, "best real image": top[0].image}
        )
        drawings.append(_kept(run, neuron, top, optimal, best, about, units))
    return Drawings(drawings)


def _components(run: Run, shown: Images, count: int) -> tuple[Components | None, bool]:
    """Return components of a run's training images (True), or of those shown; None for a single image."""
    if count == 0:
        return None, False
    try:
        found, own = principal_components(own_images(run), count), True
    except LnetError:
        found, own = principal_components(shown, count), False
    return (found if len(found) else None), own


def _kept(
    run: Run,
    neuron: Neuron,
    top: tuple[Liked, ...],
    optimal: Stimulus,
    likely: Stimulus | None,
    about: dict[str, Any],
    units: Pixels | None,
) -> Drawing:
    figures = about | {
        "run": run.directory.name,
        "neuron": str(neuron),
        "norm": optimal.norm,
        "optimal": optimal.response,
        "starts": list(optimal.reached),
        "likely": None if likely is None else likely.response,
        "top": [{"image": liked.name, "response": liked.response} for liked in top],
    }
    whose = f"{run.directory.name}: {neuron}"

    def named(picture: Pixels, what: str, response: float) -> Pixels:
        return captioned(picture, (whose, f"{what}: {response:.3g}, at step {about['step']:,}"))

    files = {
        "optimal.png": named(stimulus_picture(optimal), "optimal stimulus", optimal.response),
        "top.png": named(top_picture(top), "best real images", top[0].response),
    }
    if likely is not None:
        files = {"likely.png": named(stimulus_picture(likely), "likely stimulus", likely.response)} | files
    if units is not None:
        what = "the units of its sheet; framed: the neuron"
        files["units.png"] = captioned(units, (whose, f"{what}; at step {about['step']:,}"))
    record = keep(run, KIND, neuron.file_name, figures, files)
    return Drawing(neuron, top, optimal, likely, record, units)


def top_picture(top: Sequence[Liked]) -> Pixels:
    """Return images row by row, the best one first."""
    return contact_sheet([enlarged(photograph(liked.image)) for liked in top], ACROSS)


def stimulus_picture(stimulus: Stimulus) -> Pixels:
    """Return a stimulus as large as a contact sheet."""
    return enlarged(pattern(stimulus.image), ACROSS)


def unit_picture(network: Network, neuron: Neuron, images: Mapping[str, Array]) -> Pixels | None:
    """Return the responses of a neuron's whole unit sheet to images by name, side by side; None without a patch."""
    patch = network.graph.layer(neuron.layer).patch
    if patch is None:
        return None
    place = neuron.row * patch.rows, neuron.column * patch.columns
    place = place[0] + neuron.map // patch.columns, place[1] + neuron.map % patch.columns
    values = network.unit_sheet(
        neuron.layer, values_of(network, neuron.layer, np.stack(list(images.values())))
    )
    sheets = zip(images, values, strict=True)
    return beside([captioned(sheet_of_units(value, place), [f"to the {name}"]) for name, value in sheets])


def side_by_side(drawings: Sequence[Drawing]) -> Pixels:
    """Return one picture of several neurons: below each name its stimuli, then the real images."""
    columns = []
    for drawing in drawings:
        found = [(f"optimal stimulus: {drawing.optimal.response:.3g}", stimulus_picture(drawing.optimal))]
        if drawing.likely is not None:
            likely = f"likely stimulus: {drawing.likely.response:.3g}"
            found.insert(0, (likely, stimulus_picture(drawing.likely)))
        found.append((f"best real image: {drawing.top[0].response:.3g}", top_picture(drawing.top)))
        pictures = [captioned(picture, [line]) for line, picture in found]
        if drawing.units is not None:
            pictures.append(captioned(drawing.units, ["responses of the unit sheet; framed: the neuron"]))
        whose = f"{drawing.record.figures['run']}: {drawing.neuron}"
        columns.append(captioned(beside(pictures, down=True), [whose]))
    return beside(columns)
