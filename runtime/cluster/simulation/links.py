"""When a message arrives: workers, and hosts, send and receive one large message after the other.

    sender --> its host's way out --> the other host's way in --> receiver

Each of the four is busy for `bytes / bandwidth`, from when the one before it begins; a message without arrays only takes
the latency.
"""

from __future__ import annotations

from collections import defaultdict

from lnet.compiler.cut.cluster_spec import ClusterSpec, Worker

Way = tuple[str, str]


class Links:
    """The links of a cluster, and until when each way is taken."""

    def __init__(self, cluster: ClusterSpec) -> None:
        self.cluster = cluster
        self.taken: defaultdict[Way, float] = defaultdict(float)

    def arrival(self, now: float, sender: Worker, receiver: Worker, size: int) -> float:
        """Return when a message of `size` bytes that is sent now arrives."""
        if sender == receiver:
            return now
        link = self.cluster.link(sender.host, receiver.host)
        seconds, begins = size / link.bandwidth, now
        for way in _ways(sender, receiver) if size else ():
            begins = max(begins, self.taken[way])
            self.taken[way] = begins + seconds
        return begins + seconds + link.latency


def _ways(sender: Worker, receiver: Worker) -> tuple[Way, ...]:
    ends = ("from", sender.name), ("to", receiver.name)
    if sender.host == receiver.host:
        return ends
    return ends[0], ("out of", sender.host), ("into", receiver.host), ends[1]
