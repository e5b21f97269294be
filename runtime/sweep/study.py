"""The trials of a sweep in optuna's journal, from which any number of processes take them.

    take        one whose process has ended   -> it goes on where its runs stopped
                one that waits (of a list)    -> trained
                a new one, if there may be    -> the sampler chooses its point, by the trials before

A process that trains a trial holds the lock of its folder, which a killed one gives back by itself. One lock of the sweep's
folder is held while a trial is taken, so that there are no more trials than asked for. The sampler begins anew with each
trial, from the sweep's seed and the trial's number: a sweep in one process has the same points however often it was stopped.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import IO, Any

import numpy as np

from lnet.compiler.space import Choice, Point, Range, Value, Variable
from lnet.dsl.diagnostics import refused
from lnet.runtime.store.summary import Unreadable, summary

from .spec import LOCK, SweepSpec, locked
from .trials import DONE, FAILED, PRUNED, RUNNING, WAITING, Sweep, Trial, best_first, folder_of

JOURNAL = "study.log"
NAME = "sweep"
DEATHS, LEFT = "deaths", "left"
"""Properties of a trial: the processes that ended at the same step of it, and whether the last one did so in order."""
TENTHS = 10
"""Parts of a run after each of which it may be pruned."""
FIRST = 3
"""Tenths of a run before which it is not pruned: losses after fewer steps say little of the last."""


def optuna() -> Any:
    """Return the package; raises `LnetError` without it."""
    try:
        found = import_module("optuna")
        import_module("optuna.storages.journal")
    except ImportError as error:
        hint = "install it with: pip install 'lnetc[sweep]'"
        raise refused("E787", "a sweep needs 'optuna'", str(error), hint=hint) from error
    found.logging.set_verbosity(found.logging.WARNING)
    return found


@dataclass(frozen=True)
class Taken:
    """A trial that this process trains; `deaths`: how many processes have ended in turn while they trained the same step."""

    number: int
    point: Point
    study: Study
    deaths: int

    @property
    def folder(self) -> Path:
        """Where its runs are."""
        return self.study.folder / folder_of(self.number)

    def hopeless(self, tenth: int, value: float) -> bool:
        """Note what the first run has reached after so many tenths; return whether the trial should end here."""
        return self.study.hopeless(self.number, tenth, value)

    def done(self, values: Sequence[float]) -> Trial:
        """End the trial with the values of its runs."""
        return self._told(Trial(self.number, DONE, self.point, tuple(values)))

    def pruned(self, values: Sequence[float], note: str) -> Trial:
        """End the trial, whose first run was pruned."""
        return self._told(Trial(self.number, PRUNED, self.point, tuple(values), note))

    def failed(self, note: str) -> Trial:
        """End the trial, with the reason."""
        return self._told(Trial(self.number, FAILED, self.point, (), note))

    @property
    def settings(self) -> dict[str, str]:
        """The settings at its point."""
        return self.study.space.at_point(self.point)

    def earlier(self) -> Trial | None:
        """Return a trial with the same point that has ended."""
        ended = (trial for trial in self.study.trials() if trial.ended)
        return next((trial for trial in ended if trial.point == self.point), None)

    def like(self, other: Trial) -> Trial:
        """End the trial as an earlier one with the same point has ended."""
        return self._told(Trial(self.number, other.state, self.point, other.values, other.note, other.number))

    def leave(self) -> None:
        """Say that this process ends in order before the trial does: that counts for nothing."""
        self.study.keep(self.number, LEFT, True)

    def _told(self, trial: Trial) -> Trial:
        self.study.tell(trial)
        return trial


class Study:
    """The trials of the sweep in a folder."""

    def __init__(self, folder: Path, spec: SweepSpec) -> None:
        self.folder, self.spec, self.space, self._optuna = folder, spec, spec.space, optuna()
        try:
            self._storage = self._optuna.storages.JournalStorage(_journal(folder / JOURNAL, self.writable))
            self._study = self._kept() if self.writable else self._shown()
        except OSError as error:
            raise refused("E744", f"'{folder}' cannot be written", str(error)) from error
        except ValueError as error:
            raise refused("E791", f"'{folder / JOURNAL}' is damaged", str(error)) from error

    @property
    def writable(self) -> bool:
        """Whether this process may train its trials; others may look at them."""
        return os.access(self.folder, os.W_OK)

    def _kept(self) -> Any:
        with locked(self.folder):
            return self._optuna.create_study(
                study_name=NAME,
                storage=self._storage,
                direction="maximize" if self.spec.measure.maximised else "minimize",
                pruner=self._optuna.pruners.MedianPruner(n_warmup_steps=FIRST),
                load_if_exists=True,
            )

    def _shown(self) -> Any:
        try:
            return self._optuna.load_study(study_name=NAME, storage=self._storage)
        except KeyError as error:
            raise refused(
                "E744", f"'{self.folder}' cannot be written, and no trial of it has begun"
            ) from error

    def await_all_points(self) -> int:
        """Let every point of a space without ranges wait for its trial, if none has it; return the number of all trials."""
        with locked(self.folder):
            there = [trial.point for trial in self.trials()]
            for point in self.space.whole.points():
                if point not in there:
                    self._study.enqueue_trial(dict(point))
            return len(self.trials())

    def trials(self) -> list[Trial]:
        """Return all trials by their numbers."""
        return [self._trial(frozen) for frozen in self._study.get_trials(deepcopy=False)]

    def result(self) -> Sweep:
        """Return the sweep as it stands."""
        return Sweep(self.folder, self.spec, best_first(self.trials(), self.spec.measure))

    @contextmanager
    def take(self, most: int) -> Iterator[Taken | None]:
        """Give a trial to this process, None if none is left: `most` is the number of all trials."""
        with locked(self.folder):
            held = self._next(most)
        if held is None:
            yield None
            return
        trial, lock = held
        with lock:
            # A trial that goes on has its point already, or a part of it.
            self._study.sampler = self._optuna.samplers.TPESampler(seed=self._seed_of(trial.number))
            values: dict[str, Value] = {}

            def pick(variable: Variable) -> Value:
                values[variable.name] = _suggested(trial, variable)
                return values[variable.name]

            self.space.at(pick)
            yield Taken(trial.number, values, self, self._deaths(trial))

    def _next(self, most: int) -> tuple[Any, IO[str]] | None:
        trials = self.trials()
        for trial in trials:
            lock = self._hold(trial.number) if trial.state == RUNNING else None
            if lock is not None and self.trials()[trial.number].state == RUNNING:
                return self._optuna.trial.Trial(self._study, self._id(trial.number)), lock
        waiting = any(trial.state == WAITING for trial in trials)
        if not waiting and len(trials) >= most:
            return None
        new = self._study.ask()
        lock = self._hold(new.number)
        assert lock is not None, "the lock of a trial is free before it is taken"
        return new, lock

    def _deaths(self, trial: Any) -> int:
        """Return how many processes have ended in turn at the same step of a trial, which is taken now, and keep it."""
        reached, kept = _reached(self.folder / folder_of(trial.number)), trial.user_attrs
        count, before = kept.get(DEATHS, (-1, 0))
        count = 0 if reached > before or kept.get(LEFT) else count + 1
        self.keep(trial.number, DEATHS, (count, reached))
        self.keep(trial.number, LEFT, False)
        return count

    def keep(self, number: int, name: str, value: object) -> None:
        """Keep a property of a trial."""
        self._storage.set_trial_user_attr(self._id(number), name, value)

    def hopeless(self, number: int, tenth: int, value: float) -> bool:
        """Note what a trial's first run has reached, and return whether the pruner would end it."""
        known = self._id(number)
        self._storage.set_trial_intermediate_value(known, tenth, value)
        return bool(self._study.pruner.prune(self._study, self._storage.get_trial(known)))

    def tell(self, trial: Trial) -> None:
        """Keep how a trial ended.

        One that failed is pruned for optuna, whose sampler avoids such points, and would learn nothing of a failed one.
        """
        for name in ("state", "values", "note", "same_as"):
            self.keep(trial.number, name, getattr(trial, name))
        states = self._optuna.trial.TrialState
        if trial.state == DONE and trial.spread is not None:
            self._study.tell(trial.number, trial.spread.mean)
        else:
            self._study.tell(trial.number, state=states.PRUNED)

    def _trial(self, frozen: Any) -> Trial:
        states, kept = self._optuna.trial.TrialState, frozen.user_attrs
        # One that waited has a point from its beginning; parameters are kept one by one once it is taken.
        point = frozen.system_attrs.get("fixed_params") or frozen.params
        if frozen.state.is_finished() and "state" in kept:
            values = tuple(kept["values"])
            return Trial(frozen.number, kept["state"], point, values, kept["note"], kept["same_as"])
        waits = frozen.state == states.WAITING
        return Trial(frozen.number, WAITING if waits else RUNNING, point)

    def importances(self) -> dict[str, float]:
        """Return how much of the values' variance each of several variables explains (fANOVA), where that can be told.

        Hutter et al., An efficient approach for assessing hyperparameter importance, 2014. It needs scikit-learn.
        """
        kinds = self._optuna.importance
        try:
            evaluator = kinds.FanovaImportanceEvaluator(seed=self.spec.seed)
            found = kinds.get_param_importances(self._study, evaluator=evaluator)
        except (ImportError, ValueError, RuntimeError):  # no package, too few trials, or all alike
            return {}
        return {str(name): float(value) for name, value in found.items()} if len(found) > 1 else {}

    def _id(self, number: int) -> Any:
        study = self._storage.get_study_id_from_name(NAME)
        return self._storage.get_trial_id_from_study_id_trial_number(study, number)

    def _seed_of(self, number: int) -> int:
        return int(np.random.SeedSequence([self.spec.seed, number]).generate_state(1)[0])

    def _hold(self, number: int) -> IO[str] | None:
        """Return the lock of a trial, None if another process holds it."""
        place = self.folder / folder_of(number)
        place.mkdir(exist_ok=True)
        file = open(place / LOCK, "w")  # noqa: SIM115 (held as long as the trial)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return None
        return file


def _reached(folder: Path) -> int:
    """Return how many steps the runs of a trial have."""
    steps = 0
    for run in folder.glob("seed-*"):
        with suppress(Unreadable):
            steps += summary(run).step
    return steps


def _journal(path: Path, writable: bool) -> Any:
    """Return optuna's journal in a file, without a last line that a full disk or a lost machine cut off."""
    kinds = optuna().storages.journal
    if not writable:
        return kinds.JournalFileBackend(str(path))
    lock = kinds.JournalFileOpenLock(str(path))
    lock.acquire()
    try:
        content = path.read_bytes() if path.exists() else b""
        if not content.endswith(b"\n") and content:
            os.truncate(path, content.rfind(b"\n") + 1)
    finally:
        lock.release()
    return kinds.JournalFileBackend(str(path), lock)


def _suggested(trial: Any, variable: Variable) -> Value:
    """Return the value that the sampler chooses."""
    found: Value
    match variable:
        case Choice():
            found = trial.suggest_categorical(variable.name, variable.labels)
        case Range() if variable.whole:
            found = trial.suggest_int(variable.name, variable.low, variable.high, log=variable.logarithmic)
        case Range():
            found = trial.suggest_float(variable.name, variable.low, variable.high, log=variable.logarithmic)
    return found
