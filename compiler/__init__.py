"""The compiler, from a parsed file to a plan; `pipeline.py` lists the stages in order."""
