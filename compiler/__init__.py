"""From a parsed file to a plan: `pipeline.py` says in which order."""
