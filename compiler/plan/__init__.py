"""The compiled plan: its file, and what `lnetc explain` and `--emit` show of it."""
