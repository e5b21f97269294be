"""The hub's own client, `huggingface_hub`: of the server HF_ENDPOINT, with the token HF_TOKEN or that of `hf auth login`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lnet.dsl.diagnostics import LnetError, refused

LOGIN = ("log in with 'hf auth login', or set HF_TOKEN, if it has to know who you are",)


def client() -> Any:
    """Return the client; raises `LnetError` if it is not installed."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        hint = "install it with: pip install 'lnetc[hub]'"
        raise refused("E787", "the hub needs 'huggingface_hub'", str(error), hint=hint) from error
    return HfApi(endpoint=os.environ.get("HF_ENDPOINT"), library_name="lnet")


@contextmanager
def asking(repository: str) -> Iterator[None]:
    """Raise `LnetError` for whatever goes wrong with a repository on the hub inside."""
    try:
        yield
    except LnetError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.filename is not None:  # a file on this machine
            raise
        said = str(error).strip() or type(error).__name__
        raise refused(
            "E797", f"the hub refuses '{repository}', or cannot be reached", said, hint=LOGIN
        ) from error
