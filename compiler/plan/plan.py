"""The plan: the only interface between compiler and runtime. Frozen, JSON, versioned, with a digest."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from lnet.compiler.augmentations import AUGMENTATIONS, Augmentation
from lnet.compiler.core.arguments import signature
from lnet.compiler.core.codec import Codec, Malformed
from lnet.compiler.core.layer import Op
from lnet.compiler.cut.cost import TileCost, tile_costs
from lnet.compiler.cut.deal import dealt
from lnet.compiler.cut.partition import Partition, partition
from lnet.compiler.cut.placement import Placement
from lnet.compiler.files import write_aside
from lnet.compiler.graph.brief import layers_table
from lnet.compiler.graph.graph import Graph
from lnet.compiler.objectives import TERMS, Term
from lnet.compiler.ops import OPS
from lnet.compiler.ops.position import AtPosition
from lnet.compiler.plugins.identity import Plugin
from lnet.compiler.plugins.load import require
from lnet.compiler.plugins.registry import plugins_of
from lnet.compiler.rules import RULES, Update
from lnet.compiler.settings import TRAINING_DATA, VALIDATIONS, TrainingData, Validation
from lnet.compiler.text_table import as_html
from lnet.dsl.diagnostics import LnetError, refused
from lnet.dsl.reader import read_file
from lnet.dsl.source import Source, Span

from .explain import explain_text

FORMAT = 10
OLDER = (3, 4, 5, 6, 7, 8, 9)
"""In that of version 0.1, 3, max pools counted padding as zeros, and images had no list of classes; to 4, an update
rule had the numbers of all rules; to 5, one tile had all of a dense layer; to 6, a tile's parameters were in one
shard; to 7, version 2 of the language was unknown: what it adds to a type has a default, which means what was before; to 8,
all training data were images; to 9, the function at the end of an op was a name."""

CODEC = Codec(
    {
        Op: OPS,
        AtPosition: OPS,
        Term: TERMS,
        Update: RULES,
        TrainingData: TRAINING_DATA,
        Validation: VALIDATIONS,
        Augmentation: AUGMENTATIONS,
    }
)


class ReplicaTile(NamedTuple):
    """A tile of a replica; both are numbers from 0."""

    replica: int
    tile: int


class WorkerShare(NamedTuple):
    """A worker, its tiles, and what they and their servers cost it.

    `memory` in bytes; in a step `messages` that it sends to other tiles, bytes `exchanged` with them, and bytes of
    `parameters` and gradients between tiles and servers of which one is elsewhere.
    """

    name: str
    host: str
    tiles: tuple[ReplicaTile, ...]
    memory: int
    messages: int
    exchanged: int
    parameters: float


@dataclass(frozen=True)
class Plan:
    """A network, typed and laid out, with the text that it was compiled from.

    `overrides` are the settings given beside the file (`--set`), as name and text. The partition is one programme per tile,
    used by all replicas; the placement assigns tiles and servers to workers. `plugins`: the plug-ins needed to read it.
    `included`: name and text of each file that the text includes.
    """

    source_name: str
    source_text: str
    overrides: tuple[tuple[str, str], ...]
    graph: Graph
    partition: Partition
    placement: Placement
    plugins: tuple[Plugin, ...] = ()
    included: tuple[tuple[str, str], ...] = ()

    @cached_property
    def source(self) -> Source:
        """The source text, with its file name, and those that it includes."""
        included = tuple(Source(text, name) for name, text in self.included)
        return Source(self.source_text, self.source_name, included)

    @property
    def source_digest(self) -> str:
        """SHA-256 of the text, and of those that it includes."""
        return hashlib.sha256("\0".join(file.text for file in self.source.files).encode()).hexdigest()

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything in the plan."""
        return _digest(CODEC.encode(self))

    def line(self, span: Span) -> int:
        """Return the line of the `.lnet` file in which a span begins."""
        return self.source.position(span.start)[0]

    def changed_source(self, folder: Path | None = None) -> Path | None:
        """Return a source file of the plan that has changed since, or None; `folder`: where the files were."""
        before = os.path.dirname(self.source_name)
        for file in self.source.files:
            inside = os.path.relpath(file.name, before or os.curdir)
            path = Path(file.name) if folder is None else folder / inside
            try:
                changed = read_file(path).text != file.text
            except LnetError:
                changed = path.is_file()
            if changed:
                return path
        return None

    def summary(self) -> str:
        """Return one line about the plan."""
        weights = sum(p.size for p in self.graph.parameters)
        layers, replicas, workers = len(self.graph.visible), len(self.placement.tiles), len(self.workers)
        return (
            f"network {self.graph.name}: {layers:,} layers, {weights:,} parameters; "
            f"{_counted(replicas, 'replica')} of {self.partition.tiles} tiles on {_counted(workers, 'worker')}"
        )

    def _repr_html_(self) -> str:
        return as_html([self.summary(), layers_table(self.graph)])

    @cached_property
    def costs(self) -> tuple[TileCost, ...]:
        """The cost of each tile of a replica."""
        return tile_costs(self.graph, self.partition)

    @cached_property
    def workers(self) -> tuple[WorkerShare, ...]:
        """Every worker, with its tiles and their memory."""
        costs, placement = self.costs, self.placement
        tiles: list[list[ReplicaTile]] = [[] for _ in placement.cluster.workers]
        memory, parameters = [0] * len(tiles), [0.0] * len(tiles)
        for replica, homes in enumerate(placement.tiles):
            for tile, home in enumerate(homes):
                tiles[home].append(ReplicaTile(replica, tile))
                memory[home] += costs[tile].memory
        for tile, cost in enumerate(costs):
            for shard, size in zip(self.partition.shards_of(tile), cost.shards, strict=True):
                server, part = placement.servers[shard], size / sum(cost.shards) if size else 0
                memory[server] += round(part * cost.server)
                for homes in placement.tiles:
                    for end in {homes[tile], server} if homes[tile] != server else ():
                        parameters[end] += part * cost.traffic
        return tuple(
            WorkerShare(
                worker.name,
                worker.host,
                tuple(tiles[i]),
                memory[i],
                sum(costs[tile].messages for _, tile in tiles[i]),
                sum(costs[tile].exchanged for _, tile in tiles[i]),
                parameters[i],
            )
            for i, worker in enumerate(placement.cluster.workers)
        )

    def dealt_anew(self) -> Plan:
        """Return the plan with a partition whose layers are dealt to the tiles as this compiler does, for its batch."""
        cut = self.partition
        if cut.has(dealt(self.graph, cut.tiles)):
            return self
        anew = partition(self.graph, cut.tiles)
        return replace(self, partition=replace(anew, shards_per_tile=cut.shards_per_tile))

    def explain(self) -> str:
        """Return tables of the network's layers, cost and partition."""
        return explain_text(self)

    def to_json(self) -> str:
        """Return the plan as JSON text."""
        return json.dumps(
            {
                "lnet plan": FORMAT,
                "digest": self.digest,
                "source digest": self.source_digest,
                "plan": CODEC.encode(self),
            }
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the plan to a file atomically; raises `LnetError` if it cannot be written."""
        try:
            write_aside(Path(path), self.to_json())
        except OSError as error:
            raise refused("E608", f"the plan cannot be written to '{path}'", str(error)) from error


def checked_plan(plan: Any) -> Plan:
    """Return a plan; raises `LnetError` for anything else, such as the path of a file."""
    if isinstance(plan, Plan):
        return plan
    hint = "make one of a file: lnet.compile('model.lnet')"
    raise refused("E605", f"expected a plan, found {type(plan).__name__}", hint=hint)


def load_plan(path: str | os.PathLike[str]) -> Plan:
    """Read a plan; raises `LnetError` if the file is missing, no plan, too new or damaged, or a plug-in is missing."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError) as error:
        raise _refused(path, "cannot be read", str(error)) from error
    except OSError as error:  # compiling again would not make it readable
        raise refused("E605", f"the plan '{path}' cannot be read", str(error)) from error
    return plan_from_json(text, str(path))


def plan_from_json(text: str, name: str = "<plan>") -> Plan:
    """Return a plan from JSON text; raises `LnetError`."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _refused(name, "is not a plan", f"it is not JSON: {error}") from error
    if not isinstance(data, dict) or "lnet plan" not in data:
        raise _refused(name, "is not a plan", "it has no field 'lnet plan'")
    found = data.get("plan")
    if data["lnet plan"] not in (*OLDER, FORMAT):
        raise _refused(
            name, f"has format {data['lnet plan']!r}", f"this program reads formats {OLDER[0]} to {FORMAT}"
        )
    try:
        converted = _converted(found, data["lnet plan"])
        _check_plugins(name, converted)
        plan = CODEC.decode(Plan, converted, "plan").dealt_anew()
    except Malformed as error:
        raise _refused(name, "is damaged", str(error)) from error
    hidden = [p.name for p in plugins_of(plan.graph) if p not in plan.plugins]
    if hidden:
        raise refused(
            "E606",
            f"the plan '{name}' was made without the plug-in '{hidden[0]}', which defines a kind that the plan already uses",
            hint="leave the plug-in out",
        )
    if _digest(found) != data.get("digest"):
        raise _refused(name, "is damaged", "its digest does not match what it holds")
    return plan


def _check_plugins(name: str, data: Any) -> None:
    """Raise `LnetError` if a plan's plug-ins are missing in this process, or differ."""
    found = data.get("plugins", []) if isinstance(data, dict) else None
    needed = CODEC.decode(tuple[Plugin, ...], found, "plan.plugins")
    require(needed, f"the plan '{name}'", Path(name).parent / "plugins")


def _converted(data: Any, version: int) -> Any:
    """Return the data of an older format converted to today's."""
    if version == FORMAT:
        return data
    if isinstance(data, list):
        return [_converted(item, version) for item in data]
    if not isinstance(data, dict):
        return data
    data = {key: _converted(value, version) for key, value in data.items()}
    data |= {"kind": "frames"} if "crop" in data and "flip" in data else {}
    data = _functions(data) if version <= 9 else data
    if version == OLDER[0]:
        data |= {"zeros": True} if data.get("kind") == "maxpool" else {}
    return _rule(data) if version <= 4 and "rule" in data else data


def _functions(data: dict[str, Any]) -> dict[str, Any]:
    """Return an op whose function, or that at its end, was a name; raises `Malformed`."""
    kind, act = data.get("kind"), data.get("act")
    if kind == "pointwise":
        return {"kind": data.get("function"), "reads_sheet": data.get("reads_sheet")}
    if not isinstance(act, str) or kind not in OPS:
        return data
    op: Op = CODEC.decode(Op, data | {"act": None}, kind)
    return data | {"act": {"kind": act, "reads_sheet": CODEC.encode(op.sheet)}}


def _rule(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return an update rule with only its own numbers; raises `Malformed`."""
    if data["rule"] not in RULES:
        raise Malformed(f"there is no update rule {data['rule']!r}")
    rule: Callable[..., Any] = RULES[data["rule"]]
    own = [row.name for row in signature(data["rule"], rule).arguments]
    return {"kind": data["rule"], **{name: data[name] for name in own if name in data}}


def _refused(path: object, what: str, note: str) -> LnetError:
    return refused("E605", f"the plan '{path}' {what}", note, hint="compile it again with 'lnetc compile'")


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _digest(data: object) -> str:
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
