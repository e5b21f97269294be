"""Passes over the graph: one pure function, one file each."""
