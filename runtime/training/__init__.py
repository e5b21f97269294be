"""Training in one process, and reporters of its progress."""
