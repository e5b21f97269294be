"""A live view of a run on a cluster: totals, a table of replicas, one of shards; of many, the worst (outliers.py)."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from lnet.runtime.cluster.clock import now as present
from lnet.runtime.cluster.monitor import outliers
from lnet.runtime.cluster.monitor.view import ClusterView, ReplicaRow, ShardRow
from lnet.runtime.store.events import Event
from lnet.runtime.training.progress import losses_within

STYLES = {"lapsed": "red", "warming up": "yellow", "starting": "yellow", "waiting": "yellow"}


class LiveTable:
    """A reporter that receives events in one thread and draws the screen in another."""

    def __init__(self, console: Console) -> None:
        self._console, self._view, self._lock = console, ClusterView(), threading.Lock()
        self._live = Live(console=console, get_renderable=self._drawn, refresh_per_second=4)

    def _drawn(self) -> Group:
        with self._lock:
            return drawn(self._view, present(), self._console.width)

    def started(self, step: int, steps: int) -> None:
        with self._lock:
            self._view.step, self._view.steps = step, steps
        self._live.start(refresh=True)

    def happened(self, event: Event) -> None:
        with self._lock:
            self._view.take(event, present())

    def stepped(self, step: int, objectives: Mapping[str, float], images_per_second: float) -> None:
        pass

    def said(self, message: str) -> None:
        self._live.console.print(message, highlight=False, markup=False)

    def finished(self) -> None:
        self._live.stop()


def drawn(view: ClusterView, now: float, width: int) -> Group:
    """Draw the view at time `now`, on about a screen; names of workers are folded to `width` columns."""
    shown = outliers.shown(view, view.replica_rows(now), view.shard_rows())
    parts: list[Table | str] = [*totals(view, now, width)]
    if not shown.small and view.not_back:
        parts.append(f"lost and not back: {outliers.names(view.not_back, outliers.ROWS)}")
    parts += [_replicas(shown.replicas), shown.other_replicas]
    parts += [_tiles(row, shown.small) for row in shown.replicas]
    parts += [_shards(shown.shards)] if shown.shards or shown.small else []
    parts.append(shown.other_shards)
    return Group(*(Text(part, overflow="fold") if isinstance(part, str) else part for part in parts if part))


def _table(left: tuple[str, ...], right: tuple[str, ...]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in left:
        table.add_column(name)
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _replicas(rows: Sequence[ReplicaRow]) -> Table:
    table = _table(("replica", "state"), ("steps", "steps/s", "staleness", "largest", "bytes/s", "waited"))
    for row in rows:
        table.add_row(
            str(row.index),
            Text(row.state, STYLES.get(row.state, "")),
            f"{row.steps:,}",
            f"{row.step_rate:.1f}",
            "-" if row.staleness is None else f"{row.staleness:.1f}",
            "-" if row.largest is None else str(row.largest),
            size(row.byte_rate),
            f"{row.waited:.0%}",
        )
    return table


def _tiles(row: ReplicaRow, small: bool) -> str:
    """Return the workers of a replica's tiles, one by one or in short."""
    if not small:
        return f"tiles of replica {row.index}: {outliers.tiles_in_short(row)}"
    names = " ".join(f"{tile}:{name or '-'}" for tile, name in enumerate(row.workers))
    return f"tiles of replica {row.index}: {names}"


def _shards(rows: Sequence[ShardRow]) -> Table:
    table = _table(("shard", "primary", "standby", ""), ("term", "updates"))
    for row in rows:
        roles, ready = row.roles, row.roles.ready and row.roles.standby is not None
        table.add_row(
            str(row.index), roles.primary or "-", roles.standby or "-", Text(row.standby, "" if ready else "yellow"),
            str(roles.term), f"{row.updates:,}",
        )  # fmt: skip
    return table


def totals(view: ClusterView, now: float, width: int) -> tuple[str, ...]:
    """Return the totals of all replicas, the losses cut to `width` columns."""
    left = view.seconds_left(now)
    lost = f", {view.lost:,} acknowledged updates lost" if view.lost else ""
    lost += f", {view.torn:,} torn" if view.torn else ""
    lost += f", {view.given_back:,} batches given back" if view.given_back else ""
    slow = f"  slow: {outliers.names(sorted(view.slow), outliers.ROWS)}" if view.slow else ""
    return (
        f"step {view.step:,}/{view.steps:,}  {view.step / max(view.steps, 1):.0%}  "
        f"{view.images_per_second(now):,.0f} images/s" + ("" if left is None else f"  {clock(left)} left"),
        *([losses_within(view.losses, width)] if view.losses else []),
        f"{view.workers:,} workers  durability {view.durability or '-'}  failures {view.failures}{lost}  "
        f"refused messages {sum(view.refused.values())}{slow}",
    )


def size(count: float) -> str:
    """Return a number of bytes with a suitable unit."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def clock(seconds: float) -> str:
    """Return a time as hours, minutes and seconds."""
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}"
