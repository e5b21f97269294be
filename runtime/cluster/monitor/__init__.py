"""What an operator sees of a run: events, page, metrics."""
