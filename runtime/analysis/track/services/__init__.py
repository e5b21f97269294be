"""The services that runs can be sent to. A new one is a file here, and its name in `SERVICES`."""

from __future__ import annotations

from collections.abc import Mapping

from lnet.runtime.analysis.track.tracker import Service

from . import mlflow, tensorboard, trackio, wandb

SERVICES: Mapping[str, Service] = {
    each.name: each for each in (tensorboard.SERVICE, wandb.SERVICE, mlflow.SERVICE, trackio.SERVICE)
}
