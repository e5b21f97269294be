"""The compiled plan: its file format, and the output of `lnetc explain` and `--emit`."""
