"""Targets come with the images, and have no formula; which objectives read them is drawn with those."""

FORMULAS = {}
LINES = {}
