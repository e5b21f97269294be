"""A run's directory: its files, checkpoints, events and owner."""
