"""Locally connected networks."""
