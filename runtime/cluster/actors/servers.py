"""The servers in a process, primaries and standbys: performs the protocol's instructions about parameters."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from lnet.compiler.files import unreadable
from lnet.dsl.diagnostics import refused
from lnet.runtime.cluster.config import RunConfig
from lnet.runtime.cluster.protocol import events
from lnet.runtime.cluster.protocol import instructions as do
from lnet.runtime.cluster.protocol.events import Owner
from lnet.runtime.cluster.protocol.messages import Part
from lnet.runtime.cluster.protocol.wire import Malformed, pack, unpack
from lnet.runtime.store.checkpoint import certainly
from lnet.runtime.store.owner import TakenOver
from lnet.runtime.store.safetensors import Damaged
from lnet.runtime.store.sharded import opened, read_regions, save_shard

from .numerics import Arrays, Server
from .threads import Threads


class Servers:
    """`log` publishes an event of the run, `leads` tells whether a role is that of a primary."""

    def __init__(
        self, config: RunConfig, threads: Threads, log: Callable[..., None], leads: Callable[[Owner], bool]
    ) -> None:
        self.config, self.threads, self.log, self.leads = config, threads, log, leads
        self.servers: dict[Owner, Server] = {}
        self.disk = ThreadPoolExecutor(max_workers=1, thread_name_prefix="lnet-disk")

    def drop(self, owner: Owner) -> None:
        """Free what a server holds."""
        self.servers.pop(owner, None)

    def close(self) -> None:
        self.servers.clear()
        self.disk.shutdown(wait=False)

    def _server(self, owner: Owner) -> Server:
        return self.servers.setdefault(owner, Server(self.config, owner.index))

    def _install_checkpoint(self, install: do.InstallCheckpoint) -> None:
        server, owner, id = self._server(install.owner), install.owner, install.checkpoint

        def work() -> tuple[Any, ...]:
            books = None
            if id is None:
                server.begin()
            else:
                books = self._load(server, id)
            return events.Installed, owner, books

        self.threads.submit(owner, work)

    def _load(self, server: Server, id: int) -> Any:
        """Install a checkpoint, and return the books of the updates in it; raises `LnetError`."""
        path = self.config.checkpoint_path(id)
        try:
            return certainly(lambda path: self._loaded(server, path), path)
        except Damaged as error:
            raise refused("E742", f"the checkpoint '{path}' is damaged", str(error)) from error
        except OSError as error:
            raise unreadable(path, error) from error

    def _loaded(self, server: Server, path: Path) -> Any:
        shapes = {p.name: p.shape for p in self.config.plan.graph.parameters}
        found = opened(path)
        files = [found] if isinstance(found, Path) else found.files
        server.install(*read_regions(files, server.regions, shapes))
        if isinstance(found, Path) or not self.config.laid_out_as(found):
            return None
        return unpack(found.note(server.shard), [])

    def _install_snapshot(self, install: do.InstallSnapshot) -> None:
        server = self._server(install.owner)
        self.threads.submit(install.owner, lambda: server.install(*parted(install.payload)))

    def _apply(self, apply: do.Apply) -> None:
        server = self._server(apply.owner)
        gradients: list[Any] = [part.payload for part in apply.parts]
        age = self._age(apply.parts)

        def work() -> tuple[Any, ...]:
            server.apply(gradients, age)
            return events.Applied, apply.owner, apply.position

        self.threads.submit(apply.owner, work)
        for part in apply.parts if self.leads(apply.owner) else ():
            update = part.update
            self.log("update", shard=apply.owner.index, slot=update.slot, number=update.number, age=age)

    def _age(self, parts: tuple[Part, ...]) -> int:
        """Return how old an update is; the parts of a synchronous step are one."""
        return 0 if self.config.spec.synchronous else max(part.age for part in parts)

    def _read(self, read: do.Read) -> None:
        server = self._server(read.owner)
        self.threads.submit(read.owner, lambda: (events.ReadDone, read.owner, read.ticket, server.read()))

    def _take_snapshot(self, take: do.TakeSnapshot) -> None:
        server = self._server(take.owner)

        def work() -> tuple[Any, ...]:
            params, update = server.snapshot()
            return events.SnapshotTaken, take.owner, take.filling, joined(params, update)

        self.threads.submit(take.owner, work)

    def _save_shard(self, save: do.SaveShard) -> None:
        server, owner = self._server(save.owner), save.owner
        config = self.config
        books, _ = pack(save.books)

        def write(params: Arrays, update: Arrays) -> None:
            try:
                digest = save_shard(
                    config.checkpoints,
                    config.owner,
                    save.id,
                    owner.index,
                    server.regions,
                    params,
                    update,
                    books,
                )
            except TakenOver as error:
                self.threads.failed(error)
            except OSError as error:
                self.threads.tell(events.CheckpointSaved, owner, save.id, None, str(error))
            else:
                self.threads.tell(events.CheckpointSaved, owner, save.id, digest)

        def work() -> None:
            self.disk.submit(write, *server.snapshot())

        self.threads.submit(owner, work)

    def performers(self) -> dict[type, Callable[..., None]]:
        """Return the handler of each instruction."""
        return {
            do.InstallCheckpoint: self._install_checkpoint,
            do.InstallSnapshot: self._install_snapshot,
            do.Apply: self._apply,
            do.Read: self._read,
            do.TakeSnapshot: self._take_snapshot,
            do.SaveShard: self._save_shard,
        }


def joined(params: Any, update: Any) -> dict[str, Any]:
    """Return parameters and optimiser state as one payload."""
    return {f"params/{name}": a for name, a in params.items()} | {
        f"update/{name}": a for name, a in update.items()
    }


def parted(payload: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Invert `joined`; raises `Malformed`."""
    if not isinstance(payload, dict):
        raise Malformed("a snapshot is arrays by name")
    params = {key.removeprefix("params/"): a for key, a in payload.items() if key.startswith("params/")}
    update = {key.removeprefix("update/"): a for key, a in payload.items() if key.startswith("update/")}
    return params, update
