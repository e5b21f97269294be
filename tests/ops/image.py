"""The image is what the formulas begin with, and the first line of every network."""

FORMULAS = {}
LINES = {}
