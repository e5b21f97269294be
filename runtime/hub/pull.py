"""A run from the hub. Nothing in it is trusted: only files by known names are fetched, each is checked, none is executed.

list of files -> those of a run -> .NAME.xxxx beside the directory -> checksums, plan, log -> the directory
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from lnet.compiler.files import write_aside
from lnet.compiler.pipeline import is_of_its_program
from lnet.compiler.plan.explain import size_text
from lnet.dsl.diagnostics import LnetError, refused
from lnet.runtime.analysis.probe.result import read_probes
from lnet.runtime.store.info import RunInfo
from lnet.runtime.store.log import read_events
from lnet.runtime.store.run import check_free, open_run
from lnet.runtime.store.shards import opened

from .client import asking, check_name, client
from .files import NEEDED, is_of_a_run
from .texts import check_texts


def pull(
    repository: str, directory: str | os.PathLike[str] | None = None, revision: str | None = None
) -> Path:
    """Fetch a run from a repository of the Hugging Face hub, `owner/name`, and return its directory, by default `runs/name`.

    `revision`: a branch, a tag or a commit. The directory is there when all of it is checked, or not at all. Plug-ins are
    fetched and not executed. Raises `LnetError` for a directory in use, without `huggingface_hub`, for whatever the hub
    refuses and for what is no whole run.
    """
    check_name(repository)
    hub = client()
    from huggingface_hub import RepoFile

    target = Path("runs", repository.rpartition("/")[2]) if directory is None else Path(directory)
    try:
        check_free(target)
        place = target.resolve()  # a link stays one
        place.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=place.parent, prefix=f".{place.name}.") as outer:
            aside = Path(outer) / place.name
            with asking(repository):
                commit = hub.repo_info(repository, revision=revision).sha
                tree = hub.list_repo_tree(repository, revision=commit, recursive=True)
                files = [each for each in tree if isinstance(each, RepoFile)]
                sizes = {file.path: file.size for file in files if is_of_a_run(file.path)}
                _check_names(repository, sizes)
                _check_room(target, sum(sizes.values()), shutil.disk_usage(outer).free)
                for name in sizes:
                    hub.hf_hub_download(repository, name, revision=commit, local_dir=aside)
            shutil.rmtree(aside / ".cache", ignore_errors=True)
            _check(repository, aside)
            if place.exists():
                place.rmdir()
            aside.rename(place)
    except OSError as error:
        raise refused("E744", f"'{target}' cannot be written", str(error)) from error
    return target


def _check_names(repository: str, names: Collection[str]) -> None:
    missing = [name for name in NEEDED if name not in names]
    if not any(name.startswith("checkpoints/") for name in names):
        missing.append("checkpoints/")
    if missing:
        raise refused("E798", f"'{repository}' is no run of lnet: it has no '{missing[0]}'")


def _check_room(target: Path, size: int, free: int) -> None:
    if size > free:
        note = f"the run takes {size_text(size)}, and {size_text(free)} are free"
        raise refused("E744", f"'{target}' cannot be written", note)


def _check(repository: str, run: Path) -> None:
    """Raise `LnetError` for what is no whole run; a plan whose plug-ins are not loaded cannot be read yet."""
    try:
        check_texts(run)
        info = json.loads((run / "run.json").read_bytes())
        msgspec.convert(info, RunInfo)
        info["data"] |= {"base": ".", "index": None}  # of this machine no place but the current folder
        write_aside(run / "run.json", json.dumps(info, indent=2))
        read_events(run / "events.jsonl")
        for path in sorted(run.glob("*/step-*")):
            opened(path).check()
        found = open_run(run)
        read_probes(found)
        if not is_of_its_program(found.plan):
            note = f"it was written by lnet {info['versions'].get('lnet')}"
            raise refused("E798", "its network is not the one that its program describes", note)
        found.network()
    except LnetError as error:
        first = error.diagnostics[0]
        if first.code != "E606":
            raise _damaged(repository, first.message, *first.notes) from error
    except Exception as error:  # whatever else readers say of what nobody wrote with lnet
        if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
            raise
        raise _damaged(repository, str(error) or type(error).__name__) from error


def _damaged(repository: str, *why: str) -> LnetError:
    return refused("E798", f"what '{repository}' has is damaged, or no run of lnet", *why)
