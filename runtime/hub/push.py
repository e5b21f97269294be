"""A run on its way to the hub: one commit, in which a newer checkpoint takes the place of the one before."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from lnet.compiler.files import unreadable
from lnet.dsl.diagnostics import refused
from lnet.runtime.store.run import Run, opened

from .card import card
from .client import asking, check_name, client
from .files import CARD, is_of_a_run
from .published import Content, info_of, paths_in, plan_of, published


@dataclass(frozen=True)
class Publication:
    """What of a run is published in a repository, by name; `paths`: those in it, as its program is written."""

    repository: str
    step: int
    files: dict[str, Content]
    paths: list[str]

    @property
    def sizes(self) -> dict[str, int]:
        """The bytes of each file."""
        return {n: len(c) if isinstance(c, bytes) else c.stat().st_size for n, c in self.files.items()}


def publication(run: Run | str | os.PathLike[str], repository: str) -> Publication:
    """Return what of a run would be published in a repository, `owner/name`; raises `LnetError`."""
    run = opened(run)
    check_name(repository)
    files = published(run)
    shown = replace(run, plan=plan_of(run.plan), info=info_of(run.info))
    files[CARD] = card(shown, repository).encode()
    return Publication(repository, max(run.checkpoints.files()), files, paths_in(run))


def push(
    run: Run | str | os.PathLike[str], repository: str, private: bool = False, revision: str | None = None
) -> str:
    """Publish a run in a repository of the Hugging Face hub, `owner/name`, with a card, and return its address.

    The repository is made if there is none, `private` or for everybody; `revision`: a branch, which is made, too. Paths and
    names of machines are left out, images never sent. Raises `LnetError` for a run without a checkpoint, without
    `huggingface_hub`, and for whatever the hub refuses.
    """
    return publish(publication(run, repository), private, revision)


def publish(found: Publication, private: bool = False, revision: str | None = None) -> str:
    """Publish what `publication` returns; as `push` does."""
    hub, repository = client(), found.repository
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    with asking(repository):
        url = hub.create_repo(repository, private=private or None, exist_ok=True)
        if private and not hub.repo_info(repository).private:
            hint = "make it private on its page, or name another one"
            raise refused("E797", f"'{repository}' is there already, and public", hint=hint)
        if revision is not None:
            hub.create_branch(repository, branch=revision, exist_ok=True)
        there = hub.list_repo_files(repository, revision=revision)
        operations = [
            CommitOperationDelete(name) for name in there if is_of_a_run(name) and name not in found.files
        ]
        operations += [
            CommitOperationAdd(name, content if isinstance(content, bytes) else str(content))
            for name, content in found.files.items()
        ]
        message = f"Step {found.step:,}"
        try:
            hub.create_commit(repository, operations, commit_message=message, revision=revision)
        except FileNotFoundError as error:  # of a run that has a newer checkpoint by now
            raise unreadable(Path(str(error.filename)), error) from error
    return str(url) if revision is None else f"{url}/tree/{revision}"
