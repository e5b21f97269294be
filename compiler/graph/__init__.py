"""The graph of a network, analyses of it, and passes over it."""
