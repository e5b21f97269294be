"""Names under which the processes of a run find each other on a Dask cluster."""

HEARTBEATS, DESIRED_STATES = "lnet-heartbeat", "lnet-desired-state"
"""Streams from workers to the scheduler and back."""
LINE, DELIVER = "lnet_line", "lnet_deliver"
"""What a worker answers to another one: a connection for both directions, and what comes over it."""
CONTROL, ENDED = "lnet_control", "lnet_ended"
"""What the scheduler answers: to people, and to those who know why a process ended."""


def plugin_name(run: str) -> str:
    return f"lnet-{run}"


def topic(run: str) -> str:
    """The name under which a run's events are published."""
    return f"lnet-{run}"
