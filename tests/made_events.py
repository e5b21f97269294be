"""Events for tests, with what a test does not care about filled in."""

import json
from dataclasses import fields, is_dataclass
from typing import get_args, get_origin, get_type_hints

from lnet.runtime.cluster.published import TileComputed
from lnet.runtime.store.events import (
    ClusterBegun,
    ClusterStepDone,
    ReplicaRoles,
    RolesChanged,
    ShardRoles,
    StepDone,
    WorkerLost,
)
from lnet.runtime.store.log import encode

_EMPTY = {int: 0, float: 0.0, str: "", bool: False}


def event(kind, **given):
    """An event of a class; fields that are not given are empty."""
    return kind(**_blank(kind) | given)


def _blank(kind):
    hints = get_type_hints(kind)
    return {name: _empty(hints[name]) for name in (f.name for f in fields(kind)) if name != "time"}


def _empty(hint):
    if hint in _EMPTY:
        return _EMPTY[hint]
    if is_dataclass(hint):
        return hint(**_blank(hint))
    if type(None) in get_args(hint):
        return None
    return () if get_origin(hint) is tuple else {}


def step(number, replica=None, **given):
    """A step: of a run on a cluster if it has a replica."""
    usual = {"step": number, "images": number, "seconds": 0.5, "waited": 0.1}
    if replica is None:
        return event(StepDone, **usual | given)
    return event(ClusterStepDone, **usual | {"replica": replica, "generation": 1} | given)


def tile(**given):
    return event(TileComputed, **given)


def begun(**given):
    return event(ClusterBegun, **given)


def lost(worker="right", replicas=(), primaries=(), standbys=(), time=0.0):
    return WorkerLost(worker, tuple(replicas), tuple(primaries), tuple(standbys), time=time)


def lines(*events):
    """What a log with these events holds."""
    return "".join(json.dumps(encode(event)) + "\n" for event in events)


def many_roles(replicas=5, tiles=169, shards=338, ready=True):
    """The roles of a large cluster, all filled: worker `r * tiles + t` has tile `t` of replica `r`."""
    names = [f"worker-{number}" for number in range(replicas * tiles)]
    return RolesChanged(
        tuple(
            ReplicaRoles("computing", tuple(names[r * tiles : (r + 1) * tiles]), 1) for r in range(replicas)
        ),
        tuple(
            ShardRoles(names[s % len(names)], names[(s + tiles) % len(names)], ready, 1)
            for s in range(shards)
        ),
        tuple(sorted(names)),
    )
