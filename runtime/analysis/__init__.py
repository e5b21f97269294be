"""Analysis of a trained network."""
