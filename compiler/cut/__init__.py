"""A graph cut into tiles: ownership, schedule, cost and placement."""
