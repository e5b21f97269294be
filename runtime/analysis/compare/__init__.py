"""Runs compared: those that differ only in their seed are one group, with means and deviations (groups.py, page.py)."""
