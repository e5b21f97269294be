"""Training in one process, and who is told how it goes."""
