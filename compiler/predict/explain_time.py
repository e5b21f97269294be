"""The predicted time of a step as text (`lnetc explain --time`) and as JSON values (`--json`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from lnet.compiler.cut.cluster_spec import Rates
from lnet.compiler.graph.graph import Graph
from lnet.compiler.plan.plan import Plan
from lnet.compiler.text_table import WIDE, TextTable, printed

from .goodput import UNDISTURBED, Failures, Goodput, Struck
from .stages import Work, tile_stages
from .step import PARTS, StepTime

CAUSES = {
    "kernels": "arithmetic of the tiles: more tiles, or faster workers",
    "halos": "messages between tiles: fewer tiles a replica, or faster links",
    "parameters": "updates, pushes, fetches and standbys: a larger 'fetch' or 'push', or more tiles a replica",
    "images": "reading and decoding: smaller files",
    "overhead": "what a step costs besides: a larger batch, or fewer tiles a worker",
}


@dataclass(frozen=True)
class Prediction:
    """The predicted step of a plan on its cluster, and what failures leave of its speed in a long run."""

    plan: Plan
    rates: Rates
    time: StepTime
    failures: Failures | None = None
    goodput: Goodput = UNDISTURBED

    @property
    def images_a_second(self) -> float:
        """Images that all replicas together train on in a second."""
        return len(self.plan.placement.tiles) * self.plan.graph.training.images / self.time.seconds

    @property
    def useful(self) -> float:
        """Images a second that failures leave."""
        return self.images_a_second * self.goodput.share


def predict(plan: Plan, rates: Rates, failures: Failures | None = None) -> Prediction:
    """Return the predicted step of a plan; raises `LnetError` if a rate that it needs is unknown."""
    (found,) = predictions(plan, rates, [plan.graph], failures)
    return found


def predictions(
    plan: Plan, rates: Rates, graphs: Iterable[Graph], failures: Failures | None = None
) -> list[Prediction]:
    """Return the prediction for each of some networks that differ from a plan's in `fetch` and `push` alone."""
    tiles = tile_stages(plan, rates)
    work = Work.of(plan, rates, tiles)
    struck = None if failures is None else Struck(plan, rates, failures, tiles)
    return [
        Prediction(
            replace(plan, graph=graph),
            rates,
            time := work.time(graph.training),
            failures,
            UNDISTURBED if struck is None else struck.goodput(graph.training, time),
        )
        for graph in graphs
    ]


def time_text(prediction: Prediction, width: int = WIDE) -> str:
    """Return the prediction as text, folded to `width` columns."""
    plan, time = prediction.plan, prediction.time
    rows = [
        (
            part,
            seconds_text(time.path[part]),
            f"{time.path[part] / time.seconds:.0%}",
            seconds_text(time.mean(part)),
            seconds_text(time.spent[part][time.slowest[part]]),
            plan.workers[time.slowest[part]].name,
        )
        for part in PARTS
    ]
    rows.append(("waiting", "-", "-", seconds_text(time.waiting), "-", ""))
    what = time.bottleneck
    return printed(
        (
            plan.summary(),
            f"a step takes {seconds_text(time.seconds)}: {prediction.images_a_second:,.4g} images a second",
            "",
            TextTable(
                ("part",),
                ("of the step", "share", "worker's mean", "most", "at worker"),
                tuple(rows),
                ("at worker",),
            ),
            "of the step: at the slowest worker of each of its stages; waiting: for slower workers",
            "",
            f"bottleneck: {what}, {time.path[what] / time.seconds:.0%} of the step ({CAUSES[what]})",
            *_under_failures(prediction),
            f"rates: {prediction.rates.source}; predicted as docs/scale.md says",
        ),
        width,
    )


def _under_failures(prediction: Prediction) -> Iterator[str]:
    """Yield what failures leave, and what of them costs how much."""
    left, failures = prediction.goodput, prediction.failures
    if failures is not None:
        yield ""
        yield (
            f"with {failures.rate:,g} failures of a machine in 1,000 hours, each repaired after "
            f"{failures.repair:,g} s: goodput {left.share:.3f}, {prediction.useful:,.4g} images a second"
        )
        yield (
            f"primaries away from their tiles leave {left.moved:.3f} of the speed, missing machines {left.staffed:.3f}, "
            f"stand-stills {left.standing:.3f}"
        )


def time_data(prediction: Prediction) -> dict[str, Any]:
    """Return the prediction as JSON values; times in seconds."""
    plan, time, rates = prediction.plan, prediction.time, prediction.rates
    return {
        "seconds": time.seconds,
        "images_a_second": prediction.images_a_second,
        "bottleneck": time.bottleneck,
        **_failures_data(prediction),
        "path": time.path,
        "mean": {part: time.mean(part) for part in PARTS} | {"waiting": time.waiting},
        "workers": [
            {"name": worker.name} | {part: time.spent[part][i] for part in PARTS}
            for i, worker in enumerate(plan.workers)
        ],
        "rates": {
            "layers": dict(rates.layers),
            "updates": rates.updates,
            "images": rates.images if rates.images < float("inf") else None,
            "overhead": rates.overhead,
            "copies": rates.copies if rates.copies < float("inf") else None,
            "source": rates.source,
        },
    }


def _failures_data(prediction: Prediction) -> dict[str, Any]:
    if prediction.failures is None:
        return {}
    left = {"share": prediction.goodput.share} | asdict(prediction.goodput)
    return {"failures": asdict(prediction.failures), "goodput": left}


def seconds_text(seconds: float) -> str:
    """Return a duration to three figures."""
    if not seconds:
        return "-"
    return f"{seconds:,.3g} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"
