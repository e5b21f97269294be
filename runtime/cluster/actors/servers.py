"""The primaries and standbys of a process: performs the protocol's instructions about parameters."""

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
from lnet.runtime.cluster.protocol.events import RoleId
from lnet.runtime.cluster.protocol.messages import PushedUpdate
from lnet.runtime.cluster.protocol.wire import Malformed, pack, unpack
from lnet.runtime.cluster.published import UpdateApplied
from lnet.runtime.store.checkpoint import certainly
from lnet.runtime.store.events import Event
from lnet.runtime.store.owner import TakenOver
from lnet.runtime.store.safetensors import Damaged
from lnet.runtime.store.shards import opened, save_shard

from .numerics import Arrays, Server
from .threads import Threads


class Servers:
    """`log` publishes an event of the run, `leads` tells whether a role is that of a primary."""

    def __init__(
        self,
        config: RunConfig,
        threads: Threads,
        log: Callable[[Event], None],
        leads: Callable[[RoleId], bool],
    ) -> None:
        self.config, self.threads, self.log, self.leads = config, threads, log, leads
        self.servers: dict[RoleId, Server] = {}
        self.disk = ThreadPoolExecutor(max_workers=1, thread_name_prefix="lnet-disk")

    def drop(self, role: RoleId) -> None:
        """Free what a server holds."""
        self.servers.pop(role, None)

    def close(self) -> None:
        self.servers.clear()
        self.disk.shutdown(wait=False)

    def _server(self, role: RoleId) -> Server:
        return self.servers.setdefault(role, Server(self.config, role.index))

    def _load_checkpoint(self, load: do.LoadCheckpoint) -> None:
        server, role, id = self._server(load.role), load.role, load.checkpoint

        def work() -> tuple[Any, ...]:
            metadata = None
            if id is None:
                server.begin()
            else:
                metadata = self._read_checkpoint(server, id)
            return events.CheckpointLoaded, role, metadata

        self.threads.submit(role, work)

    def _read_checkpoint(self, server: Server, id: int) -> Any:
        """Load a checkpoint and return the metadata of the shard in it; raises `LnetError`."""
        path = self.config.checkpoint_path(id)
        try:
            return certainly(lambda path: self._loaded(server, path), path)
        except Damaged as error:
            raise refused("E742", f"the checkpoint '{path}' is damaged", str(error)) from error
        except OSError as error:
            raise unreadable(path, error) from error

    def _loaded(self, server: Server, path: Path) -> Any:
        found = opened(path)
        arrays = found.read(server.places, self.config.checkpoints.shapes, first=server.shard)
        server.install(*arrays, steps=found.step)
        return unpack(found.note(server.shard), []) if self.config.laid_out_as(found) else None

    def _load_snapshot(self, load: do.LoadSnapshot) -> None:
        server = self._server(load.role)
        self.threads.submit(load.role, lambda: server.install(*parted(load.payload)))

    def _apply(self, apply: do.Apply) -> None:
        server = self._server(apply.role)
        gradients: list[Any] = [part.payload for part in apply.parts]
        age = self._age(apply.parts)

        def work() -> tuple[Any, ...]:
            server.apply(gradients, age, apply.norms)
            return events.Applied, apply.role, apply.position

        self.threads.submit(apply.role, work)
        for part in apply.parts if self.leads(apply.role) else ():
            update = part.update
            self.log(UpdateApplied(apply.role.index, update.slot, update.number, age))

    def _measure(self, measure: do.Measure) -> None:
        server = self._server(measure.role)
        gradients: list[Any] = [part.payload for part in measure.parts]

        def work() -> tuple[Any, ...]:
            return events.Measured, measure.role, measure.step, server.measure(gradients, measure.step)

        self.threads.submit(measure.role, work)

    def _age(self, parts: tuple[PushedUpdate, ...]) -> int:
        """Return how old an update is; the parts of a synchronous step are one."""
        return 0 if self.config.spec.synchronous else max(part.age for part in parts)

    def _read_params(self, read: do.ReadParams) -> None:
        server = self._server(read.role)
        self.threads.submit(read.role, lambda: (events.ParamsRead, read.role, read.ticket, server.read()))

    def _take_snapshot(self, take: do.TakeSnapshot) -> None:
        server = self._server(take.role)

        def work() -> tuple[Any, ...]:
            params, update = server.snapshot()
            return events.SnapshotTaken, take.role, take.incarnation, joined(params, update)

        self.threads.submit(take.role, work)

    def _save_shard(self, save: do.SaveShard) -> None:
        server, role = self._server(save.role), save.role
        config = self.config
        metadata, _ = pack(save.metadata)

        def write(params: Arrays, update: Arrays) -> None:
            try:
                digest = save_shard(
                    config.checkpoints.path,
                    config.owner,
                    save.id,
                    role.index,
                    server.places,
                    params,
                    update,
                    metadata,
                )
            except TakenOver as error:
                self.threads.failed(error)
            except OSError as error:
                self.threads.tell(events.ShardSaved, role, save.id, None, str(error))
            else:
                self.threads.tell(events.ShardSaved, role, save.id, digest)

        def work() -> None:
            self.disk.submit(write, *server.snapshot())

        self.threads.submit(role, work)

    def performers(self) -> dict[type, Callable[..., None]]:
        """Return the handler of each instruction."""
        return {
            do.LoadCheckpoint: self._load_checkpoint,
            do.LoadSnapshot: self._load_snapshot,
            do.Apply: self._apply,
            do.Measure: self._measure,
            do.ReadParams: self._read_params,
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
