"""The page of a sweep: its best trials, the measure against each setting and over the trials, every trial."""

from __future__ import annotations

from markupsafe import Markup

from lnet.runtime.pages.templates import template

from .command import longer
from .pictures import against, history
from .study import Study
from .trials import BEST, counted, short


def page(study: Study) -> str:
    """Return the page, self-contained."""
    sweep, variables = study.result(), study.space.variables
    valued = [trial for trial in sweep.trials if trial.values]
    explained = study.importances()
    drawn = [
        (
            short(variable.name),
            str(variable),
            explained.get(variable.name),
            Markup(against(variable, valued, sweep.measure)),
        )
        for variable in variables
        if any(variable.name in trial.point for trial in valued)
    ]
    return template("sweep.html", __package__).render(
        title=sweep.directory.resolve().name,
        summary=f"{sweep.spec.file}: {counted(sweep.trials)}, {sweep.spec.seeds} seeds each",
        notes=sweep.spec.notes,
        contents=[(name.lower(), name) for name in ("Best", "Settings", "History", "Trials")],
        measure=sweep.measure,
        seeds=sweep.spec.seeds,
        columns=[(variable.name, short(variable.name)) for variable in variables],
        best=sweep.best_trials[:BEST],
        command=longer(sweep),
        explained=explained,
        drawn=drawn,
        history=Markup(history(valued, sweep.measure)) if valued else None,
        trials=sorted(sweep.trials, key=lambda trial: trial.number),
    )
