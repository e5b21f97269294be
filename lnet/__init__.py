"""Locally connected networks: a language, a compiler and a runtime.

plan = lnet.compile("catface.lnet")
run = lnet.train(plan, directory="runs/a")
values = lnet.open_run("runs/a").network()(images)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lnet.compiler.pipeline import compile_plan as compile
    from lnet.compiler.plan.plan import Plan, load_plan
    from lnet.compiler.plugins.load import load_plugin
    from lnet.dsl.diagnostics import (
        ClusterError,
        DataError,
        Diagnostic,
        Diverged,
        InputError,
        LnetError,
        RunError,
    )
    from lnet.dsl.parser import parse
    from lnet.dsl.printer import format_module as format
    from lnet.plugin import register
    from lnet.runtime.analysis.draw import draw
    from lnet.runtime.analysis.export import export, export_program
    from lnet.runtime.analysis.invariance import invariance
    from lnet.runtime.analysis.probe import Probe, probe
    from lnet.runtime.analysis.probe.naming import accuracy
    from lnet.runtime.analysis.probe.places import places
    from lnet.runtime.analysis.rsa.rsa import rsa
    from lnet.runtime.analysis.seeds import sheet_over_seeds
    from lnet.runtime.analysis.sheet import sheet_view
    from lnet.runtime.analysis.stimulus import optimal_stimulus
    from lnet.runtime.analysis.track.track import track
    from lnet.runtime.data.given_arrays import Arrays
    from lnet.runtime.engine.network import Network, prepare
    from lnet.runtime.export.onnx_file import export_onnx
    from lnet.runtime.export.pytorch import export_torch
    from lnet.runtime.hub.pull import pull
    from lnet.runtime.hub.push import push
    from lnet.runtime.process.stopping import Interrupted
    from lnet.runtime.store.run import Run, open_run
    from lnet.runtime.sweep.sweep import sweep
    from lnet.runtime.sweep.trials import Sweep
    from lnet.runtime.train import resume, train
    from lnet.runtime.training.imported import import_weights
    from lnet.runtime.training.tune import tune

__version__: str

_PLACES = {
    "Arrays": "lnet.runtime.data.given_arrays:Arrays",
    "ClusterError": "lnet.dsl.diagnostics:ClusterError",
    "DataError": "lnet.dsl.diagnostics:DataError",
    "Diagnostic": "lnet.dsl.diagnostics:Diagnostic",
    "Diverged": "lnet.dsl.diagnostics:Diverged",
    "InputError": "lnet.dsl.diagnostics:InputError",
    "Interrupted": "lnet.runtime.process.stopping:Interrupted",
    "LnetError": "lnet.dsl.diagnostics:LnetError",
    "Network": "lnet.runtime.engine.network:Network",
    "Plan": "lnet.compiler.plan.plan:Plan",
    "Probe": "lnet.runtime.analysis.probe:Probe",
    "Run": "lnet.runtime.store.run:Run",
    "RunError": "lnet.dsl.diagnostics:RunError",
    "Sweep": "lnet.runtime.sweep.trials:Sweep",
    "accuracy": "lnet.runtime.analysis.probe.naming:accuracy",
    "compile": "lnet.compiler.pipeline:compile_plan",
    "draw": "lnet.runtime.analysis.draw:draw",
    "export": "lnet.runtime.analysis.export:export",
    "export_onnx": "lnet.runtime.export.onnx_file:export_onnx",
    "export_program": "lnet.runtime.analysis.export:export_program",
    "export_torch": "lnet.runtime.export.pytorch:export_torch",
    "format": "lnet.dsl.printer:format_module",
    "import_weights": "lnet.runtime.training.imported:import_weights",
    "invariance": "lnet.runtime.analysis.invariance:invariance",
    "load_plan": "lnet.compiler.plan.plan:load_plan",
    "load_plugin": "lnet.compiler.plugins.load:load_plugin",
    "open_run": "lnet.runtime.store.run:open_run",
    "optimal_stimulus": "lnet.runtime.analysis.stimulus:optimal_stimulus",
    "parse": "lnet.dsl.parser:parse",
    "places": "lnet.runtime.analysis.probe.places:places",
    "prepare": "lnet.runtime.engine.network:prepare",
    "probe": "lnet.runtime.analysis.probe:probe",
    "pull": "lnet.runtime.hub.pull:pull",
    "push": "lnet.runtime.hub.push:push",
    "register": "lnet.plugin:register",
    "resume": "lnet.runtime.train:resume",
    "rsa": "lnet.runtime.analysis.rsa.rsa:rsa",
    "sheet_over_seeds": "lnet.runtime.analysis.seeds:sheet_over_seeds",
    "sheet_view": "lnet.runtime.analysis.sheet:sheet_view",
    "sweep": "lnet.runtime.sweep.sweep:sweep",
    "track": "lnet.runtime.analysis.track.track:track",
    "train": "lnet.runtime.train:train",
    "tune": "lnet.runtime.training.tune:tune",
}

__all__ = [
    "Arrays",
    "ClusterError",
    "DataError",
    "Diagnostic",
    "Diverged",
    "InputError",
    "Interrupted",
    "LnetError",
    "Network",
    "Plan",
    "Probe",
    "Run",
    "RunError",
    "Sweep",
    "accuracy",
    "compile",
    "draw",
    "export",
    "export_onnx",
    "export_program",
    "export_torch",
    "format",
    "import_weights",
    "invariance",
    "load_plan",
    "load_plugin",
    "open_run",
    "optimal_stimulus",
    "parse",
    "places",
    "prepare",
    "probe",
    "pull",
    "push",
    "register",
    "resume",
    "rsa",
    "sheet_over_seeds",
    "sheet_view",
    "sweep",
    "track",
    "train",
    "tune",
]


if not TYPE_CHECKING:  # hidden from type checkers, so that they report unknown names

    def __getattr__(name: str) -> object:
        """Import a public name on first use, so that neither checking a file nor handling a signal waits for JAX."""
        if name == "__version__":
            return import_module("importlib.metadata").version("lnetc")
        if name not in _PLACES:
            raise AttributeError(f"module 'lnet' has no attribute '{name}'")
        module, _, attribute = _PLACES[name].partition(":")
        return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
