"""A commit passes or fails the same way every time; `make examples` draws new examples instead."""

import os
import signal
import tempfile
from pathlib import Path

from hypothesis import settings

settings.register_profile("repeat", derandomize=True)
settings.register_profile("search", derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeat"))

# Most of the time goes into compiling, much of it the same programs, in many processes: each is compiled once.
# Processes of pytest-xdist have the folder of the one that started them.
if "PYTEST_XDIST_WORKER" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="lnet-compiled-")
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"

# What tests compile computes a few steps: most of XLA's optimisations would take longer than they save. `make oldest` and
# `make newest` leave them all, and so do the commands of documents.
os.environ.setdefault(
    "XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)

# Where Python is told to write no bytecode, each of many hundred processes would compile lnet's sources again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A shell's background jobs ignore Ctrl-C, and so would the commands that tests start and send it to.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# What a person has measured with `lnetc tune` must not change what tests see.
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="lnet-cache-")


def pytest_collection_modifyitems(items):
    """Files of the whole project first: each takes minutes, and would be waited for at the end. Then those of clusters,
    which wait for heartbeats and for time to pass, spread evenly among those that compute: two at once take turns at that.
    """
    folder = Path(__file__).parent
    files = list(dict.fromkeys(item.path for item in items))
    clusters = [path for path in files if path.parent == folder / "runtime" / "cluster"]
    others = [path for path in files if path.parent not in (folder, folder / "runtime" / "cluster")]
    place = {path: number / len(kind) for kind in (clusters, others) for number, path in enumerate(kind)}
    items.sort(key=lambda item: place.get(item.path, -1))
