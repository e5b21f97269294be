"""Connections to a cluster, and messages between its processes."""
