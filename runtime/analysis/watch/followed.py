"""A run that is followed: its history so far, how it stands, how fast it is. Without JAX."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lnet.dsl.diagnostics import LnetError
from lnet.runtime.analysis.history import Averages, History, Values
from lnet.runtime.store.events import (
    ClusterBegun,
    Completed,
    Failed,
    LogEvent,
    Resumed,
    RunInterrupted,
    Started,
    StepDone,
    StepsDone,
)
from lnet.runtime.store.follow import Follower
from lnet.runtime.store.summary import STATES, Summary, Unreadable, state_of, summary

WINDOW, PACED = 10.0, 2000
"""Seconds, and steps at most, over which the present speed is taken."""
SILENT = 10.0
"""Seconds without an event after which, and so often, it is asked whether a process still trains a run."""
MESSAGES = 20
"""Messages that are kept."""
LATER = "It has not begun; the page goes on when it does."


class FollowedRun:
    """A run in a directory, which may begin later."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.summary: Summary | None = None
        self.problem, self.begun = "", False
        self._log = Follower(path / "events.jsonl")
        self._state = ""
        self._begin()

    def _begin(self) -> None:
        self._history = History()
        self._messages: deque[tuple[float, str]] = deque(maxlen=MESSAGES)
        self._pace: deque[tuple[float, int, int]] = deque(maxlen=PACED)
        self._last, self._at = "", 0.0
        self._asked, self._found = -math.inf, ""

    def poll(self) -> bool:
        """Read what is new of it; return whether anything is."""
        before = (self.problem, self._state, self.summary)
        fresh = False
        try:
            void, events = self._log.read()
            if void:
                self._begin()
            for event in events:
                self._take(event)
                fresh = True
            if void or self.summary is None:
                self.summary = summary(self.path)
                self.begun = True
            self.problem = ""
        except Unreadable as error:
            self.summary = None
            self.problem = f"It cannot be read: {error}." if _is_anything(self.path) else LATER
        except (LnetError, OSError) as error:
            self._log.close()  # what was read of it may be a part
            self.problem = f"Its log cannot be read now: {error}"
        self._state = self._stands()
        return fresh or before != (self.problem, self._state, self.summary)

    def _take(self, event: LogEvent) -> None:
        self._history.take(event)
        self._at = event.time
        match event:
            case StepDone() | StepsDone():
                self._pace.append((event.time, event.step, event.images))
                return
            case Started() | Resumed() | ClusterBegun():
                self._pace.clear()
                self._last = event.name
            case Completed() | RunInterrupted() | Failed():
                self._last = event.name
        text = f"resumed from step {event.step:,}" if isinstance(event, Resumed) else event.text
        if text is not None:
            self._messages.append((event.time, text))

    def _stands(self) -> str:
        """Return done, stopped, pruned, failed, running, killed or imported; nothing of what is no run yet."""
        if self.summary is None:
            return ""
        if self.summary.state == "imported":
            return self.summary.state
        if self._last in STATES:
            return STATES[self._last]
        if time.time() - self._at < SILENT:
            return "running"
        if time.monotonic() - self._asked >= SILENT:
            self._asked, self._found = time.monotonic(), state_of(self.path, self._last)
        return self._found

    # --- what the page is told ----------------------------------------------------------------------------------------

    def data(self, differing: Sequence[str]) -> dict[str, Any]:
        """Return what the page shows, as JSON data; `differing`: the settings in which the runs differ."""
        steps, found = self._history.steps, self.summary
        step = steps.newest.step if steps.newest is not None else 0
        planned = 0 if found is None else found.steps * (self._history.replicas if steps.on_cluster else 1)
        image_rate, step_rate = self._speed()
        settings = {} if found is None else {name: found.settings.get(name, "") for name in differing}
        running = self._state == "running"
        return {
            "path": str(self.path),
            "network": "" if found is None else found.network,
            "state": self._state,
            "problem": self.problem,
            "settings": ", ".join(f"{name} = {text}" for name, text in settings.items() if text),
            "changes": [] if found is None else found.change_lines,
            "step": step,
            "steps": planned,
            "image_rate": image_rate if running else None,
            "seconds_left": max(0, planned - step) / step_rate if running and step_rate else None,
            "silent": time.time() - self._at if running else None,
            "losses": {name: _number(value) for name, value in steps.last.items()},
            "validation": self._validation(),
            "curves": self._curves(),
            "messages": [{"ago": time.time() - at, "text": text} for at, text in reversed(self._messages)],
        }

    def _speed(self) -> tuple[float | None, float | None]:
        """Return images and steps per second of late, those of all replicas."""
        if len(self._pace) < 2:
            return None, None
        end, step, images = self._pace[-1]
        late = (each for each in self._pace if each[0] >= end - WINDOW)
        begin, first, before = min(next(late), self._pace[-2])
        seconds = end - begin
        return ((images - before) / seconds, (step - first) / seconds) if seconds > 0 else (None, None)

    def _validation(self) -> dict[str, Any] | None:
        newest = self._history.validations.newest
        if newest is None:
            return None
        figures = {"loss": newest.loss, **newest.accuracies}
        return {"step": newest.step, "figures": {name: _number(each) for name, each in figures.items()}}

    def _curves(self) -> dict[str, Any]:
        """Return the curves under their headings: of each name, those in training and in validation."""
        trained, validated = self._history.steps, self._history.validations
        found = {
            "Losses": _lines(trained, trained.losses(), validated, validated.losses()),
            "Accuracies": _lines(trained, trained.shares(), validated, validated.shares()),
        }
        if len(trained):
            found["Throughput"] = _lines(trained, {"images per second": trained.rates()}, validated, {})
        return found


def _lines(
    trained: Averages, curves: Mapping[str, Values], validated: Averages, tested: Mapping[str, Values]
) -> dict[str, Any]:
    names = dict.fromkeys([*curves, *tested])
    return {
        name: {
            "trained": _points(trained, curves[name]) if name in curves else [],
            "validated": _points(validated, tested[name]) if name in tested else [],
        }
        for name in names
    }


def _points(averages: Averages, values: Values) -> list[tuple[float, float]]:
    """Return the finite points of a curve, to five digits."""
    points = zip(averages.at.tolist(), values.tolist(), strict=True)
    return [(round(step, 1), float(f"{value:.5g}")) for step, value in points if math.isfinite(value)]


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _is_anything(path: Path) -> bool:
    """Whether something is at a path, and in it."""
    try:
        return path.exists() and (not path.is_dir() or any(path.iterdir()))
    except OSError:
        return True
