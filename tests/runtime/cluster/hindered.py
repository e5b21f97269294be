"""Functions of a worker's process that are held up while a test wants it: loaded by Dask's `--preload`.

with cluster(2, **hindered({"module:Class.method": 5.0}, file)) as client:
    file.write_text("worker-1")     # from now on, each call there lasts 5 s longer, until the file is gone
"""

import json
import os
import time
from functools import wraps
from importlib import import_module
from pathlib import Path


def hindered(seconds, file):
    """Options of a nanny: the most seconds for which each function waits while the file names its worker."""
    return {"preload": [__file__], "env": {"LNET_HINDERED": json.dumps([seconds, str(file)])}}


def dask_setup(worker):
    seconds, file = json.loads(os.environ["LNET_HINDERED"])
    for place, most in seconds.items():
        module, _, path = place.partition(":")
        *owners, name = path.split(".")
        owner = import_module(module)
        for each in owners:
            owner = getattr(owner, each)
        setattr(owner, name, _waiting(getattr(owner, name), str(worker.name), most, Path(file)))


def _waiting(call, worker, most, file):
    @wraps(call)
    def waiting(*arguments, **named):
        until = time.monotonic() + most
        while time.monotonic() < until and _names(file, worker):
            time.sleep(0.02)
        return call(*arguments, **named)

    return waiting


def _names(file, worker):
    try:
        return worker in file.read_text().split()
    except FileNotFoundError:
        return False
