"""The protocol of a cluster run as pure state machines: events in, instructions out.

    coordinator.py   who plays which role, what is leased, committed, checkpointed      one for a run
    worker.py        the roles of one process, and its heartbeats                       one for a process
      replica.py     one tile of one replica
      primary.py     one shard of the parameters (lead.py, acknowledge.py, answer.py: what it does)
      standby.py     a copy of one, that takes the same updates in the same order

Nothing here knows sockets, clocks, threads or arrays. A host performs the instructions (instructions.py), and so does
the simulator of the tests. Parameters, gradients and snapshots are opaque: a machine passes them on and never looks.
"""
