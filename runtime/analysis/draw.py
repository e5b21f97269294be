"""`lnetc draw`: the images that neurons like best, and what they would like most of all, kept in the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lnet.runtime.network import Network
from lnet.runtime.run import Run

from .contact import Pixels, beside, captioned, contact_sheet, enlarged, pattern, photograph
from .gallery import Record, keep
from .images import Place, open_set, own_images
from .neurons import Neuron
from .stimulus import Stimulus, optimal_stimulus
from .top_stimuli import Liked, top_stimuli

KIND = "stimuli"
ACROSS = 4


@dataclass(frozen=True)
class Drawing:
    """A neuron's best real images, best first, beside its optimal stimulus; `record` says where they are kept."""

    neuron: Neuron
    top: tuple[Liked, ...]
    optimal: Stimulus
    record: Record

    @property
    def summary(self) -> str:
        real, images = self.top[0].response, self.record.figures["images"]
        return f"{real:.4g} at the best of {images:,} images, {self.optimal.response:.4g} at the optimal stimulus"


def draw(
    run: Run,
    neurons: Sequence[str],
    data: Place | None = None,
    samples: int | None = None,
    count: int = 16,
    starts: int = 8,
    seed: int = 0,
) -> tuple[Drawing, ...]:
    """Draw what neurons like and keep it in the run: top stimuli, and the optimal stimulus of the same norm.

    Top stimuli are the `count` best images of the set `data`, or of `samples` of those that the run was trained on (None: of
    one pass). The optimal stimulus, from `starts` starts drawn with `seed`, has the mean norm of all these images.
    Raises `LnetError`. (Le et al. 2012, section 4.4.)
    """
    checkpoint = run.checkpoint()
    network = Network(run.plan, checkpoint.params)
    images = own_images(run, samples) if data is None else open_set(run, data)
    survey = top_stimuli(network, neurons, images, count)
    about = {
        "step": checkpoint.step,
        "data": None if data is None else str(data),
        "images": survey.images,
        "skipped": images.skipped,
        "seed": seed,
    }
    drawings = []
    for neuron, top in survey.top.items():
        optimal = optimal_stimulus(network, str(neuron), survey.norm, starts, seed=seed)
        drawings.append(_kept(run, neuron, top, optimal, about))
    return tuple(drawings)


def _kept(
    run: Run, neuron: Neuron, top: tuple[Liked, ...], optimal: Stimulus, about: dict[str, Any]
) -> Drawing:
    figures = about | {
        "neuron": str(neuron),
        "norm": optimal.norm,
        "optimal": optimal.response,
        "starts": list(optimal.reached),
        "top": [{"image": liked.name, "response": liked.response} for liked in top],
    }
    files = {"optimal.png": optimal_picture(optimal), "top.png": top_picture(top)}
    return Drawing(neuron, top, optimal, keep(run, KIND, neuron.file_name, figures, files))


def top_picture(top: Sequence[Liked]) -> Pixels:
    """Return images row by row, the best one first."""
    return contact_sheet([enlarged(photograph(liked.image)) for liked in top], ACROSS)


def optimal_picture(optimal: Stimulus) -> Pixels:
    """Return a stimulus as large as a contact sheet."""
    return enlarged(pattern(optimal.image), ACROSS)


def side_by_side(drawings: Sequence[Drawing]) -> Pixels:
    """Return one picture of several neurons: under each its optimal stimulus, then the real images."""
    columns = []
    for drawing in drawings:
        best = captioned(top_picture(drawing.top), [f"best real image: {drawing.top[0].response:.3g}"])
        optimal = captioned(
            optimal_picture(drawing.optimal),
            [str(drawing.neuron), f"optimal stimulus: {drawing.optimal.response:.3g}"],
        )
        columns.append(beside([optimal, best], down=True))
    return beside(columns)
