"""A graph cut into tiles: who owns what, in which order it is computed, what it costs, where it lies."""
