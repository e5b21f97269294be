"""A run from the hub. Nothing in it is trusted: only files by known names are fetched, each is checked, none is executed.

list of files -> those of a run -> .NAME.xxxx beside the directory -> checksums, plan, log -> the directory
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from lnet.compiler.files import write_aside
from lnet.dsl.diagnostics import LnetError, refused
from lnet.runtime.store.log import read_events
from lnet.runtime.store.run import check_free, open_run
from lnet.runtime.store.safetensors import Damaged
from lnet.runtime.store.shards import opened

from .client import asking, client
from .files import NEEDED, is_of_a_run


def pull(
    repository: str, directory: str | os.PathLike[str] | None = None, revision: str | None = None
) -> Path:
    """Fetch a run from a repository of the Hugging Face hub, `owner/name`, and return its directory, by default `runs/name`.

    `revision`: a branch, a tag or a commit. The directory is there when all of it is checked, or not at all. Plug-ins are
    fetched and not executed. Raises `LnetError` for a directory in use, without `huggingface_hub`, for whatever the hub
    refuses and for what is no whole run.
    """
    hub = client()
    target = Path("runs", repository.rpartition("/")[2]) if directory is None else Path(directory)
    try:
        check_free(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as outer:
            aside = Path(outer) / target.name
            with asking(repository):
                commit = hub.repo_info(repository, revision=revision).sha
                names = [
                    name for name in hub.list_repo_files(repository, revision=commit) if is_of_a_run(name)
                ]
                _check_names(repository, names)
                for name in names:
                    hub.hf_hub_download(repository, name, revision=commit, local_dir=aside)
            shutil.rmtree(aside / ".cache", ignore_errors=True)
            _check(repository, aside)
            if target.exists():
                target.rmdir()
            aside.rename(target)
    except OSError as error:
        raise refused("E744", f"'{target}' cannot be written", str(error)) from error
    return target


def _check_names(repository: str, names: list[str]) -> None:
    missing = [name for name in NEEDED if name not in names]
    if not any(name.startswith("checkpoints/") for name in names):
        missing.append("checkpoints/")
    if missing:
        raise refused("E798", f"'{repository}' is no run of lnet: it has no '{missing[0]}'")


def _check(repository: str, run: Path) -> None:
    """Raise `LnetError` for what is no whole run; a plan whose plug-ins are not loaded cannot be read yet."""
    try:
        info = json.loads((run / "run.json").read_bytes())
        info["data"] |= {"base": ".", "index": None}  # of this machine no place but the current folder
        write_aside(run / "run.json", json.dumps(info, indent=2))
        read_events(run / "events.jsonl")
        for path in sorted(run.glob("*/step-*")):
            opened(path).check()
        open_run(run)
    except (Damaged, ValueError, TypeError, KeyError, RecursionError, FileNotFoundError) as error:
        raise _damaged(repository, str(error)) from error
    except LnetError as error:
        first = error.diagnostics[0]
        if first.code != "E606":
            raise _damaged(repository, first.message, *first.notes) from error


def _damaged(repository: str, *why: str) -> LnetError:
    return refused("E798", f"what '{repository}' has is damaged, or no run of lnet", *why)
