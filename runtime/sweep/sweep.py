"""Sweeps from their beginning to their table: `begin` checks and keeps one, `work` trains its trials, in any process."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from lnet.compiler.language.overrides import as_text
from lnet.compiler.space import Space
from lnet.dsl.diagnostics import LnetError, refused
from lnet.dsl.sources import read_source
from lnet.runtime.process.stopping import Interrupted, Stop, stopping
from lnet.runtime.store.run import is_sweep
from lnet.runtime.training.bars import usual
from lnet.runtime.training.logged import LOGGER, Logged
from lnet.runtime.training.progress import Reporter

from .check import Checked, check
from .command import lnetc
from .measure import LOSS
from .spec import SweepSpec, locked, read_spec, write_spec
from .study import Study
from .trial_runs import train_trial
from .trials import Sweep, Trial

TRIALS = 20
"""Trials of a space with ranges, unless their number is given."""
DEATHS = 3
"""Processes that may end at the same step of a trial, for lack of memory for one, before it has failed."""
StrPath = str | os.PathLike[str]
Told = Callable[[Trial, bool], None]
"""Is told of each trial that this process has ended, and whether it is the best so far."""


class SweepInterrupted(Interrupted):
    """A sweep of so many `trials` was stopped: the same command goes on with it."""

    def __init__(self, folder: Path, trials: int | None) -> None:
        self.directory, self.checkpoint, self.step = folder, None, None
        number = () if trials is None else ("-n", str(trials))
        self.advice = f"go on with: {lnetc('sweep', str(folder), *number)}"
        Exception.__init__(self, f"stopped; {self.advice}")


def sweep(
    source: StrPath,
    set: Mapping[str, object] | None = None,
    directory: StrPath | None = None,
    trials: int | None = None,
    seeds: int = 1,
    seed: int = 0,
    objective: str = LOSS,
    data: StrPath | None = None,
    validation: StrPath | None = None,
    start: StrPath | None = None,
    freeze: Sequence[str] = (),
    prune: bool = True,
    reporter: Reporter | None = None,
) -> Sweep:
    """Train a `.lnet` file with many settings, which optuna's TPE chooses, and return the trials, best first.

    `set` as for `compile`, with ranges and alternatives in the expressions: `{"train.update": "adam(rate = 1e-4..0.01)",
    "let.field": "{5, 7, 9}"}`. `directory`: the sweep's folder (default `sweeps/NAME`); if the same sweep is there, it goes
    on. `trials`: their total number, by default 20, or of a space without ranges all points. A trial trains its point
    with `seeds` seeds, the first of which is `seed`, the search's too; the mean of the `objective` decides: `loss`, an
    objective's path, `accuracy`, or an accuracy's name. `prune`: end runs that are worse than the median of those before.
    `data`, `validation`, `start`, `freeze` and `reporter` as for `train`. A point that diverges or needs too much memory has
    failed; other errors, and `Interrupted`, are those of `train`. Source: Bergstra et al., Algorithms for hyper-parameter
    optimization, 2011.
    """
    for name, count, least in (("trials", trials, 0), ("seeds", seeds, 1)):
        if count is not None and (count < least or count != int(count)):
            raise refused("E790", f"'{name}' must be an integer from {least} on, found {count}")
    settings = {name: as_text(value) for name, value in (set or {}).items()}
    spec = spec_of(source, settings, seed, seeds, objective, prune, data, validation, start, freeze)
    checked = check(spec)
    study = Study(begin(checked, directory), checked.spec)
    shown = reporter or Logged(usual())

    def told(trial: Trial, best: bool) -> None:
        LOGGER.info("%s", trial.line(study.spec.measure, best))

    return work(study, trials, lambda run: shown, told)


def spec_of(
    source: StrPath,
    settings: Mapping[str, str],
    seed: int,
    seeds: int,
    objective: str,
    prune: bool,
    data: StrPath | None = None,
    validation: StrPath | None = None,
    start: StrPath | None = None,
    freeze: Sequence[str] = (),
) -> SweepSpec:
    """Return what a sweep trains; raises `LnetError` for a file that cannot be read."""
    text = read_source(source)
    included = tuple((os.path.relpath(file.name), file.text) for file in text.included)
    return SweepSpec(
        file=os.path.relpath(text.name),
        text=text.text,
        included=included,
        settings=settings,
        seed=seed,
        seeds=seeds,
        objective=objective,
        validated=False,
        prune=prune,
        data=_resolved(data),
        validation=_resolved(validation),
        start=_resolved(start),
        freeze=tuple(freeze),
    )


def _resolved(path: StrPath | None) -> str | None:
    return None if path is None else str(Path(path).resolve())


def begin(checked: Checked, directory: StrPath | None = None) -> Path:
    """Keep a sweep in a folder, by default `sweeps/NAME`, and return it; raises `LnetError` if another sweep is there."""
    folder = place_of(checked, directory)
    agree(folder, checked.spec)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            agree(folder, checked.spec)
            if not is_sweep(folder):
                write_spec(folder, checked.spec)
    except OSError as error:
        raise refused("E744", f"'{folder}' cannot be written", str(error)) from error
    return folder


def place_of(checked: Checked, directory: StrPath | None) -> Path:
    """Return the folder of a sweep."""
    return Path("sweeps") / checked.plan.graph.name if directory is None else Path(directory)


def agree(folder: Path, spec: SweepSpec) -> None:
    """Raise `LnetError` if there is another sweep in a folder, or anything else."""
    if is_sweep(folder):
        differences = list(read_spec(folder).unlike(spec))
        hints = (
            f"go on with the one that is there: {lnetc('sweep', str(folder))}",
            "or begin another one: -d FOLDER",
        )
        if differences:
            raise refused("E791", f"there is another sweep in '{folder}'", *differences, hint=hints)
    elif folder.exists() and not folder.is_dir():
        raise refused("E743", f"'{folder}' is a file", hint="name a folder with '-d'")
    elif folder.exists() and any(not path.name.startswith(".") for path in folder.iterdir()):
        hint = "name another folder with '-d'"
        raise refused("E743", f"'{folder}' is not empty, and there is no sweep in it", hint=hint)


def work(study: Study, trials: int | None, runs: Callable[[Path], Reporter], told: Told) -> Sweep:
    """Train trials until there are as many, or none is left for this process, and return all; 0: none is trained.

    `runs` gives the reporter of a run by its directory. Raises `LnetError`, and `SweepInterrupted`.
    """
    stopped = SweepInterrupted(study.folder, trials)
    with stopping(Stop(in_order=False, words=lambda: str(stopped))):
        try:
            most = _most(study, trials)
            while trials != 0 and (trial := _next(study, most, runs)) is not None:
                told(trial, trial == study.result().best)
        except (Interrupted, KeyboardInterrupt):
            raise stopped from None
        except OSError as error:
            raise refused("E744", f"'{study.folder}' cannot be written", str(error)) from error
    return study.result()


def _next(study: Study, most: int, runs: Callable[[Path], Reporter]) -> Trial | None:
    """Take a trial and train it; not if its point was tried before, or if it seems to end every process that trains it."""
    with study.take(most) as taken:
        if taken is None:
            return None
        if taken.deaths >= DEATHS:
            return taken.failed(f"{taken.deaths} processes ended while they trained the same step")
        earlier = taken.earlier()
        if earlier is not None:
            return taken.like(earlier)
        try:
            return train_trial(taken, runs)
        except (LnetError, Interrupted, KeyboardInterrupt):
            with suppress(OSError):  # a full disk is what the error is of
                taken.leave()
            raise


def _most(study: Study, trials: int | None) -> int:
    """Return the number of trials in the end; if these are all points of the space, each waits for its trial from now on."""
    number = number_of(study.space, trials)
    return study.await_all_points() if number == study.space.whole.size else number


def number_of(space: Space, trials: int | None) -> int:
    """Return the number of trials in the end: all points of a space without ranges, unless fewer are asked for."""
    size = space.whole.size
    if size is not None:
        return size if trials is None else min(size, trials)
    return TRIALS if trials is None else trials
