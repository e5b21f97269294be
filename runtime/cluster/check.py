"""What each process of a cluster must have to take part in a run: the same packages, and sight of the run's files."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from distributed import Client

from lnet.compiler.plugins.identity import Plugin
from lnet.compiler.plugins.load import lacked
from lnet.dsl.diagnostics import LnetError, refused
from lnet.runtime.store.checkpoint import parts

from .config import RunConfig, versions
from .descriptors import limit, too_few
from .transport.connect import workers_of
from .transport.connection import lost

ANSWER_TIMEOUT = 60.0
"""Seconds in which a process must answer: the first time it imports what it is asked with, from a disk that may be far."""
SHOWN = 10
"""Processes that an error names."""
SCHEDULER = "the scheduler"


@dataclass(frozen=True)
class Found:
    """What a process has: its versions, paths that it does not see, what its system says of those that it may not read,
    what there is to say of plug-ins that it lacks, and how many descriptors it may have. `process`: its host and id.
    """

    process: tuple[str, int]
    descriptors: int
    versions: Mapping[str, str]
    unseen: tuple[str, ...]
    forbidden: tuple[str, ...]
    lacks: tuple[str, ...]


def check_processes(client: Client, config: RunConfig) -> None:
    """Raise `LnetError` unless scheduler and workers answer, have this process's versions, and see the run.

    The scheduler need not see the images.
    """
    answers = _ask(client, (config.directory,), (config.directory, config.base), config.plugins)
    found = {name: answer for name, answer in answers.items() if not isinstance(answer, BaseException)}
    failed = {name: answer for name, answer in answers.items() if isinstance(answer, BaseException)}
    if failed:
        raise _unanswered(failed)
    notes = [
        f"{name} has {package} {answer.versions[package]}, this process has {own}"
        for name, answer in found.items()
        for package, own in config.versions
        if answer.versions[package] != own
    ]
    if notes:
        raise refused("E761", "the cluster has other versions than this process", *notes[:SHOWN])
    notes = [f"{name}: {lack}" for name, answer in found.items() for lack in answer.lacks]
    if notes:
        hint = (
            "install them there, or start its processes with LNET_PLUGINS=FILE, a path that all machines see"
        )
        raise refused(
            "E606", "not all of the cluster has the plug-ins of this run", *notes[:SHOWN], hint=hint
        )
    notes = [f"{name} sees no '{path}'" for name, answer in found.items() for path in answer.unseen]
    if notes:
        hint = "put the run (-d) and the images where all machines see them under the same path"
        raise refused("E761", "not all of the cluster sees the files of this run", *notes[:SHOWN], hint=hint)
    _check_allowed(found)
    _check_descriptors(found, config)


def check_origin(client: Client, config: RunConfig) -> None:
    """Raise `LnetError` unless scheduler and workers can open the checkpoint that the run goes on from, if any.

    Those that do not answer are no concern here: the run will do without them.
    """
    if config.origin is not None:
        files = tuple(str(path) for path in parts(Path(config.origin[1])))
        answers = _ask(client, files, files)
        _check_allowed({n: answer for n, answer in answers.items() if not isinstance(answer, BaseException)})


def _check_allowed(found: Mapping[str, Found]) -> None:
    """Raise `LnetError` if a process may not read what it sees."""
    notes = [f"{name}: {said}" for name, answer in found.items() for said in answer.forbidden]
    if notes:
        hint = "nothing was changed: when they can be read, give the same command again"
        raise refused(
            "E732", "not all of the cluster can read the files of this run", *notes[:SHOWN], hint=hint
        )


def _check_descriptors(found: Mapping[str, Found], config: RunConfig) -> None:
    """Raise `LnetError` if the limit of a process is too low for all of the cluster that it has in it."""
    needed = config.descriptors
    together: dict[tuple[str, int], list[str]] = {}
    for name, answer in found.items():
        together.setdefault(answer.process, []).append(name)
    most, notes = 0, []
    for process, names in together.items():
        need = sum(needed.scheduler if name == SCHEDULER else needed.worker for name in names)
        allowed = found[names[0]].descriptors
        if allowed < need:
            most, more = max(most, need), f" and {len(names) - 1:,} more" if len(names) > 1 else ""
            notes.append(
                f"{names[0]}{more} (process {process[1]} on {process[0]}) may have {allowed:,}, needs {need:,}"
            )
    if notes:
        raise too_few(most, notes[:SHOWN])


def look(paths: Iterable[str], plugins: Iterable[Plugin]) -> Found:
    """Return what this process has of some paths and plug-ins."""
    unseen, forbidden = [], []
    for path in paths:
        try:
            _touch(Path(path))
        except (FileNotFoundError, NotADirectoryError):
            unseen.append(path)
        except OSError as error:
            forbidden.append(str(error))
    process = socket.gethostname(), os.getpid()
    return Found(process, limit(), dict(versions()), tuple(unseen), tuple(forbidden), lacked(plugins))


def _touch(path: Path) -> None:
    """Go through a folder, or open a file; raises OSError."""
    if stat.S_ISDIR(path.stat().st_mode):
        path.joinpath(".").stat()
    else:
        path.open("rb").close()


def _ask(
    client: Client,
    of_scheduler: tuple[str, ...],
    of_workers: tuple[str, ...],
    plugins: tuple[Plugin, ...] = (),
) -> dict[str, Found | BaseException]:
    """Return each process's answer about paths, or the error of asking it."""
    workers = workers_of(client)
    names = {address: f"{details['name']} ({address})" for address, details in workers.items()}
    answers: dict[str, Found | BaseException] = client.sync(
        _ask_all, client, names, of_scheduler, of_workers, plugins
    )
    return answers


async def _ask_all(
    client: Client,
    names: Mapping[str, str],
    of_scheduler: tuple[str, ...],
    of_workers: tuple[str, ...],
    plugins: tuple[Plugin, ...],
) -> dict[str, Found | BaseException]:
    async def ask(address: str) -> Found:
        answers = await client.run(look, of_workers, plugins, workers=[address])
        found: Found = answers[address]
        return found

    asked = {SCHEDULER: client.run_on_scheduler(look, of_scheduler, plugins)}
    asked |= {name: ask(address) for address, name in names.items()}
    answers = await asyncio.gather(
        *(asyncio.wait_for(answer, ANSWER_TIMEOUT) for answer in asked.values()), return_exceptions=True
    )
    return dict(zip(asked, answers, strict=True))


def _unanswered(failed: Mapping[str, BaseException]) -> LnetError:
    """Return notes on processes that did not answer, or failed."""
    silent = {name: error for name, error in failed.items() if isinstance(error, OSError | TimeoutError)}
    if silent:
        notes = [f"{name} does not answer: {error or 'it takes too long'}" for name, error in silent.items()]
        hint = "end what hangs, or wait until Dask has noticed that it is gone"
        return lost("E761", "not all of the cluster answers", *notes[:SHOWN], hint=hint)
    notes = [f"{name}: {error}" for name, error in failed.items()]
    return refused("E761", "lnet is not installed in all of the cluster", *notes[:SHOWN])
