"""The card of a published run, `README.md`: what the network is, what it was trained on, how well, and how to use it.

It begins with what the hub reads, in YAML, of which JSON is a part: https://huggingface.co/docs/hub/model-cards.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from lnet.compiler.graph.brief import layers_table
from lnet.compiler.text_table import TextTable
from lnet.runtime.analysis.history import History, history_of
from lnet.runtime.analysis.probe.result import Probe, read_probes
from lnet.runtime.analysis.report.settings import settings
from lnet.runtime.store.run import Run

FEATURES, CLASSES = "image-feature-extraction", "image-classification"
"""The hub's words for what networks do: without labels, with labels."""


def card(run: Run, repository: str) -> str:
    """Return the card of a run in a repository, `owner/name`; raises `LnetError` for results that cannot be read.

    `run` has the plan and the run.json that are published.
    """
    name, history = repository.rpartition("/")[2], history_of(run.stream_events())
    version = run.info["versions"]["lnet"]
    parts = [
        f"---\n{_front(run)}---\n",
        f"# {name}\n",
        f"A locally connected network, trained with lnet {version}: receptive fields as in a convolution, and separate "
        f"weights at every position. {_trained(run, history)}\n",
        *_section("Figures", _figures(history)),
        *(line for probe in read_probes(run).values() for line in _probe(probe)),
        *_section("Use", _use(repository, name)),
        *_section("Layers", _table(layers_table(run.plan.graph))),
        *_section("Settings", _table(TextTable(("setting", "value"), (), tuple(settings(run))))),
        *_section("Program", _fenced(run.plan.source_text, "lnet")),
    ]
    return "\n".join(parts)


def _front(run: Run) -> str:
    """Return what the hub reads."""
    tags = ["lnet", "locally-connected", run.plan.graph.name]
    front: dict[str, str | list[str]] = {"library_name": "lnet", "tags": tags}
    if run.plan.graph.arrays is None:
        front["pipeline_tag"] = FEATURES if run.classes is None else CLASSES
    return "".join(f"{name}: {json.dumps(value)}\n" for name, value in front.items())


def _trained(run: Run, history: History) -> str:
    """Return a sentence on the size of the network, and how it was trained."""
    graph, newest = run.plan.graph, history.steps.newest
    size = f"{len(graph.visible):,} layers, {sum(p.size for p in graph.parameters):,} parameters"
    if newest is None:
        return f"It has {size}, which were not trained with lnet."
    samples = "images" if graph.arrays is None else "samples"
    classes = f" of {len(run.classes):,} classes" if run.classes else ""
    seen = f"{run.info['data']['images']:,} {samples}{classes}"
    return f"It has {size}, and was trained on {seen}; {newest.images:,} were seen in {newest.step:,} steps."


def _figures(history: History) -> str:
    """Return the last losses, those of the last 50 steps, and the figures of the last validation."""
    rows = [(f"training: {name}", f"{value:.4g}") for name, value in history.steps.last.items()]
    newest = history.validations.newest
    if newest is not None:
        rows.append((f"validation at step {newest.step:,}: loss", f"{newest.loss:.4g}"))
        rows += [(f"validation: {name}", f"{value:.1%}") for name, value in newest.accuracies.items()]
    return _table(TextTable(("figure",), ("value",), tuple(rows)))


def _probe(probe: Probe) -> Iterator[str]:
    """Yield a section on the best neurons for a label, with baselines."""
    found = [(row, row.above.honest) for row in probe.rows if row.above is not None]
    rows = tuple((row.name, best.neuron or row.layer, f"{best.figures.accuracy:.1%}") for row, best in found)
    table = _table(TextTable(("row", "best"), ("accuracy",), rows))
    images = f"{probe.positives:,} and {probe.negatives:,} images"
    yield from _section(
        f"Probe: {probe.label} against {probe.against}",
        f"The best neuron of each layer, and baselines, on {images}: chosen on one half of their sources, tested on the "
        f"other.\n\n{table}",
    )


def _use(repository: str, name: str) -> str:
    program = f'import lnet\n\nnet = lnet.open_run("{name}").network()\nvalues = net(images)  # by layer'
    return (
        f"{_fenced(f'lnetc pull {repository} -d {name}', 'sh')}\nThe directory is a run: `lnetc probe`, `draw`, `report` "
        f"and `export` take it, and `resume`, with images. In Python:\n\n{_fenced(program, 'python')}"
    )


# --- Markdown ----------------------------------------------------------------------------------------------------------


def _section(title: str, text: str) -> tuple[str, str]:
    return f"## {_plain(title)}\n", text


def _table(table: TextTable) -> str:
    lines = [table.names, ["---"] * len(table.words) + ["--:"] * len(table.figures), *table.rows]
    return "".join(f"| {' | '.join(map(_plain, line))} |\n" for line in lines)


def _plain(text: str) -> str:
    """Return a text of a run that is no Markdown and no HTML, on one line."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(text.split()))


def _fenced(text: str, language: str) -> str:
    """Return a block of code, between more backticks than there are in it."""
    fence = "`" * max(3, *(1 + len(found) for found in re.findall("`+", text)), 0)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}\n"
