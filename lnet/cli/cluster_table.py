"""A live view of a run on a cluster: a table of replicas, one of shards, and a line of totals."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from lnet.runtime.cluster.clock import now as present
from lnet.runtime.cluster.monitor.view import ClusterView, ReplicaView, ShardView, rate
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
    """Draw the view at time `now`; names of workers are folded to `width` columns."""
    lines = (Text(line, overflow="fold") for line in totals(view, now, width))
    return Group(*lines, _replicas(view, now), *_tiles(view), _shards(view))


def _table(left: tuple[str, ...], right: tuple[str, ...]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in left:
        table.add_column(name)
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _replicas(view: ClusterView, now: float) -> Table:
    table = _table(("replica", "state"), ("steps", "steps/s", "staleness", "largest", "bytes/s", "waited"))
    for index, replica in sorted(view.replicas.items()):
        table.add_row(*_replica(index, replica, now))
    return table


def _replica(index: int, replica: ReplicaView, now: float) -> tuple[str | Text, ...]:
    return (
        str(index),
        Text(replica.state, STYLES.get(replica.state, "")),
        f"{replica.steps:,}",
        f"{rate(replica.recent, now):.1f}",
        f"{replica.mean_age:.1f}" if replica.ages else "-",
        str(max(replica.ages)) if replica.ages else "-",
        size(replica.bytes_per_second(now)),
        f"{replica.waited:.0%}",
    )


def _tiles(view: ClusterView) -> Iterator[Text]:
    """Draw the workers of each replica's tiles."""
    for index, replica in sorted(view.replicas.items()):
        names = " ".join(f"{tile}:{name or '-'}" for tile, name in enumerate(replica.workers))
        yield Text(f"tiles of replica {index}: {names}", overflow="fold")


def _shards(view: ClusterView) -> Table:
    table = _table(("shard", "primary", "standby", ""), ("term", "updates"))
    for index, shard in sorted(view.shards.items()):
        table.add_row(
            str(index), shard.primary or "-", shard.standby or "-", _standby(shard), str(shard.term),
            f"{shard.updates:,}",
        )  # fmt: skip
    return table


def _standby(shard: ShardView) -> Text:
    if shard.standby is None:
        return Text("none", "yellow")
    return Text("ready") if shard.ready else Text("being filled", "yellow")


def totals(view: ClusterView, now: float, width: int) -> tuple[str, ...]:
    """Return the totals of all replicas, the losses cut to `width` columns."""
    left = view.seconds_left(now)
    lost = f", {view.lost:,} acknowledged updates lost" if view.lost else ""
    lost += f", {view.torn:,} torn" if view.torn else ""
    lost += f", {view.given_back:,} batches given back" if view.given_back else ""
    slow = f"  slow: {', '.join(sorted(view.slow))}" if view.slow else ""
    return (
        f"step {view.step:,}/{view.steps:,}  {view.step / max(view.steps, 1):.0%}  "
        f"{view.images_per_second(now):,.0f} images/s" + ("" if left is None else f"  {clock(left)} left"),
        *([losses_within(view.losses, width)] if view.losses else []),
        f"{view.workers} workers  durability {view.durability or '-'}  failures {view.failures}{lost}  "
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
