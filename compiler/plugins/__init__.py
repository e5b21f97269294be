"""Layer kinds, objectives and update rules from a user's own Python."""
