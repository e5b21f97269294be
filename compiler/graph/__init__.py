"""The graph of a network, what is derived from it, and the passes over it."""
