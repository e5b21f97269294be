"""The hub's own client, `huggingface_hub`: of the server HF_ENDPOINT, with the token HF_TOKEN or that of `hf auth login`."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lnet.dsl.diagnostics import LnetError, refused

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
NOT_ADMITTED = (401, 403, 404)
"""What the hub answers to somebody whom it does not know."""
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


def check_name(repository: str) -> None:
    """Raise `LnetError` for what is no name of a repository, `owner/name`."""
    if re.fullmatch(r"[\w.-]+/[\w.-]+", repository, re.ASCII) is None:
        address = re.fullmatch(r"https?://[^/]+/([\w.-]+/[\w.-]+)(/.*)?", repository, re.ASCII)
        hint = () if address is None else f"did you mean '{address[1]}'?"
        raise refused("E797", f"expected a repository, 'owner/name', found {repository!r}", hint=hint)


@contextmanager
def asking(repository: str) -> Iterator[None]:
    """Raise `LnetError` for whatever goes wrong with a repository on the hub inside."""
    try:
        yield
    except LnetError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and (error.filename is not None or error.errno in DISK_FULL):
            raise  # a file on this machine
        said = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        status = getattr(getattr(error, "response", None), "status_code", None)
        raise refused(
            "E797",
            f"the hub refuses '{repository}', or cannot be reached",
            *said,
            hint=LOGIN if status in NOT_ADMITTED else (),
        ) from error
