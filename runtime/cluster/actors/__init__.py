"""The processes of a run on a cluster, which perform what the protocol decides."""
