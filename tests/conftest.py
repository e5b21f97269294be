"""A commit passes or fails the same way every time; `make search` draws new examples instead."""

import os
import tempfile

from hypothesis import settings

settings.register_profile("repeat", derandomize=True)
settings.register_profile("search", derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeat"))

# What a person has measured with `lnetc tune` must not change what tests see.
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="lnet-cache-")
